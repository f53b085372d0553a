package freetiercmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"
)

func newPing() *cobra.Command {
	cmd := command("ping <target> [--address <interface>] [--config <path> [--adapter <name>]] [--json]",
		"Pings a target of keepalive now",
		`Lets the running server ping a target of keepalive now, whatever its schedule,
and says what has come of it. If a ping of it is under way, its result counts.
It takes as long as the target takes to wake up.

The exit code is 0 if the target is healthy, 2 if it is not, and 1 if there was
no ping.`, runPing)
	cmd.Args = cobra.ExactArgs(1)
	addServer(cmd)
	cmd.Flags().Bool("json", false, "Print JSON")
	return cmd
}

// pinged is what the admin API says of a ping.
//
// It is a part of what keepalive's admin API documents for a target. Healthy is null
// for a target that was never pinged.
type pinged struct {
	Name          string  `json:"name"`
	Healthy       *bool   `json:"healthy"`
	LastStatus    int     `json:"last_status"`
	LastLatencyMS float64 `json:"last_latency_ms"`
	LastError     string  `json:"last_error"`
}

// runPing waits for the ping as long as the server does. The target's name is escaped,
// since names may have slashes in them.
func runPing(cmd *cobra.Command, args []string) (int, error) {
	address, err := serverOf(cmd)
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	var answer json.RawMessage
	if err := ask(address, http.MethodPost, "/keepalive/targets/"+url.PathEscape(args[0])+"/ping", &answer); err != nil {
		return caddy.ExitCodeFailedStartup, errors.Join(err, otherTargets(address))
	}
	var result pinged
	if err := json.Unmarshal(answer, &result); err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	out := cmd.OutOrStdout()
	healthy := result.Healthy != nil && *result.Healthy
	switch asJSON, _ := cmd.Flags().GetBool("json"); {
	case asJSON:
		fmt.Fprintf(out, "%s\n", answer)
	case healthy:
		fmt.Fprintf(out, "%s is healthy: status %d, %.0f ms\n", printable(result.Name), result.LastStatus, result.LastLatencyMS)
	default:
		fmt.Fprintf(out, "%s is not healthy: %s\n", printable(result.Name), printable(result.LastError))
	}
	if !healthy {
		cmd.SilenceErrors = true // it is no error of the command's
		return exitNotGood, nil
	}
	return caddy.ExitCodeSuccess, nil
}

// otherTargets says which targets there are, as an error to be joined to that of a ping
// which named none of them. If the server does not answer that either, it says nothing.
func otherTargets(address string) error {
	var targets []pinged
	if ask(address, http.MethodGet, "/keepalive/targets", &targets) != nil {
		return nil // what went wrong was said
	}
	if len(targets) == 0 {
		return errors.New("the configuration has no target of keepalive")
	}
	var text strings.Builder
	text.WriteString("the targets are")
	for _, t := range targets {
		text.WriteString(" " + printable(t.Name))
	}
	return errors.New(text.String())
}
