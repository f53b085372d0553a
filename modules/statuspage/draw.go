package statuspage

import (
	"fmt"
	"html/template"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

func (f formatter) drawings() template.FuncMap {
	return template.FuncMap{"strip": f.strip, "bar": f.bar}
}

// classes are the classes of the characters of a history's day.
var classes = map[byte]string{'.': "u", 'c': "c", '~': "m", 'x': "d", '-': "n"}

// strip draws a day as a bar for each half an hour. Bars of one kind that follow
// each other are one dashed line, so that an uneventful day is a few bytes.
func (f formatter) strip(h status.History) template.HTML {
	label := f.text("strip none")
	if h.UptimeDay != nil {
		label = f.text("strip label", share(h.UptimeDay))
	}
	var paths strings.Builder
	for from := 0; from < len(h.Day); {
		to := from
		for to < len(h.Day) && h.Day[to] == h.Day[from] {
			to++
		}
		fmt.Fprintf(&paths, `<path class="%s" d="M%d 12h%d"/>`, classes[h.Day[from]], from*6+1, (to-from)*6-2)
		from = to
	}
	return template.HTML(fmt.Sprintf(`<svg class="strip" viewBox="0 0 %d 24" preserveAspectRatio="none" role="img" aria-label="%s">%s</svg>`,
		len(h.Day)*6, template.HTMLEscapeString(label), &paths))
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
