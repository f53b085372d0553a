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
		"times":       func(n int) string { return f.text("times in row", n) },
		"list":        func(names []string) string { return strings.Join(names, f.text("list")) },
		"foreign":     f.foreign,
		"asleep":      func(t status.Target) bool { return t.Awake != nil && !*t.Awake && t.State == status.StateUp },
		"hours":       func(a status.Account) string { return fmt.Sprintf("%.0f h", max(0, a.LimitHours-a.UsedHours)) },
		"first":       first[status.Target],
		"firstEvents": func(all []status.Event) []status.Event { return latest(all, 20) },
		"more":        func(all []status.Target) template.HTML { return f.more(len(all)) },
	}
}

// more says how many of a list the page leaves out.
func (f formatter) more(n int) template.HTML {
	if n <= limit {
		return ""
	}
	return template.HTML(`<li class="note">` + template.HTMLEscapeString(f.text("and more", n-limit)) + `</li>`)
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
	return template.HTML(fmt.Sprintf(`<time datetime="%s">%s</time>`,
		t.UTC().Format(time.RFC3339), t.UTC().Format("01-02 15:04 UTC")))
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
