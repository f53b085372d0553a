package freetiercmd

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/caddy-freetier/caddy-freetier/internal/clientsfile"
)

// newClient returns the command that edits a clients_file. It needs no server and no
// admin API: internal/clientsfile writes the file under a lock, and gateways on any
// machine that see the file notice it.
func newClient() *cobra.Command {
	client := &cobra.Command{
		Use:   "client",
		Short: "Changes the clients of a clients_file",
		Long: `Changes the file that the option clients_file of llm_gateway names. A running
gateway reads it again within a second. The file is replaced as a whole, under
a lock, and keeps its owner and mode; a new one gets its folder's owner and
mode 0600. It holds no keys but their SHA-256.`,
	}
	client.PersistentFlags().StringP("file", "f", "", "The clients_file (required)")
	_ = client.MarkPersistentFlagRequired("file") // the flag exists
	client.AddCommand(newClientAdd(), newClientList(), newClientRemove())
	return client
}

// newClientAdd takes --models and --limit more than once, and models also as one word
// with spaces or commas: all three are what people type.
func newClientAdd() *cobra.Command {
	cmd := command("add <name> --file <path> [--models <patterns>] [--limit <limit>] [--expires <when>]",
		"Adds a client and shows its new key, once",
		`Adds a client and shows its new key. The key is shown this once and kept
nowhere: whoever loses it gets a new one.`, addClient)
	cmd.Args = cobra.ExactArgs(1)
	cmd.Flags().StringArrayP("models", "m", nil, "Models that the client may use, with * for any characters, such as \"gpt-* gemini-*\"; default: all")
	cmd.Flags().StringArrayP("limit", "l", nil, "A limit such as 1000/day or \"1M tokens/month\"; can be repeated")
	cmd.Flags().StringP("expires", "e", "", "When the key expires: after a duration (30d), on a date (2027-01-31) or at a time (2027-01-31T12:00:00Z)")
	return cmd
}

// addClient makes a key, writes its SHA-256 and prints the key. The key goes to stdout
// alone and its heading to stderr, for `KEY=$(caddy freetier client add …)`. It is
// printed after the file was written: a key that is shown but not stored would be a
// riddle to its owner.
func addClient(cmd *cobra.Command, args []string) (int, error) {
	flags := cmd.Flags()
	c := clientsfile.Client{Name: args[0]}
	models, _ := flags.GetStringArray("models")
	for _, words := range models {
		c.Models = append(c.Models, strings.FieldsFunc(words, func(r rune) bool { return r == ',' || r == ' ' })...)
	}
	limits, _ := flags.GetStringArray("limit")
	for _, words := range limits {
		limit, err := clientsfile.ParseLimit(words)
		if err != nil {
			return caddy.ExitCodeFailedStartup, err
		}
		c.Limits = append(c.Limits, limit)
	}
	if when, _ := flags.GetString("expires"); when != "" {
		var err error
		if c.Expires, err = parseExpires(when, time.Now()); err != nil {
			return caddy.ExitCodeFailedStartup, err
		}
	}
	key := clientsfile.NewKey()
	c.KeySHA256 = clientsfile.HashOf(key)
	if err := c.Check(); err != nil {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("client %q: %w", c.Name, err)
	}
	file, _ := flags.GetString("file")
	err := clientsfile.Update(file, func(clients []clientsfile.Client) ([]clientsfile.Client, error) {
		if named(clients, c.Name) >= 0 {
			return nil, fmt.Errorf("%s has a client %s already; remove it first, or take another name", file, c.Name)
		}
		return append(clients, c), nil
	})
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "The key of %s, which is shown this once:\n", c.Name)
	fmt.Fprintln(cmd.OutOrStdout(), key)
	return caddy.ExitCodeSuccess, nil
}

// parseExpires reads when a key expires.
//
// A duration is counted from now and takes Caddy's d for days; a date is its first
// moment in UTC. One in the past is most likely a typo, and would add a client that is
// refused at once.
func parseExpires(when string, now time.Time) (time.Time, error) {
	if length, err := caddy.ParseDuration(when); err == nil && length > 0 {
		return now.Add(length).UTC().Truncate(time.Second), nil
	}
	at, err := time.Parse(time.DateOnly, when)
	if err != nil {
		at, err = time.Parse(time.RFC3339, when)
	}
	switch {
	case err != nil:
		return at, fmt.Errorf("--expires %s is no time: write 30d, 2027-01-31 or 2027-01-31T12:00:00Z", when)
	case !at.After(now):
		return at, fmt.Errorf("--expires %s is in the past", when)
	}
	return at, nil
}

// named returns the index of the client with a name, -1 if there is none.
func named(clients []clientsfile.Client, name string) int {
	return slices.IndexFunc(clients, func(c clientsfile.Client) bool { return c.Name == name })
}

func newClientList() *cobra.Command {
	cmd := command("list --file <path>", "Lists the clients", "Lists the clients of the file.", listClients)
	cmd.Args = cobra.NoArgs
	return cmd
}

// listClients shows no hashes: they are of no use to a person. A missing file is an
// error here, while the gateway takes it for an empty list.
func listClients(cmd *cobra.Command, _ []string) (int, error) {
	file, _ := cmd.Flags().GetString("file")
	clients, err := clientsfile.Read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("there is no file %s yet; add makes it", file)
	}
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tMODELS\tLIMITS\tEXPIRES")
	for _, c := range clients {
		models, expires := "all", "never"
		if len(c.Models) > 0 {
			models = strings.Join(c.Models, " ")
		}
		if !c.Expires.IsZero() {
			expires = c.Expires.UTC().Format(time.RFC3339)
			if !c.Expires.After(time.Now()) {
				expires += " (expired)"
			}
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", c.Name, models, limitsOf(c), expires)
	}
	return caddy.ExitCodeSuccess, table.Flush()
}

func limitsOf(c clientsfile.Client) string {
	if len(c.Limits) == 0 {
		return "none"
	}
	var limits []string
	for _, l := range c.Limits {
		limits = append(limits, l.String())
	}
	return strings.Join(limits, ", ")
}

func newClientRemove() *cobra.Command {
	cmd := command("remove <name>... --file <path>", "Removes clients, whose keys are refused from then on",
		"Removes clients. A running gateway refuses their keys within a second.", removeClients)
	cmd.Args = cobra.MinimumNArgs(1)
	return cmd
}

// removeClients removes all that are named or none: the first unknown name is an error,
// and the file stays as it is.
func removeClients(cmd *cobra.Command, names []string) (int, error) {
	file, _ := cmd.Flags().GetString("file")
	err := clientsfile.Update(file, func(clients []clientsfile.Client) ([]clientsfile.Client, error) {
		for _, name := range names {
			i := named(clients, name)
			if i < 0 {
				return nil, fmt.Errorf("%s has no client %s", file, name)
			}
			clients = slices.Delete(clients, i, i+1)
		}
		return clients, nil
	})
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Removed: %s.\n", strings.Join(names, ", "))
	return caddy.ExitCodeSuccess, nil
}
