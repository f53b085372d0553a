package retryhint

import (
	"strings"
	"testing"
	"time"
)

func TestFromBody(t *testing.T) {
	const (
		perMinute = `{"violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]}`
		perDay    = `{"violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}`
		delay     = `{"retryDelay":"34.5s"}`
	)
	google := func(details ...string) string { return `{"error":{"details":[` + strings.Join(details, ",") + `]}}` }
	winter := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	summer := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name, text string
		now        time.Time
		want       time.Duration // -1: not said
	}{
		{"minute", google(perMinute, delay), winter, 34500 * time.Millisecond},
		{"day, standard time", google(perDay, delay), winter, 20 * time.Hour},
		{"day, daylight saving time", google(delay, perDay), summer, 19 * time.Hour},
		{"in an array", "[" + google(delay) + "\n]\n", winter, 34500 * time.Millisecond},
		{"the longest", google(delay, `{"retryDelay":"60s"}`, delay), winter, time.Minute},
		{"too long", google(`{"retryDelay":"10000h"}`), winter, MaxWait},
		{"headers in the metadata", `{"error":{"metadata":{"headers":{"X-RateLimit-Remaining":"0","X-RateLimit-Reset":"1772366430000"}}}}`, winter, 30 * time.Second},
		{"no delay", google(`{"retryDelay":"-5s"}`, `{"retryDelay":"soon"}`), winter, -1},
		{"nothing", `{"error":{"message":"slow down"}}`, winter, -1},
		{"cut off", google(delay)[:40], winter, -1},
		{"not JSON", `slow down`, winter, -1},
		{"empty", ``, winter, -1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := FromBody([]byte(tc.text), tc.now)
			if (tc.want < 0 && !got.IsZero()) || (tc.want >= 0 && !got.Equal(tc.now.Add(tc.want))) {
				t.Errorf("got %v after %v, want %v", got.Sub(tc.now), tc.now, tc.want)
			}
		})
	}
}
