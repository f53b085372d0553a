package statuspage

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

// formatter writes what a status has in a language.
type formatter struct{ lang language }

func (f formatter) text(name string, args ...any) string {
	return fmt.Sprintf(f.lang.of(texts[name]), args...)
}

func (f formatter) formats() template.FuncMap {
	return template.FuncMap{
		"num": number, "ms": milliseconds, "uptime": share, "when": f.when, "day": day,
		"times":   func(n int) string { return f.text("times in row", n) },
		"list":    func(names []string) string { return strings.Join(names, f.text("list")) },
		"foreign": f.foreign,
		"reason":  f.reason,
		"why":     f.why,
		"asleep":  func(t status.Target) bool { return t.Awake != nil && !*t.Awake && t.State == status.StateUp },
		"hours":   func(a status.Account) string { return fmt.Sprintf("%.0f h", max(0, a.LimitHours-a.UsedHours)) },
		"sleeps":  func(state string) bool { return state == "asleep" || state == "waking" },
		"names":   func(g status.KeyGroup) string { return f.names(g) },
		"left":    func(total, shown int) string { return f.left(total - shown) },
		"counts":  f.counts,
		"price":   func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) },
		"amount":  func(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) },

		"first":          first[status.Target],
		"firstUpstreams": first[status.Upstream],
		"firstChannels":  first[status.Channel],
		"firstDNS":       first[status.DNSUpstream],
		"firstEvents":    func(all []status.Event) []status.Event { return latest(all, 20) },
		"more":           func(n int) template.HTML { return f.more("<li class=note>", n, "</li>") },
		"moreRows":       func(n int) template.HTML { return f.more("<tr><td class=note>", n, "") },
	}
}

// more says how many of a list the page leaves out, in an element.
func (f formatter) more(begin template.HTML, n int, end template.HTML) template.HTML {
	left := f.left(n - limit)
	if left == "" {
		return ""
	}
	return begin + template.HTML(template.HTMLEscapeString(left)) + end
}

func (f formatter) left(n int) string {
	if n <= 0 {
		return ""
	}
	return f.text("and more", n)
}

// names lists keys of a group.
func (f formatter) names(g status.KeyGroup) string {
	listed := strings.Join(g.Names, " ")
	if more := g.Count - len(g.Names); more > 0 {
		listed += fmt.Sprintf(" +%d", more)
	}
	return listed
}

// counts lists counts with their share of the sum.
func (f formatter) counts(all []status.Count) string {
	sum := sumOf(all)
	said := make([]string, len(all))
	for i, c := range all {
		part := float64(c.Count) / float64(max(1, sum))
		said[i] = fmt.Sprintf("%s %s", f.name(c.Name), share(&part))
	}
	return strings.Join(said, " · ")
}

// name is the text for a name, or the name where there is none.
func (f formatter) name(name string) string {
	if known, ok := texts["count "+name]; ok {
		return f.lang.of(known)
	}
	return name
}

func sumOf(all []status.Count) (sum int64) {
	for _, c := range all {
		sum += c.Count
	}
	return sum
}

// when returns a time, which the script turns into how long that is from now.
func (f formatter) when(at any) template.HTML {
	var t time.Time
	switch at := at.(type) {
	case time.Time:
		t = at
	case *time.Time:
		t = *at
	}
	return template.HTML("<time>" + t.UTC().Format("2006-01-02 15:04:05Z") + "</time>")
}

func day(t time.Time) string { return t.Format(time.DateOnly) }

// foreign marks a text that is in English on all pages.
func (f formatter) foreign(text string) template.HTML {
	escaped := template.HTMLEscapeString(text)
	if f.lang == english {
		return template.HTML(escaped)
	}
	return template.HTML(`<span lang="en">` + escaped + `</span>`)
}

// number shortens large numbers: 999, 1.2k, 35k, 1.2M.
func number(n any) string {
	var v float64
	switch n := n.(type) {
	case int:
		v = float64(n)
	case int64:
		v = float64(n)
	case float64:
		v = n
	}
	for i, unit := range []string{"", "k", "M", "G", "T"} {
		if scaled := v / math.Pow(1000, float64(i)); math.Abs(scaled) < 999.5 || unit == "T" {
			if unit == "" || scaled >= 99.95 {
				return strconv.FormatFloat(scaled, 'f', 0, 64) + unit
			}
			return strings.TrimSuffix(strconv.FormatFloat(scaled, 'f', 1, 64), ".0") + unit
		}
	}
	return ""
}

// milliseconds writes a latency with as many digits as matter.
func milliseconds(ms any) string {
	var v float64
	switch ms := ms.(type) {
	case float64:
		v = ms
	case *float64:
		if ms == nil {
			return "–"
		}
		v = *ms
	}
	switch {
	case v < 10:
		return strconv.FormatFloat(v, 'f', 1, 64) + " ms"
	case v < 1000:
		return strconv.FormatFloat(v, 'f', 0, 64) + " ms"
	}
	return strconv.FormatFloat(v/1000, 'f', 1, 64) + " s"
}

// share writes a share of one in percent. What is not all is never 100 %.
func share(p *float64) string {
	if p == nil {
		return "–"
	}
	percent := *p * 100
	if percent > 99.9 && percent < 100 {
		percent = math.Floor(percent*100) / 100
		return strconv.FormatFloat(percent, 'f', 2, 64) + " %"
	}
	return strings.TrimSuffix(strconv.FormatFloat(percent, 'f', 1, 64), ".0") + " %"
}
