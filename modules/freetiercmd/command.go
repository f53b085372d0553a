// Package freetiercmd is the command `caddy freetier`: it plans a configuration
// before it runs, checks the keys of llm_gateway, and writes the file in which its
// clients stand.
package freetiercmd

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "freetier",
		Usage: "status|ping|plan|check|client",
		Short: "Looks after pools of free accounts",
		Long: `
Plans what a configuration takes of its accounts, checks the keys of
llm_gateway, and writes the file with its clients.
`,
		CobraFunc: func(cmd *cobra.Command) { cmd.AddCommand(newStatus(), newPing(), newPlan(), newCheck(), newClient()) },
	})
}

// command returns a subcommand. run returns the exit code of the process.
func command(usage, short, long string, run func(cmd *cobra.Command, args []string) (int, error)) *cobra.Command {
	cmd := &cobra.Command{Use: usage, Short: short, Long: long}
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return run(cmd, args) })(cmd, args)
	}
	return cmd
}
