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
	"github.com/spf13/cobra"
)

// gatewayModule is the ID of the module that has the keys.
const gatewayModule = "http.handlers.llm_gateway"

// keyChecker is that module, as `check --config` needs it. It is an interface here so
// that the command does not import the module: no module of this project imports
// another.
type keyChecker interface {
	CheckKeys(ctx context.Context, channel string, report func(line any))
}

// source says which configuration a command is about, as its flags name it. An empty
// file is the Caddyfile of the working directory, an empty adapter that of the file's
// name; both rules are Caddy's LoadConfig's.
type source struct {
	file, adapter string
	envfiles      []string
}

// addSource adds the flags of a configuration that need not run.
func addSource(cmd *cobra.Command, about string) {
	cmd.Flags().StringP("config", "c", "", about)
	cmd.Flags().StringP("adapter", "a", "", "Name of the config adapter to apply")
	cmd.Flags().StringSlice("envfile", nil, "Environment file(s) to load")
}

func sourceOf(cmd *cobra.Command) (s source) {
	flags := cmd.Flags()
	s.file, _ = flags.GetString("config")
	s.adapter, _ = flags.GetString("adapter")
	s.envfiles, _ = flags.GetStringSlice("envfile")
	return s
}

// configuration is one of which only modules of ours are loaded: logs, sites and
// listeners of others would leave files that the server cannot open, if the
// command is run as another user.
//
// content is the JSON that the adapter has made, as encoding/json's maps: a
// configuration may have modules that this binary lacks, and is planned nevertheless.
type configuration struct {
	content any
	ctx     caddy.Context
}

// open reads a configuration. cancel cleans up what was loaded of it.
//
// The context is that of an empty configuration, so that modules find an instance ID, a
// storage and a logger. Its admin API is disabled and only errors are logged: the
// warnings are in the report, and infos are about a server that does not run. Apps that
// our modules ask for, such as the ledger, are provisioned in it but never started: no
// file of counts is read or written.
//
// Without an error the caller must call cancel, which cleans the modules up.
func (s source) open() (c *configuration, cancel context.CancelFunc, err error) {
	for _, name := range s.envfiles {
		if err := loadEnvironment(name); err != nil {
			return nil, nil, err
		}
	}
	empty := &caddy.Config{
		Admin:   &caddy.AdminConfig{Disabled: true},
		Logging: &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{Level: "ERROR"}}}},
	}
	ctx, err := caddy.ProvisionContext(empty)
	if err != nil {
		return nil, nil, err
	}
	c = new(configuration)
	c.ctx, cancel = caddy.NewContext(ctx)
	text, _, _, err := caddycmd.LoadConfig(s.file, s.adapter) // now that infos are not logged
	if err != nil {
		cancel()
		return nil, nil, err
	}
	if len(text) == 0 {
		cancel()
		return nil, nil, errors.New("there is no Caddyfile here; name the configuration with --config")
	}
	if err := json.Unmarshal(text, &c.content); err != nil {
		cancel()
		return nil, nil, fmt.Errorf("the configuration is no JSON: %w", err)
	}
	return c, cancel, nil
}

// load loads a module from its part of the configuration.
//
// Provision runs, with whatever it needs: key files and environment variables are read,
// which is why the command must run where the server does, or with --envfile.
func (c *configuration) load(id string, part map[string]any) (any, error) {
	raw, err := json.Marshal(part)
	if err != nil {
		return nil, err // it comes from JSON
	}
	return c.ctx.LoadModuleByID(id, raw)
}

// modules loads the modules whose name stands inline behind a key, in order.
//
// The inline key (`handler`, `source`) is how Caddy's JSON names a module, and is no
// field of it: Caddy decodes strictly and would refuse it, so a copy without it is
// loaded.
func (c *configuration) modules(id, key, name string) (loaded []any, err error) {
	for _, part := range partsWith(c.content, key, name) {
		part = maps.Clone(part)
		delete(part, key)
		module, err := c.load(id, part)
		if err != nil {
			return nil, err
		}
		loaded = append(loaded, module)
	}
	return loaded, nil
}

// partsWith returns the objects of a configuration in which a key has a value, in
// order.
//
// The order of an object's members is lost in the JSON, so that of their names is
// taken: two runs print the same. An object that is found is not searched further.
func partsWith(content any, key, value string) (found []map[string]any) {
	switch content := content.(type) {
	case []any:
		for _, item := range content {
			found = append(found, partsWith(item, key, value)...)
		}
	case map[string]any:
		if content[key] == value {
			return []map[string]any{content}
		}
		for _, name := range sortedNames(content) {
			found = append(found, partsWith(content[name], key, value)...)
		}
	}
	return found
}

// app returns the configuration of an app, nil if there is none.
//
// An app stands under its own name, without an inline key.
func (c *configuration) app(name string) map[string]any {
	root, _ := c.content.(map[string]any)
	apps, _ := root["apps"].(map[string]any)
	app, _ := apps[name].(map[string]any)
	return app
}

// checkConfig checks the keys of a configuration that need not run.
//
// Nothing is counted or put in cooldown: the storage of the server may be another
// user's, and a check of a configuration that does not run should have no effect on one
// that does.
func checkConfig(ctx context.Context, from source, channel string, out *report) error {
	config, cancel, err := from.open()
	if err != nil {
		return err
	}
	defer cancel()
	gateways, err := config.modules(gatewayModule, "handler", "llm_gateway")
	if err != nil {
		return err
	}
	return checkGateways(ctx, gateways, channel, out)
}

// checkGateways checks the keys of one gateway after the other.
//
// Each begins with the number of its keys, which is why the report's is set to 0 before
// each and added up after it.
func checkGateways(ctx context.Context, gateways []any, channel string, out *report) (err error) {
	for _, g := range gateways {
		keys := out.keys
		out.keys = 0
		g.(keyChecker).CheckKeys(ctx, channel, func(line any) {
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

// loadEnvironment sets the variables of a file, as `caddy run --envfile` does: a
// line is NAME=value, maybe in quotation marks or behind `export`, and what is set
// already stays.
//
// Caddy's own parser is not exported. Unlike it, this one reads lines of up to 16 MB,
// since a variable may hold thousands of keys, and takes a # within quotation marks as
// a part of the value. The error has a line's number and never its text, which may be a
// key.
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

// set sets a variable unless it is set. The real environment wins, as with `caddy run`,
// also where it is empty.
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
