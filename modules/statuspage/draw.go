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

// marks are the characters of a history's day with the classes of their bars. A
// background without a class is one of the first kind.
var marks = []struct {
	mark  byte
	class string
}{{'.', "u"}, {'c', "c"}, {'~', "m"}, {'x', "d"}, {'-', "n"}}

// strip draws a day as a bar for each half an hour. The kind of bar that would take
// most bytes is the background; each other kind is a path over it. So an uneventful
// day is an empty element, and one that changes every half hour is a few hundred
// bytes. The style scales the paths and cuts them into bars.
//
// It is hidden from screen readers: the row says the uptime, in its own cell.
func (f formatter) strip(h status.History) template.HTML {
	lines := make([]string, len(marks))
	background := 0
	for i, m := range marks {
		lines[i] = linesOf(h.Day, m.mark)
		if len(lines[i]) > len(lines[background]) {
			background = i
		}
	}
	var paths strings.Builder
	for i, m := range marks {
		if i != background && lines[i] != "" {
			fmt.Fprintf(&paths, `<path class=%s d="%s"/>`, m.class, lines[i])
		}
	}
	class := ""
	if background > 0 {
		class = fmt.Sprintf(` class=%s`, marks[background].class)
	}
	return template.HTML(fmt.Sprintf(`<svg aria-hidden=true%s>%s</svg>`, class, &paths))
}

// linesOf returns a line for each run of a mark, in half hours.
func linesOf(day string, mark byte) string {
	var lines strings.Builder
	move, end := 'M', 0 // of the run before
	for from := 0; from < len(day); from++ {
		to := from
		for to < len(day) && day[to] == mark {
			to++
		}
		if to > from {
			fmt.Fprintf(&lines, "%c%d 0h%d", move, from-end, to-from)
			move, end = 'm', to
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
	return template.HTML(fmt.Sprintf(`<svg role=img aria-label="%s"><path d="%s"/></svg>`,
		template.HTMLEscapeString(f.text("curve label", milliseconds(most))), line(h.Latencies, most)))
}

// levels is how many heights a curve can have above the lowest. They are two pixels
// apart, and most steps from one value to the next have one digit.
const levels = 14

// line returns a path through values, in steps from one to the next, which are
// short. Where there is no value it is interrupted. The style scales it.
func line(values []*float64, most float64) string {
	var path strings.Builder
	before := -1   // the height of the value before
	command := 'l' // of the next step; a space after the first
	for i, v := range values {
		if v == nil {
			before = -1
			continue
		}
		y := levels
		if most > 0 {
			y = int(math.Round(levels * (1 - *v/most)))
		}
		switch step := y - before; {
		case before < 0:
			fmt.Fprintf(&path, "M%d %dh1", i, y)
			command = 'l'
		case step < 0:
			fmt.Fprintf(&path, "%c1%d", command, step)
			command = ' '
		default:
			fmt.Fprintf(&path, "%c1 %d", command, step)
			command = ' '
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
