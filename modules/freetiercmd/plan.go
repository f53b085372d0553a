package freetiercmd

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/caddyserver/caddy/v2"
	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/caddy-freetier/caddy-freetier/internal/capacity"
	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
)

// exitTooLittle is the exit code of a plan with a warning: of accounts that give less
// than is needed, or of anything else that the modules warn of at load.
const exitTooLittle = 2

// planner is a module that says what it asks of accounts, and what they give. All of
// our modules that have quotas implement it; it is called after Provision and before
// Start, so nothing runs and nothing was counted.
type planner interface{ Capacity() capacity.Report }

// newPlan has the flags of `caddy adapt` and `caddy validate` for the file. The default
// is the Caddyfile of the working directory, as theirs.
func newPlan() *cobra.Command {
	cmd := command("plan [--config <path> [--adapter <name>] [--envfile <path>]] [--json]",
		"Compares what a configuration needs with what its accounts give",
		`Reads a configuration that need not run, the Caddyfile of this folder by
default, and compares what it needs with what its accounts give, for a month of
31 days: hours awake of each account of keepalive, pings, quotas of the keys of
llm_gateway and of the upstreams of doh, and what clients are allowed. It makes
no connection, and loads no module but ours.

The exit code is 0 if all is well, 2 if there is a warning, and 1 if the
configuration is wrong.`, runPlan)
	cmd.Args = cobra.NoArgs
	addSource(cmd, "Configuration to plan, or - for stdin; it need not run")
	cmd.Flags().Bool("json", false, "Print JSON")
	return cmd
}

// runPlan prints the plan also if it has warnings, and only then says so by the exit
// code: a deployment may stop at 2 and still log why.
func runPlan(cmd *cobra.Command, _ []string) (int, error) {
	report, err := planOf(sourceOf(cmd))
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		encoder := json.NewEncoder(cmd.OutOrStdout())
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(report)
	} else {
		err = writePlan(cmd.OutOrStdout(), report)
	}
	switch {
	case err != nil:
		return caddy.ExitCodeFailedStartup, err
	case len(report.Warnings) > 0:
		cmd.SilenceErrors = true // it is no error of the command's
		return exitTooLittle, nil
	}
	return caddy.ExitCodeSuccess, nil
}

// planOf asks the modules of a configuration, in the order in which they stand there.
// keepalive is an app and stands once under apps; the others are found wherever a
// route, a handle block or a reverse_proxy has them.
//
// A module that cannot be provisioned is the error of the whole plan: its text is that
// of `caddy validate`.
func planOf(from source) (report capacity.Report, err error) {
	config, cancel, err := from.open()
	if err != nil {
		return report, err
	}
	defer cancel()
	var modules []any
	if app := config.app("keepalive"); app != nil {
		module, err := config.load("keepalive", app)
		if err != nil {
			return report, err
		}
		modules = append(modules, module)
	}
	for _, kind := range []struct{ id, key, name string }{
		{gatewayModule, "handler", "llm_gateway"},
		{"http.handlers.doh", "handler", "doh"},
		{"http.reverse_proxy.upstreams.doh", "source", "doh"},
	} {
		loaded, err := config.modules(kind.id, kind.key, kind.name)
		if err != nil {
			return report, err
		}
		modules = append(modules, loaded...)
	}
	if len(modules) == 0 {
		return report, errors.New("the configuration has none of keepalive, llm_gateway and doh")
	}
	for _, module := range modules {
		report.Add(module.(planner).Capacity())
	}
	return report, nil
}

// writePlan writes a table for each kind of account that there is, and then the
// warnings:
//
//	CHANNEL  KEYS  EACH     ALL
//	free     2     200/day  400 requests/day
//
//	DNS in all: 600,000 queries a month, 19,354 a day
//	Warning: the account render gives 750 hours a month, and it takes 1271 to …
//
// The error is that of stdout, such as a pipe that was closed.
func writePlan(out io.Writer, r capacity.Report) error {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	row := func(cells ...string) { fmt.Fprintln(table, strings.Join(cells, "\t")) }
	tables := 0
	title := func(cells ...string) {
		_ = table.Flush() // each table has columns of its own; the last Flush has the error
		if tables++; tables > 1 {
			fmt.Fprintln(out)
		}
		row(cells...)
	}
	if len(r.Hours) > 0 {
		title("HOURS AWAKE OF", "TARGETS", "NEEDED", "GIVEN", "VERDICT")
		for _, h := range r.Hours {
			verdict := "enough"
			if h.Fits != "" {
				verdict = "too few"
			}
			row(h.Account, strings.Join(h.Targets, " "), fmt.Sprintf("%.0f/%s", h.Needed, h.Period), fmt.Sprintf("%.0f/%s", h.Given, h.Period), verdict)
		}
	}
	if len(r.Pings) > 0 {
		title("PINGS OF", "EVERY", "A MONTH, AT MOST", "QUOTA")
		for _, p := range r.Pings {
			row(p.Target, p.Every, humanize.Comma(p.Month), cmp.Or(p.Quota, "–"))
		}
	}
	quotas := func(name string, list []capacity.Quota, monthly bool) {
		if len(list) == 0 {
			return
		}
		title(name, "EACH", "ALL")
		for _, q := range list {
			row(q.Name, cmp.Or(q.Each, "no quota"), inAll(q, monthly))
		}
	}
	if len(r.Channels) > 0 {
		title("CHANNEL", "KEYS", "EACH", "ALL")
		for _, q := range r.Channels {
			row(q.Name, fmt.Sprint(q.Count), cmp.Or(q.Each, "no quota"), inAll(q, false))
		}
	}
	quotas("CLIENT", r.Clients, false)
	quotas("DNS UPSTREAM", r.DNS, true)
	quotas("DNS CLIENT", r.DNSUsers, true)
	if err := table.Flush(); err != nil {
		return err
	}
	if tables > 0 {
		fmt.Fprintln(out)
	}
	if total, bounded := capacity.Total(r.DNS); bounded {
		fmt.Fprintf(out, "DNS in all: %s queries a month, %s a day\n", humanize.Comma(total), humanize.Comma(total/31))
	}
	if len(r.Warnings) == 0 {
		_, err := fmt.Fprintln(out, "No warnings.")
		return err
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(out, "Warning: %s.\n", strings.TrimSuffix(warning, "."))
	}
	return nil
}

// inAll says what all accounts give together: in the period of the quota, or in a
// month. For DNS a month is what people are billed by, so a quota a day is shown in
// that.
func inAll(q capacity.Quota, monthly bool) string {
	if q.Each == "" {
		return "–"
	}
	all, period := q.All, q.Period
	if monthly && period == string(ledger.Day) {
		all, period = q.Month, string(ledger.Month)
	}
	text := fmt.Sprintf("%s %s/%s", humanize.Comma(all), q.Unit, period)
	switch q.Model {
	case "":
	case capacity.EachModel:
		text += " for each model"
	default:
		text += " for " + q.Model
	}
	return text
}
