package freetiercmd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

// gatewayModule is the module that has the keys.
const gatewayModule = "http.handlers.llm_gateway"

// keyChecker is that module.
type keyChecker interface {
	CheckKeys(ctx context.Context, channel string, report func(line any))
}

// checkConfig checks the keys of a configuration that need not run. Of it only
// llm_gateway is loaded: logs, sites and listeners of the others would leave
// files that the server cannot open, if this is run as another user.
func checkConfig(ctx context.Context, file, adapter string, envfiles []string, channel string, out *report) error {
	for _, name := range envfiles {
		if err := loadEnvironment(name); err != nil {
			return err
		}
	}
	empty := &caddy.Config{
		Admin:   &caddy.AdminConfig{Disabled: true},
		Logging: &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{Level: "ERROR"}}}},
	}
	loaded, err := caddy.ProvisionContext(empty)
	if err != nil {
		return err
	}
	loaded, cancel := caddy.NewContext(loaded)
	defer cancel()
	text, _, _, err := caddycmd.LoadConfig(file, adapter) // now that infos are not logged
	if err != nil {
		return err
	}
	var config any
	if err := json.Unmarshal(text, &config); err != nil {
		return fmt.Errorf("the configuration is no JSON: %w", err)
	}
	var gateways []keyChecker
	for _, raw := range handlers(config) {
		module, err := loaded.LoadModuleByID(gatewayModule, raw)
		if err != nil {
			return err
		}
		gateways = append(gateways, module.(keyChecker))
	}
	return checkGateways(ctx, gateways, channel, out)
}

// checkGateways checks the keys of one gateway after the other.
func checkGateways(ctx context.Context, gateways []keyChecker, channel string, out *report) (err error) {
	for _, g := range gateways {
		keys := out.keys
		out.keys = 0
		g.CheckKeys(ctx, channel, func(line any) {
			text, failed := json.Marshal(line)
			if failed == nil {
				failed = out.line(text)
			}
			err = errors.Join(err, failed)
		})
		out.keys += keys
	}
	return err
}

// handlers returns the configurations of llm_gateway in one of Caddy, in order.
func handlers(config any) (found [][]byte) {
	switch value := config.(type) {
	case []any:
		for _, item := range value {
			found = append(found, handlers(item)...)
		}
	case map[string]any:
		if value["handler"] == "llm_gateway" {
			delete(value, "handler")
			raw, err := json.Marshal(value)
			if err != nil {
				return nil // it comes from JSON
			}
			return [][]byte{raw}
		}
		for _, name := range sortedNames(value) {
			found = append(found, handlers(value[name])...)
		}
	}
	return found
}

// loadEnvironment sets the variables of a file, as `caddy run --envfile` does: a
// line is NAME=value, maybe in quotation marks or behind `export`, and what is set
// already stays.
func loadEnvironment(name string) error {
	file, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no file %s", name)
	}
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20) // a variable may list any number of keys
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		variable, value, found := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		if !found || variable == "" || strings.ContainsAny(variable, " \t") {
			return fmt.Errorf("%s, line %d: write NAME=value", name, number)
		}
		if err := set(variable, unquoted(value)); err != nil {
			return fmt.Errorf("%s, line %d: %w", name, number, err)
		}
	}
	return lines.Err()
}

func set(variable, value string) error {
	if _, exists := os.LookupEnv(variable); exists {
		return nil
	}
	return os.Setenv(variable, value)
}

// unquoted returns a value without its comment and quotation marks.
func unquoted(value string) string {
	if value != "" && (value[0] == '"' || value[0] == '\'') {
		if inside, _, closed := strings.Cut(value[1:], value[:1]); closed {
			return inside
		}
	}
	value, _, _ = strings.Cut(value, "#")
	return strings.TrimSpace(value)
}

func sortedNames(object map[string]any) []string { return slices.Sorted(maps.Keys(object)) }
