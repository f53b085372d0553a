package statuspage

import (
	"fmt"
	"html"
	"net/http"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

// badgeColors are the colors of the states of a target, dark enough for white
// text.
var badgeColors = map[string]string{
	status.StateUp: "#1a7f45", status.StateFailing: "#9a6700", status.StateDown: "#c0342c", status.StateUnknown: "#5a6474",
}

// badgeTarget returns the target of the name of a badge, such as badge/api.svg.
func (h *Handler) badgeTarget(name string) (status.Target, bool) {
	name, isBadge := strings.CutPrefix(name, "badge/")
	name, isSVG := strings.CutSuffix(name, ".svg")
	if isBadge && isSVG {
		for _, t := range h.board.status().Targets {
			if t.Name == name {
				return t, true
			}
		}
	}
	return status.Target{}, false
}

// serveBadge serves an image with the state of a target and the share of its
// pings in the last 30 days that were well.
func serveBadge(t status.Target) serveFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		lang := languageOf(r)
		w.Header().Set("Content-Type", "image/svg+xml")
		w.Header().Set("Content-Security-Policy", "default-src 'none'")
		w.Header().Add("Vary", "Accept-Language")
		// Image proxies ask again each time.
		w.Header().Set("Cache-Control", "no-cache")
		state := lang.of(texts[t.State])
		if t.History.UptimeMonth != nil {
			state += " " + share(t.History.UptimeMonth)
		}
		return write(w, r, []byte(badge(t.Name, state, badgeColors[t.State])))
	}
}

// badge draws two texts beside each other.
func badge(label, value, color string) string {
	left, right := textWidth(label)+14, textWidth(value)+14
	label, value = html.EscapeString(label), html.EscapeString(value)
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%[1]d" height="20" role="img" aria-label="%[4]s: %[5]s"><title>%[4]s: %[5]s</title>`+
		`<clipPath id="r"><rect width="%[1]d" height="20" rx="4"/></clipPath><g clip-path="url(#r)"><rect width="%[2]d" height="20" fill="#3b434f"/><rect x="%[2]d" width="%[3]d" height="20" fill="%[6]s"/></g>`+
		`<g fill="#fff" font-family="Verdana,DejaVu Sans,Noto Sans CJK SC,sans-serif" font-size="11" text-anchor="middle">`+
		`<text x="%[7]d" y="14" textLength="%[8]d">%[4]s</text><text x="%[9]d" y="14" textLength="%[10]d">%[5]s</text></g></svg>`+"\n",
		left+right, left, right, label, value, color, left/2, left-14, left+right/2, right-14)
}

// textWidth estimates the width of a text of 11 pixels. The text is drawn in that
// width, whatever the font.
func textWidth(text string) int {
	width := 0.0
	for _, r := range text {
		switch {
		case strings.ContainsRune("il.,:;'|!/()[]tfjrI- ", r):
			width += 4.4
		case strings.ContainsRune("mwMW%@", r):
			width += 10
		case r >= 0x2E80: // of East Asia
			width += 11
		default:
			width += 7
		}
	}
	return int(width + .5)
}
