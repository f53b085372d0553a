package freetiercmd

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

// longest is how long a text of others may be in a table.
const longest = 60

// printable returns a text that moves no cursor of a terminal. Errors have what
// upstreams have sent in them, and a status line of a hostile server could clear the
// screen or fake a prompt.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// short shortens a text to a length that leaves a table readable, by characters.
func short(text string) string {
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest-1]) + "…"
	}
	return text
}

// tables writes one table after the other, with an empty line between. It keeps the
// first error of the output, such as that of a pipe that was closed, and writeStatus
// returns it at the end. All times are relative to now, the server's clock at the time
// of the status, so that a terminal on another machine with another clock or zone shows
// the same.
type tables struct {
	out   io.Writer
	now   time.Time
	table *tabwriter.Writer
	any   bool
	err   error
}

// begin begins a table with its heads.
func (t *tables) begin(heads ...string) {
	t.end()
	if t.any {
		fmt.Fprintln(t.out)
	}
	t.any, t.table = true, tabwriter.NewWriter(t.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t.table, strings.Join(heads, "\t"))
}

// row writes a line. No cell is empty, so that no line ends with white space.
//
// Every cell is cleaned and shortened here and not where it is filled, so that none is
// forgotten.
func (t *tables) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = cmp.Or(short(printable(cell)), "–")
	}
	fmt.Fprintln(t.table, strings.Join(cells, "\t"))
}

func (t *tables) end() {
	if t.table == nil {
		return
	}
	if err := t.table.Flush(); err != nil && t.err == nil {
		t.err = err
	}
	t.table = nil
}

// writeStatus writes a table for each kind of thing that there is.
//
// Kinds that are not configured have no table, not an empty one.
func writeStatus(out io.Writer, s *status.Status, problems []string) error {
	t := &tables{out: out, now: s.Generated}
	t.keepalive(s)
	t.upstreams(s)
	t.gateway(s)
	t.dns(s)
	if len(s.Events) > 0 {
		t.begin("WHEN", "WHAT", "OF", "MESSAGE")
		for _, e := range s.Events[:min(len(s.Events), 10)] {
			t.row(t.ago(&e.At), e.Kind, e.Subject, e.Message)
		}
	}
	t.end()
	if t.err != nil {
		return t.err
	}
	if !t.any {
		_, err := fmt.Fprintln(out, "The configuration has none of keepalive, fastest-swagger, llm_gateway and doh.")
		return err
	}
	fmt.Fprintln(out)
	if len(problems) == 0 {
		_, err := fmt.Fprintln(out, "All is well.")
		return err
	}
	for _, problem := range problems {
		if _, err := fmt.Fprintf(out, "Problem: %s.\n", strings.TrimSuffix(printable(problem), ".")); err != nil {
			return err
		}
	}
	return nil
}

// keepalive writes the targets, and the hours of their accounts. A target that is not
// pinged at present has the reason of that in place of an error.
func (t *tables) keepalive(s *status.Status) {
	if len(s.Targets) > 0 {
		t.begin("TARGET", "STATE", "AWAKE", "UP, A DAY", "LAST PING", "TOOK", "NEXT", "LAST ERROR")
		for _, target := range s.Targets {
			awake := "–"
			if target.Awake != nil {
				awake = map[bool]string{true: "yes", false: "no"}[*target.Awake]
			}
			t.row(target.Name, target.State, awake, share(target.History.UptimeDay), t.ago(target.LastPing), millis(target.LatencyMS),
				t.until(target.NextPing), cmp.Or(target.LastError, target.Skipped))
		}
	}
	if len(s.Accounts) > 0 {
		t.begin("HOURS OF", "TARGETS", "USED", "GIVEN", "RENEWED", "COLD STARTS MET")
		for _, a := range s.Accounts {
			t.row(a.Name, strings.Join(a.Targets, " "), fmt.Sprintf("%.1f h", a.UsedHours), fmt.Sprintf("%.0f h", a.LimitHours), t.until(&a.Renews), fmt.Sprint(a.ColdStarts))
		}
	}
}

// upstreams writes the upstreams of fastest-swagger. FASTEST is the one to which the
// policy sends requests now, SCORE what it compares: lower is better.
func (t *tables) upstreams(s *status.Status) {
	if len(s.Upstreams) == 0 {
		return
	}
	t.begin("UPSTREAM", "POOL", "FASTEST", "STATE", "SCORE", "LAST LOAD", "LAST ERROR")
	for _, u := range s.Upstreams {
		fastest := "no"
		if u.Winner {
			fastest = "yes"
		}
		score := "–"
		if u.ScoreMS != nil {
			score = millis(*u.ScoreMS)
		}
		t.row(u.Name, fmt.Sprint(u.Pool), fastest, u.State, score, t.ago(u.LastLoad), u.LastError)
	}
}

// gateway writes channels, what of them is in cooldown, and clients. The status bounds
// the list of clients and has their number beside it.
func (t *tables) gateway(s *status.Status) {
	if len(s.Channels) > 0 {
		t.begin("CHANNEL", "KEYS", "USABLE", "ATTEMPTS", "ANSWERED", "QUOTAS", "LAST REFUSAL")
		for _, c := range s.Channels {
			refusal := "–"
			if r := c.LastRefusal; r != nil {
				refusal = fmt.Sprintf("%s: %d, %s", t.ago(&r.At), r.Status, r.Reason)
			}
			t.row(c.Name, fmt.Sprint(c.Keys.Total), fmt.Sprint(c.Keys.Usable), humanize.Comma(c.Attempts), humanize.Comma(c.Answered), uses(c.Quotas), refusal)
		}
		t.cooldowns(s.Channels)
	}
	if len(s.Clients) > 0 {
		t.begin("CLIENT", "REQUESTS TODAY", "TOKENS TODAY", "LIMITS")
		for _, c := range s.Clients {
			t.row(c.Name, humanize.Comma(c.Requests), humanize.Comma(c.Tokens), uses(c.Limits))
		}
		if left := s.ClientsTotal - len(s.Clients); left > 0 {
			t.row(fmt.Sprintf("and %d more", left), "–", "–", "–")
		}
	}
}

// cooldowns writes which keys, and which models, may not be used.
//
// Keys are grouped by reason, with the names of a few: a channel may have thousands.
func (t *tables) cooldowns(channels []status.Channel) {
	begun := false
	row := func(cells ...string) {
		if !begun {
			t.begin("NOT USED", "OF CHANNEL", "WHY", "UNTIL")
			begun = true
		}
		t.row(cells...)
	}
	for _, c := range channels {
		for _, g := range c.Keys.Groups {
			names := strings.Join(g.Names, " ")
			if more := g.Count - len(g.Names); more > 0 {
				names += fmt.Sprintf(" and %d more", more)
			}
			row("keys "+names, c.Name, cmp.Or(g.Reason, g.State), t.until(&g.Until))
		}
		for _, cooldown := range c.Cooldowns {
			row(cmp.Or(cooldown.Model, "the channel"), c.Name, cooldown.Reason, t.until(&cooldown.Until))
		}
	}
}

// dns writes the upstreams of doh and the users of its paths.
func (t *tables) dns(s *status.Status) {
	if len(s.DNS.Upstreams) > 0 {
		t.begin("DNS UPSTREAM", "TIER", "QUERIES", "FAILED", "TAKES", "QUOTA", "COOLDOWN", "LAST ERROR")
		for _, u := range s.DNS.Upstreams {
			quota := "–"
			if u.Quota != nil {
				quota = use(*u.Quota)
			}
			t.row(u.Name, fmt.Sprint(u.Tier), humanize.Comma(u.Queries), humanize.Comma(u.Failures), millis(u.LatencyMS), quota, t.until(u.CooldownUntil), u.LastError)
		}
	}
	if len(s.DNS.Clients) > 0 {
		t.begin("DNS CLIENT", "QUERIES", "REFUSED", "LIMITS")
		for _, c := range s.DNS.Clients {
			t.row(c.Name, humanize.Comma(c.Queries), humanize.Comma(c.Limited), uses(c.Limits))
		}
	}
}

// use says how much is used of a quota or limit.
//
// Requests are the usual unit and not named: 12 of 200/day, 1,000 of 250,000
// tokens/minute.
func use(q status.Quota) string {
	unit := ""
	if q.Unit != "" && q.Unit != "requests" {
		unit = " " + q.Unit
	}
	return fmt.Sprintf("%s of %s%s/%s", humanize.Comma(q.Used), humanize.Comma(q.Limit), unit, q.Period)
}

// uses writes several quotas in a cell, in the order of the configuration. A channel
// with many has its first ones in the status only, see status.MaxQuotas.
func uses(quotas []status.Quota) string {
	parts := make([]string, len(quotas))
	for i, q := range quotas {
		parts[i] = use(q)
	}
	return strings.Join(parts, ", ")
}

// share writes a part of 1 in percent, and a dash if nothing was recorded of it.
func share(part *float64) string {
	if part == nil {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", 100**part)
}

// millis writes a latency in whole milliseconds. 0 stands for one that was never
// measured.
func millis(ms float64) string {
	if ms == 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f ms", ms)
}

// ago says how long ago a time was.
func (t *tables) ago(at *time.Time) string {
	if at == nil || at.IsZero() {
		return "–"
	}
	return roughly(t.now.Sub(*at)) + " ago"
}

// until says how long it is until a time.
//
// A cooldown without a known end, such as that of a dead key, has a dash.
func (t *tables) until(at *time.Time) string {
	if at == nil || at.IsZero() {
		return "–"
	}
	return "in " + roughly(at.Sub(t.now))
}

// roughly writes a duration with one unit, or two where an hour more or less
// matters. What is in the past counts as now: clocks of two machines differ.
//
// Examples: 42s, 17m, 26h05m, 12 days. Hours go up to two days, since "1 day" could be
// 25 hours or 47, and quotas end at a certain hour.
func roughly(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}
