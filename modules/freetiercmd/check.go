package freetiercmd

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/caddy-freetier/caddy-freetier/internal/keycheck"
)

// exitNotGood is the exit code of a command that has worked and shows something that is
// not good: a key in check, a target in ping, a problem in status.
const exitNotGood = 2

// newCheck has --address for a server and --config for a file, which exclude each
// other: with --config alone nobody could tell whether the server that the file is of
// should be asked.
func newCheck() *cobra.Command {
	cmd := command("check [--address <interface>] [--config <path> [--adapter <name>] [--envfile <path>]] [--channel <name>]",
		"Asks each provider about each key",
		`Makes one cheap call with each key of llm_gateway, and says what has come of
it: good, dead, no credit, limited (and until when), not in plan, unknown model,
overloaded, blocked, failing, unreachable or unclear, and why in the words of
docs/refusals.md.

Without --config the running server makes the calls, since it has the keys.
They count against the quotas of the keys, and what a provider's field says of
a dead key or a quota of a day puts the key in cooldown. With --config the
calls are made by this command, for a configuration that need not run, and
nothing is counted or recorded.

The exit code is 0 if all keys are good, 2 if one is not, and 1 if there was no
check.`, runCheck)
	cmd.Args = cobra.NoArgs
	cmd.Flags().String("address", "", "The address of the admin API of the running server")
	addSource(cmd, "Configuration whose keys are checked, or - for stdin; it need not run")
	cmd.Flags().String("channel", "", "Check the keys of this channel only")
	cmd.MarkFlagsMutuallyExclusive("address", "config")
	return cmd
}

// runCheck tells a check that found bad keys (2) from one that did not happen (1). The
// server says first how many keys there are, so a connection that breaks off is
// noticed: a list without bad keys would otherwise look like good news.
func runCheck(cmd *cobra.Command, _ []string) (int, error) {
	flags := cmd.Flags()
	channel, _ := flags.GetString("channel")
	out := newReport(cmd.OutOrStdout(), cmd.ErrOrStderr())
	var err error
	if from := sourceOf(cmd); from.file != "" {
		err = checkConfig(cmd.Context(), from, channel, out)
	} else {
		address, _ := flags.GetString("address")
		err = checkServer(address, channel, out)
	}
	out.end()
	switch {
	case err != nil:
		return caddy.ExitCodeFailedStartup, err
	case out.done < out.keys:
		return caddy.ExitCodeFailedStartup, fmt.Errorf("the check has ended early: %d of %d keys", out.done, out.keys)
	case out.keys == 0:
		return caddy.ExitCodeFailedStartup, errors.New("there is no llm_gateway, or it has no channel of this name")
	case out.counts[keycheck.Good] < out.keys:
		cmd.SilenceErrors = true // it is no error of the command's
		return exitNotGood, nil
	}
	return caddy.ExitCodeSuccess, nil
}

// checkServer lets the running server check its keys.
//
// The response is a line of JSON for each key as soon as it is known (see package
// keycheck), and a check may take minutes, so it is read by lines and not as a whole.
// When the command ends, the connection does, and the server stops checking.
func checkServer(address, channel string, out *report) error {
	address, err := caddycmd.DetermineAdminAPIAddress(address, nil, "", "")
	if err != nil {
		return err
	}
	uri := "/llm-gateway/check"
	if channel != "" {
		uri += "?channel=" + url.QueryEscape(channel)
	}
	res, err := caddycmd.AdminAPIRequest(address, http.MethodPost, uri, nil, nil)
	if err != nil {
		return fmt.Errorf("%w (is the server running, and its admin API at %s? Else give --address, or --config to check a configuration that does not run)", err, address)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if err := out.line(lines.Bytes()); err != nil {
			return err
		}
	}
	return lines.Err()
}

// report shows the results of a check as they come: lines, and on a terminal how
// many keys are left.
//
// Progress is written to stderr and only if that is a terminal, in one line that the
// next result replaces. Results are plain lines in either case.
type report struct {
	out, terminal io.Writer // terminal is io.Discard where there is none
	// keys is how many there are, by the last Start, and done how many results have
	// come.
	keys, done int
	// counts has the number of results by verdict, for the last line.
	counts map[keycheck.Verdict]int
}

func newReport(out, progress io.Writer) *report {
	r := &report{out: out, terminal: io.Discard, counts: make(map[keycheck.Verdict]int)}
	if file, ok := progress.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		r.terminal = progress
	}
	return r
}

// clearLine returns the cursor to the beginning of its line and erases that (ECMA-48,
// EL), so that a result replaces the progress and does not stand behind it.
const clearLine = "\r\x1b[K"

// line shows a line of JSON.
//
// The first line of each gateway is a keycheck.Start, known by keys being 0 until it
// has come.
func (r *report) line(text []byte) error {
	if r.keys == 0 {
		var start keycheck.Start
		err := json.Unmarshal(text, &start)
		r.keys = start.Keys
		return err
	}
	var result keycheck.Result
	if err := json.Unmarshal(text, &result); err != nil {
		return err
	}
	r.done++
	r.counts[result.Verdict]++
	fmt.Fprint(r.terminal, clearLine)
	fmt.Fprintln(r.out, describe(result))
	fmt.Fprintf(r.terminal, "%d of %d keys", r.done, r.keys)
	return nil
}

// describe says in a line what came of a check.
//
//	gemini           …0001     good          gemini-2.5-flash, 40 ms
//	gemini           …0007     dead          dead key, status 400, gemini-2.5-flash, 41 ms
//
// Keys are shown as their last four characters, as everywhere.
func describe(result keycheck.Result) string {
	var about []string
	if result.Reason != "" && result.Reason != string(result.Verdict) {
		about = append(about, result.Reason)
	}
	if !result.Until.IsZero() {
		about = append(about, "until "+result.Until.UTC().Format(time.RFC3339))
	}
	if result.Status != 0 && result.Verdict != keycheck.Good {
		about = append(about, fmt.Sprintf("status %d", result.Status))
	}
	if result.Model != "" {
		about = append(about, result.Model)
	}
	about = append(about, fmt.Sprintf("%d ms", result.Milliseconds))
	return fmt.Sprintf("%-16s %-9s %-13s %s", result.Channel, result.Key, result.Verdict, strings.Join(about, ", "))
}

// end shows how many keys are in which state.
//
// "good" comes first and the others by name, so that two runs can be compared.
func (r *report) end() {
	fmt.Fprint(r.terminal, clearLine)
	if r.done == 0 {
		return
	}
	verdicts := make([]keycheck.Verdict, 0, len(r.counts))
	for verdict := range r.counts {
		verdicts = append(verdicts, verdict)
	}
	slices.SortFunc(verdicts, func(a, b keycheck.Verdict) int {
		switch {
		case a == keycheck.Good:
			return -1
		case b == keycheck.Good:
			return 1
		}
		return strings.Compare(string(a), string(b))
	})
	var parts []string
	for _, verdict := range verdicts {
		parts = append(parts, fmt.Sprintf("%d %s", r.counts[verdict], verdict))
	}
	fmt.Fprintf(r.out, "%d keys: %s\n", r.done, strings.Join(parts, ", "))
}
