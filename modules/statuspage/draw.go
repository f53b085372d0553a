package statuspage

import (
	"fmt"
	"html/template"
	"math"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

func (f formatter) drawings() template.FuncMap {
	return template.FuncMap{"strip": f.strip, "bar": f.bar, "curve": f.curve, "keys": f.keys, "quota": f.quota, "stack": f.stack}
}

// marks are the characters of a history's day with the classes of their bars.
var marks = []struct {
	mark  byte
	class string
}{{'.', "u"}, {'c', "c"}, {'~', "m"}, {'x', "d"}, {'-', "n"}}

// strip draws a day as a bar for each half an hour. Bars of one kind are one dashed
// path, and those that follow each other one line of it, so that an uneventful day
// is a few bytes and any other not many.
func (f formatter) strip(h status.History) template.HTML {
	label := f.text("strip none")
	if h.UptimeDay != nil {
		label = f.text("strip label", share(h.UptimeDay))
	}
	var paths strings.Builder
	for _, m := range marks {
		if lines := linesOf(h.Day, m.mark); lines != "" {
			fmt.Fprintf(&paths, `<path class="%s" d="%s"/>`, m.class, lines)
		}
	}
	return template.HTML(fmt.Sprintf(`<svg class="strip" viewBox="0 0 %d 24" preserveAspectRatio="none" role="img" aria-label="%s">%s</svg>`,
		len(h.Day)*6, template.HTMLEscapeString(label), &paths))
}

// linesOf returns a line for each run of a mark.
func linesOf(day string, mark byte) string {
	var lines strings.Builder
	for from := 0; from < len(day); from++ {
		to := from
		for to < len(day) && day[to] == mark {
			to++
		}
		if to > from {
			fmt.Fprintf(&lines, "M%d 12h%d", from*6+1, (to-from)*6-2)
			from = to
		}
	}
	return lines.String()
}

// bar draws how much of a limit is used.
func (f formatter) bar(used, limit float64, label string) template.HTML {
	filled := 0.0
	if limit > 0 {
		filled = min(1, used/limit)
	}
	class := "f"
	switch {
	case filled >= 1:
		class = "f full"
	case filled >= .8:
		class = "f high"
	}
	return template.HTML(fmt.Sprintf(`<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label="%s"><rect class="t" width="100" height="6"/><rect class="%s" width="%.1f" height="6"/></svg>`,
		template.HTMLEscapeString(fmt.Sprintf("%s: %s / %s", label, number(used), number(limit))), class, filled*100))
}

// curve draws the latencies of a day.
func (f formatter) curve(h status.History) template.HTML {
	most, any := 0.0, false
	for _, ms := range h.Latencies {
		if ms != nil {
			most, any = max(most, *ms), true
		}
	}
	if !any {
		return ""
	}
	return template.HTML(fmt.Sprintf(`<svg class="curve" viewBox="0 0 %d 32" preserveAspectRatio="none" role="img" aria-label="%s"><path class="base" d="M0 31h%[1]d"/><path class="l" d="%[3]s"/></svg>`,
		6*len(h.Latencies), template.HTMLEscapeString(f.text("curve label", milliseconds(most))), line(h.Latencies, most)))
}

// line returns a path through values, in steps from one to the next, which are
// short. Where there is no value it is interrupted; a value alone is a dot.
func line(values []*float64, most float64) string {
	var path strings.Builder
	before := -1 // the height of the value before
	for i, v := range values {
		if v == nil {
			before = -1
			continue
		}
		y := 30
		if most > 0 {
			y = int(math.Round(30 - 28**v/most))
		}
		switch {
		case before < 0:
			fmt.Fprintf(&path, "M%d %dh1l5 0", 6*i, y)
		case y-before < 0:
			fmt.Fprintf(&path, " 6%d", y-before)
		default:
			fmt.Fprintf(&path, " 6 %d", y-before)
		}
		before = y
	}
	return path.String()
}

// slice is a part of a bar that shows what a whole is made of.
type slice struct {
	class string
	share float64
}

// keys draws a channel's keys by their state.
func (f formatter) keys(k status.Keys) template.HTML {
	if k.Total == 0 {
		return ""
	}
	slices := []slice{{"up", float64(k.Usable) / float64(k.Total)}}
	for _, state := range []string{status.KeyPartly, status.KeyCooldown, status.KeyExhausted, status.KeyDead} {
		n := 0
		for _, g := range k.Groups {
			if g.State == state {
				n += g.Count
			}
		}
		slices = append(slices, slice{state, float64(n) / float64(k.Total)})
	}
	return f.slices(slices, f.text("keys label", k.Usable, k.Total))
}

// stack draws counts as shares of their sum.
func (f formatter) stack(all []status.Count) template.HTML {
	sum := float64(max(1, sumOf(all)))
	slices := make([]slice, len(all))
	for i, c := range all {
		slices[i] = slice{countClasses[c.Name], float64(c.Count) / sum}
	}
	return f.slices(slices, f.counts(all))
}

// countClasses are the classes of counts of doh.
var countClasses = map[string]string{
	"hit": "up", "shared": "shared", "stale": "stale", "miss": "miss",
	"NOERROR": "up", "NXDOMAIN": "shared", "SERVFAIL": "dead", "REFUSED": "cooldown", "other": "exhausted",
}

func (f formatter) slices(all []slice, label string) template.HTML {
	var rects strings.Builder
	x := 0.0
	for _, s := range all {
		width := min(s.share, 1-x) * 100
		if width <= 0 {
			continue
		}
		fmt.Fprintf(&rects, `<rect class="%s" x="%.1f" width="%.1f" height="6"/>`, s.class, x*100, width)
		x += width / 100
	}
	return template.HTML(fmt.Sprintf(`<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label="%s"><rect class="t" width="100" height="6"/>%s</svg>`,
		template.HTMLEscapeString(label), &rects))
}

// quota draws a quota or limit in an element of a list.
func (f formatter) quota(q any) template.HTML {
	var quota status.Quota
	switch q := q.(type) {
	case status.Quota:
		quota = q
	case *status.Quota:
		quota = *q
	}
	label := f.text("a " + quota.Period + " of " + quota.Unit)
	if quota.Model != "" {
		label = quota.Model + ": " + label
	}
	end := ""
	if !quota.ExhaustedOn.IsZero() {
		end = fmt.Sprintf(`<small class="warn"><span>%s</span><span>%s</span></small>`, template.HTMLEscapeString(f.text("runs out")), f.when(quota.ExhaustedOn))
	}
	return template.HTML(fmt.Sprintf(`<li><small><span>%s</span><span>%s / %s</span></small>%s%s</li>`,
		template.HTMLEscapeString(label), number(quota.Used), number(quota.Limit), f.bar(float64(quota.Used), float64(quota.Limit), label), end))
}
