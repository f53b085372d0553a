// Package freetiercmd is the command `caddy freetier`: it makes a Caddyfile of what
// other programs have, plans it before it runs, shows what the running server's
// pools do, checks keys, and writes the file with the clients of llm_gateway.
//
// Where a subcommand gets what it shows:
//
//	status, ping   the admin API of the running server, found as `caddy reload` finds it
//	check          the same, since the server has the keys; with --config, the file
//	plan           a file, which need not run
//	import         files of other programs; package internal/migrate reads them
//	client         the clients_file; a running gateway notices that it has changed
//
// A file is never run. Only our modules are provisioned, in the context of an empty
// configuration: as root, which people use for such commands, validating the whole
// file would leave log files that the server's own user cannot open.
//
// What of the admin API is used:
//
//	status   GET  /freetier/status
//	ping     POST /keepalive/targets/<name>/ping; GET /keepalive/targets after an error
//	check    POST /llm-gateway/check[?channel=<name>]
//
// The exit code is 0 if all is well, 1 if the command has failed, and 2 if it has
// worked and what it shows is not good, so that scripts can tell these apart. What
// upstreams have sent, which errors quote, is made printable for the terminal.
//
// Results go to stdout, notes and progress to stderr, so that a key or a Caddyfile can
// be piped. status and ping print the admin API's own answer with --json.
package freetiercmd

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "freetier",
		Usage: "status|ping|plan|check|import|client",
		Short: "Looks after pools of free accounts",
		Long: `
Makes a Caddyfile of what other programs have (import), compares what one needs
with what its accounts give (plan), shows what the running server's pools do
(status, ping), and looks after the keys and clients of llm_gateway (check,
client).
`,
		CobraFunc: func(cmd *cobra.Command) {
			cmd.AddCommand(newStatus(), newPing(), newPlan(), newCheck(), newImport(), newClient())
		},
	})
}

// command returns a subcommand. run returns the exit code of the process, as Caddy's
// own commands do. It needs cmd for its writers, which tests replace, and Caddy's
// wrapper passes on only the flags; so the wrapper is made anew for each run.
//
// An exit code above 1 is an error to cobra, which prints it as one: commands that use
// 2 for a result set cmd.SilenceErrors first.
func command(usage, short, long string, run func(cmd *cobra.Command, args []string) (int, error)) *cobra.Command {
	cmd := &cobra.Command{Use: usage, Short: short, Long: long}
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return run(cmd, args) })(cmd, args)
	}
	return cmd
}
