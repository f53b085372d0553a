package freetiercmd

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

func newStatus() *cobra.Command {
	cmd := command("status [--address <interface>] [--config <path> [--adapter <name>]] [--json]",
		"Shows what the running server's pools do",
		`Shows what is awake, what is fastest, which keys are in cooldown and what is
left of quotas: what status_page shows, in the terminal. Times are from now.

The exit code is 0 if all is well, 2 if something is wrong, which the last lines
say, and 1 if there is no status.`, runStatus)
	cmd.Args = cobra.NoArgs
	addServer(cmd)
	cmd.Flags().Bool("json", false, "Print JSON, as status.json has it")
	return cmd
}

// runStatus asks for the same document that status_page serves as status.json, from the
// admin API's /freetier/status. Its version is compared, since the server may be an
// older or newer build than this program; fields that are only added do not change it.
func runStatus(cmd *cobra.Command, _ []string) (int, error) {
	address, err := serverOf(cmd)
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	var answer json.RawMessage
	if err := ask(address, http.MethodGet, "/freetier/status", &answer); err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	var s status.Status
	if err := json.Unmarshal(answer, &s); err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	if s.Version != status.Version {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("the server's status has version %d, and this program reads version %d: use the server's own program, or --json", s.Version, status.Version)
	}
	problems := problemsOf(&s)
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", answer)
	} else {
		err = writeStatus(cmd.OutOrStdout(), &s, problems)
	}
	switch {
	case err != nil:
		return caddy.ExitCodeFailedStartup, err
	case len(problems) > 0:
		cmd.SilenceErrors = true // it is no error of the command's
		return exitNotGood, nil
	}
	return caddy.ExitCodeSuccess, nil
}

// problemsOf returns what somebody has to look at, a sentence each, in the order of
// the tables. A failing target or a key in cooldown is none: both come back by
// themselves, and a monitor that runs this command would call people for nothing.
//
// What is a problem:
//
//   - a target that is down, after as many failed pings as the option failures says;
//   - an account of a platform whose hours for the month are used up;
//   - a pool of fastest-swagger of which no upstream is the winner or free of failures;
//   - a channel without any usable key, and dead keys, which only a person can replace;
//   - DNS without an upstream that may be asked.
func problemsOf(s *status.Status) (problems []string) {
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for _, t := range s.Targets {
		if t.State == status.StateDown {
			add("target %s is down: %s", t.Name, t.LastError)
		}
	}
	for _, a := range s.Accounts {
		if a.LimitHours > 0 && a.UsedHours >= a.LimitHours {
			add("account %s has used up its hours", a.Name)
		}
	}
	winners := make(map[int]bool)
	for _, u := range s.Upstreams {
		winners[u.Pool] = winners[u.Pool] || u.Winner || u.Failures == 0
	}
	for _, pool := range slices.Sorted(maps.Keys(winners)) {
		if !winners[pool] {
			add("none of the upstreams of pool %d has loaded its page", pool)
		}
	}
	for _, c := range s.Channels {
		if c.Keys.Total > 0 && c.Keys.Usable == 0 {
			add("channel %s has no key that may be used", c.Name)
		}
		for _, g := range c.Keys.Groups {
			if g.State == status.KeyDead {
				add("channel %s has %d dead of %d keys", c.Name, g.Count, c.Keys.Total)
			}
		}
	}
	usable := len(s.DNS.Upstreams) == 0
	for _, u := range s.DNS.Upstreams {
		exhausted := u.Quota != nil && u.Quota.Used >= u.Quota.Limit
		usable = usable || u.CooldownUntil == nil && !exhausted
	}
	if !usable {
		add("no DNS upstream may be asked: all are in cooldown, or have used up their quotas")
	}
	return problems
}
