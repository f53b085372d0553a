package retryhint

import (
	"net/http"
	"testing"
	"time"
)

func TestFromHeader(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name   string
		header map[string]string
		want   time.Duration // -1: not said
	}{
		{"nothing", nil, -1},
		{"seconds", map[string]string{"Retry-After": "7"}, 7 * time.Second},
		{"a fraction", map[string]string{"Retry-After": "0.5"}, 500 * time.Millisecond},
		{"a date", map[string]string{"Retry-After": "Sun, 01 Mar 2026 12:01:00 GMT"}, time.Minute},
		{"a date gone by", map[string]string{"Retry-After": "Sun, 01 Mar 2026 11:00:00 GMT"}, -1},
		{"milliseconds first", map[string]string{"retry-after-ms": "1500", "Retry-After": "7"}, 1500 * time.Millisecond},
		{"OpenAI", map[string]string{
			"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s",
			"x-ratelimit-remaining-tokens": "900", "x-ratelimit-reset-tokens": "2h",
		}, 6 * time.Minute},
		{"Groq", map[string]string{"x-ratelimit-reset-requests": "2m59.56s", "x-ratelimit-reset-tokens": "7.66s"}, 2*time.Minute + 59560*time.Millisecond},
		{"OpenRouter", map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1772366430000"}, 30 * time.Second},
		{"Unix seconds", map[string]string{"X-RateLimit-Reset": "1772366430"}, 30 * time.Second},
		{"Anthropic", map[string]string{"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": "2026-03-01T12:00:45Z"}, 45 * time.Second},
		{"nonsense", map[string]string{"Retry-After": "soon", "x-ratelimit-reset-requests": "later"}, -1},
		{"for ever", map[string]string{"Retry-After": "1e300"}, MaxWait},
		{"negative", map[string]string{"Retry-After": "-5"}, 0},
		{"not a number", map[string]string{"Retry-After": "NaN"}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			header := make(http.Header)
			for name, value := range tc.header {
				header.Set(name, value)
			}
			got := FromHeader(header, now)
			if (tc.want < 0 && !got.IsZero()) || (tc.want >= 0 && !got.Equal(now.Add(tc.want))) {
				t.Errorf("got %v after %v, want %v", got.Sub(now), now, tc.want)
			}
		})
	}
}
