package refusal

import (
	"testing"
	"time"
)

func TestProviderOf(t *testing.T) {
	for host, want := range map[string]Provider{
		"generativelanguage.googleapis.com": Gemini,
		"API.Groq.com.":                     Groq,
		"api.groq.com:443":                  Groq,
		"eu.openrouter.ai":                  OpenRouter,
		"dashscope-intl.aliyuncs.com":       DashScope,
		"me.openai.azure.com":               Azure,
		"xopenrouter.ai":                    "",
		"api.groq.com.example.com":          "",
		"127.0.0.1:8080":                    "",
		"[::1]:8080":                        "",
		"":                                  "",
	} {
		if got := ProviderOf(host); got != want {
			t.Errorf("%s: %q, want %q", host, got, want)
		}
	}
}

// Days end at the zone's midnight, over clock changes, too.
func TestResets(t *testing.T) {
	for _, tc := range []struct{ zone, now, day, month string }{
		{pacific, "2026-11-26T12:00:00Z", "2026-11-27T08:00:00Z", "2026-12-01T08:00:00Z"},
		{pacific, "2026-07-01T12:00:00Z", "2026-07-02T07:00:00Z", "2026-08-01T07:00:00Z"},
		{pacific, "2026-11-26T07:59:59Z", "2026-11-26T08:00:00Z", "2026-12-01T08:00:00Z"},
		{pacific, "2026-11-26T08:00:00Z", "2026-11-27T08:00:00Z", "2026-12-01T08:00:00Z"},
		// The clock goes forward on 8 March and back on 1 November.
		{pacific, "2026-03-08T09:00:00Z", "2026-03-09T07:00:00Z", "2026-04-01T07:00:00Z"},
		{pacific, "2026-03-07T20:00:00Z", "2026-03-08T08:00:00Z", "2026-04-01T07:00:00Z"},
		{pacific, "2026-11-01T08:00:00Z", "2026-11-02T08:00:00Z", "2026-12-01T08:00:00Z"},
		{pacific, "2026-10-31T20:00:00Z", "2026-11-01T07:00:00Z", "2026-11-01T07:00:00Z"},
		{shanghai, "2026-11-26T15:59:59Z", "2026-11-26T16:00:00Z", "2026-11-30T16:00:00Z"},
		{utc, "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z"},
		// Midnight is skipped on 24 April in Cairo.
		{"Africa/Cairo", "2026-04-23T12:00:00Z", "2026-04-23T22:00:00Z", "2026-04-30T21:00:00Z"},
		// It comes twice on 30 October there.
		{"Africa/Cairo", "2026-10-29T12:00:00Z", "2026-10-29T22:00:00Z", "2026-10-31T22:00:00Z"},
	} {
		at, err := time.Parse(time.RFC3339, tc.now)
		if err != nil {
			t.Fatal(err)
		}
		if got := NextDay(at, tc.zone).UTC().Format(time.RFC3339); got != tc.day {
			t.Errorf("%s at %s: day ends %s, want %s", tc.zone, tc.now, got, tc.day)
		}
		if got := NextMonth(at, tc.zone).UTC().Format(time.RFC3339); got != tc.month {
			t.Errorf("%s at %s: month ends %s, want %s", tc.zone, tc.now, got, tc.month)
		}
	}
}

// The next day is always after now and at most 25 hours away.
func TestNextDayOverAYear(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, zone := range []string{pacific, shanghai, utc, "Africa/Cairo", "Australia/Lord_Howe", "America/Havana"} {
		for at := start; at.Year() == 2026; at = at.Add(7 * time.Hour) {
			next := NextDay(at, zone)
			if wait := next.Sub(at); wait <= 0 || wait > 25*time.Hour {
				t.Fatalf("%s at %v: the day ends in %v", zone, at, wait)
			}
			if before := next.Add(-time.Second).In(location(zone)); before.Day() == next.In(location(zone)).Day() {
				t.Fatalf("%s at %v: %v is not the first moment of its day", zone, at, next)
			}
		}
	}
}
