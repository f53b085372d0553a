package statuspage

import (
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

func TestLine(t *testing.T) {
	at := func(v float64) *float64 { return &v }
	for want, values := range map[string][]*float64{
		"":                             {nil, nil},
		"M0 2h1l5 0 6 14 6 14":         {at(2), at(1), at(0)},
		"M6 30h1l5 0 6-28M24 16h1l5 0": {nil, at(0), at(2), nil, at(1)},
		"M0 2h1l5 0 6 0 6 0":           {at(2), at(2), at(2)},
	} {
		if got := line(values, 2); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := line([]*float64{at(0)}, 0); got != "M0 30h1l5 0" {
		t.Errorf("without a height: %q", got)
	}
}

// Half hours of one kind are one line.
func TestStrip(t *testing.T) {
	up := .5
	got := string(formatter{english}.strip(status.History{Day: "--..xx-c~", UptimeDay: &up}))
	for _, want := range []string{
		`viewBox="0 0 54 24"`, `aria-label="last 24 hours: 50 % up"`, `<path class="n" d="M1 12h10M37 12h4"/>`, `<path class="u" d="M13 12h10"/>`,
		`<path class="d" d="M25 12h10"/>`, `<path class="c" d="M43 12h4"/>`, `<path class="m" d="M49 12h4"/>`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the strip lacks %s: %s", want, got)
		}
	}
}

func TestBadge(t *testing.T) {
	short, long := badge("a", "up", "#000"), badge("一个名字<很长>", "up 99.9 %", "#000")
	if !strings.Contains(long, "一个名字&lt;很长&gt;") || len(short) >= len(long) {
		t.Errorf("%s %s", short, long)
	}
}
