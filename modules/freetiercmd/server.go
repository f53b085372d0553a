package freetiercmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
)

// addServer adds the flags by which the admin API of the running server is found.
func addServer(cmd *cobra.Command) {
	cmd.Flags().String("address", "", "The address of the admin API of the running server; default: that of the configuration")
	cmd.Flags().StringP("config", "c", "", "Configuration file that has the address; default: the Caddyfile of this folder")
	cmd.Flags().StringP("adapter", "a", "", "Name of the config adapter to apply")
}

// serverOf returns the address of the admin API, as `caddy reload` finds it.
//
// The configuration is needed only for the address that `admin` in its global options
// may name; without any it is localhost:2019. Loading it logs which file was read and
// how it was adapted, which would stand above the tables: these logs are dropped.
func serverOf(cmd *cobra.Command) (string, error) {
	address, _ := cmd.Flags().GetString("address")
	if address != "" {
		return address, nil
	}
	_, log, buffer := caddy.BufferedLog() // nobody asked which file is read
	defer func() {
		buffer.FlushTo(zap.NewNop())
		caddy.UnbufferDefaultLogger(log)
	}()
	from := sourceOf(cmd)
	config, file, _, err := caddycmd.LoadConfig(from.file, from.adapter)
	if err != nil {
		return "", fmt.Errorf("%w (to find the admin API; give --address to do without)", err)
	}
	return caddycmd.DetermineAdminAPIAddress("", config, file, from.adapter)
}

// ask asks the admin API for JSON.
//
// The path is one of our admin routes and answer a pointer, as for json.Unmarshal.
// Caddy's client sends the Origin header that the admin API demands, and knows unix
// sockets. It has no time limit: a ping takes as long as its target, and Ctrl-C ends
// the command.
func ask(address, method, path string, answer any) error {
	res, err := caddycmd.AdminAPIRequest(address, method, path, nil, nil)
	if err != nil {
		return explain(err, address)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the admin API at %s answered with status %d", address, res.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("what is at %s is no Caddy with these modules: %w", address, err)
	}
	return nil
}

// explain turns an error of the admin API into what to do about it. Caddy's client
// has the status and the body only in the text of its error.
//
//	… responded with error: HTTP 404: {"error":"no target is named \"b\""}  the text in it
//	… responded with error: HTTP 404: …                                     another program
//	dial tcp …: connection refused                                          no server there
func explain(err error, address string) error {
	_, said, answered := strings.Cut(err.Error(), "caddy responded with error: HTTP ")
	if !answered {
		return fmt.Errorf("%w (is the server running, and its admin API at %s? Else give --address)", err, address)
	}
	status, body, _ := strings.Cut(said, ": ")
	var reason struct{ Error string }
	if json.Unmarshal([]byte(body), &reason) == nil && reason.Error != "" {
		return errors.New(printable(reason.Error))
	}
	return fmt.Errorf("the server at %s answered with status %s: is it a Caddy with these modules, of the same version?", address, printable(status))
}

// maxAnswer bounds what is read of the admin API.
//
// A status of thousands of keys and targets has a few megabytes.
const maxAnswer = 64 << 20
