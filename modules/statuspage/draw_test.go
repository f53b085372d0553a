package statuspage

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

func TestLine(t *testing.T) {
	at := func(v float64) *float64 { return &v }
	for want, values := range map[string][]*float64{
		"":                          {nil, nil},
		"M0 0h1l1 7 1 7":            {at(2), at(1), at(0)},
		"M1 14h1l1-14M4 7h1":        {nil, at(0), at(2), nil, at(1)},
		"M0 0h1l1 0 1 0":            {at(2), at(2), at(2)},
		"M0 7h1l1-7M3 0h1l1 14 1 0": {at(1), at(2), nil, at(2), at(0), at(0)},
	} {
		if got := line(values, 2); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := line([]*float64{at(0)}, 0); got != "M0 14h1" {
		t.Errorf("without a height: %q", got)
	}
}

// Half hours of one kind are one line, and the kind with the longest path is the
// background.
func TestStrip(t *testing.T) {
	for day, want := range map[string]string{
		"--..xx-c~": `<svg aria-hidden=true class=n><path class=u d="M2 0h2"/><path class=c d="M7 0h1"/><path class=m d="M8 0h1"/><path class=d d="M4 0h2"/></svg>`,
		"....x..x.": `<svg aria-hidden=true><path class=d d="M4 0h1m2 0h1"/></svg>`,
		"x.~~x.x":   `<svg aria-hidden=true class=d><path class=u d="M1 0h1m3 0h1"/><path class=m d="M2 0h2"/></svg>`,
		"---":       `<svg aria-hidden=true class=n></svg>`,
	} {
		if got := string(formatter{english}.strip(status.History{Day: day})); got != want {
			t.Errorf("%s: got %s, want %s", day, got, want)
		}
	}
}

func TestBadge(t *testing.T) {
	short, long := badge("a", "up", "#000"), badge("一个名字<很长>", "up 99.9 %", "#000")
	if !strings.Contains(long, "一个名字&lt;很长&gt;") || len(short) >= len(long) {
		t.Errorf("%s %s", short, long)
	}
}

// A page of 50 targets and 50 upstreams is within its bound also where all of them
// have names of a usual length, a last ping or load, and a day of which each half
// hour is another than the one before, and a tenth of them an error.
func TestPageOfManyRows(t *testing.T) {
	at := time.Date(2027, 3, 4, 12, 34, 56, 0, time.UTC)
	fail := func(i int, message string) string {
		if i%10 > 0 {
			return ""
		}
		return message
	}
	s := status.New(at)
	for i := range 50 {
		h := status.History{Day: strings.Repeat(".~x", status.Slots/3)}
		for slot := range status.Slots {
			ms := float64(1 + (slot*7919+i)%97)
			h.Latencies = append(h.Latencies, &ms)
		}
		good := .9876
		h.UptimeDay, h.UptimeMonth = &good, &good
		s.Targets = append(s.Targets, status.Target{
			Name: fmt.Sprintf("shop-api-%d", i), Upstream: fmt.Sprintf("shop-api-%d.onrender.com:443", i), State: status.StateUp,
			LastPing: &at, NextPing: &at, LatencyMS: 123, LastError: fail(i, "status 503, want 2xx"), Failures: 2, History: h,
		})
		s.Upstreams = append(s.Upstreams, status.Upstream{
			Name: fmt.Sprintf("shop-api-%d.onrender.com:443", i), Page: "/swagger/index.html", State: "awake", ScoreMS: &good, LastMS: &good, LastLoad: &at,
			LastError: fail(i, "answered with status 500"), Reason: status.ReasonSlower,
			Why: fmt.Sprintf("It is slower than the winner shop-api-%d.onrender.com:443: 44.31 ms against 4.71 ms.", i), History: h,
		})
	}
	for _, lang := range languages {
		page, _ := renderParts(lang, newSnapshot(s), nil)
		document := page.document()
		t.Logf("%s: %d bytes", lang, len(document))
		if rows := strings.Count(string(document), "<tr><th>") - 2; rows != 100 || len(document) > 60_000 {
			t.Errorf("%s: %d rows, %d bytes, want 100 and no more than 60000", lang, rows, len(document))
		}
	}
}
