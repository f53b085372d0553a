package refusal

import (
	"net/http"
	"testing"
	"time"
)

func header(pairs ...string) http.Header {
	h := make(http.Header)
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func TestHintsInHeaders(t *testing.T) {
	for _, tc := range []struct {
		name   string
		header http.Header
		want   time.Duration // 0: not stated
		source string
	}{
		{"nothing", nil, 0, ""},
		{"seconds", header("Retry-After", "7"), 7 * time.Second, "Retry-After"},
		{"a fraction", header("Retry-After", "0.5"), 500 * time.Millisecond, "Retry-After"},
		{"a date", header("Retry-After", "Thu, 26 Nov 2026 12:01:00 GMT"), time.Minute, "Retry-After"},
		{"a date gone by", header("Retry-After", "Thu, 26 Nov 2026 11:00:00 GMT"), 0, ""},
		{"milliseconds first", header("retry-after-ms", "1500", "Retry-After", "7"), 1500 * time.Millisecond, "retry-after-ms"},
		{"zero says nothing", header("Retry-After", "0"), 0, ""},
		{"zero, and a reset", header("Retry-After", "0", "x-ratelimit-reset", "9"), 9 * time.Second, "x-ratelimit-reset"},
		{"OpenAI", header(
			"x-ratelimit-remaining-requests", "0", "x-ratelimit-reset-requests", "6m0s",
			"x-ratelimit-remaining-tokens", "900", "x-ratelimit-reset-tokens", "2h",
		), 6 * time.Minute, "x-ratelimit-reset-requests"},
		{"Groq", header("x-ratelimit-reset-requests", "2m59.56s", "x-ratelimit-reset-tokens", "7.66s"), 2*time.Minute + 59560*time.Millisecond, "x-ratelimit-reset-requests"},
		{"nothing exhausted", header("x-ratelimit-remaining-requests", "12", "x-ratelimit-reset-requests", "6m0s"), 0, ""},
		{"milliseconds as a duration", header("x-ratelimit-reset-tokens", "825ms"), 825 * time.Millisecond, "x-ratelimit-reset-tokens"},
		{"days", header("x-ratelimit-reset-requests", "1d2h"), 26 * time.Hour, "x-ratelimit-reset-requests"},
		{"Unix milliseconds", header("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1795694430000"), 30 * time.Second, "x-ratelimit-reset"},
		{"Unix seconds", header("X-RateLimit-Reset", "1795694430"), 30 * time.Second, "x-ratelimit-reset"},
		{"seconds with a fraction", header("x-ratelimit-reset-tokens-minute", "26.5"), 26500 * time.Millisecond, "x-ratelimit-reset-tokens-minute"},
		{"Mistral", header("ratelimitbysize-remaining", "0", "ratelimitbysize-reset", "7"), 7 * time.Second, "ratelimitbysize-reset"},
		{"Anthropic", header("anthropic-ratelimit-requests-remaining", "0", "anthropic-ratelimit-requests-reset", "2026-11-26T12:00:45Z"), 45 * time.Second, "anthropic-ratelimit-requests-reset"},
		{"Anthropic, input tokens", header("anthropic-ratelimit-input-tokens-remaining", "0", "anthropic-ratelimit-input-tokens-reset", "2026-11-26T12:00:46Z"), 46 * time.Second, "anthropic-ratelimit-input-tokens-reset"},
		{"RateLimit, draft 10", header("RateLimit", `"api";r=0;t=57`), 57 * time.Second, "ratelimit"},
		{"RateLimit, draft 7", header("RateLimit", "limit=100, remaining=0, reset=58"), 58 * time.Second, "ratelimit"},
		{"RateLimit with something left", header("RateLimit", `"api";r=3;t=57`), 0, ""},
		{"RateLimit-Reset", header("RateLimit-Remaining", "0", "RateLimit-Reset", "59"), 59 * time.Second, "ratelimit-reset"},
		{"nonsense", header("Retry-After", "soon", "x-ratelimit-reset-requests", "later"), 0, ""},
		{"for ever", header("Retry-After", "1e300"), forever, "Retry-After"},
		{"negative", header("Retry-After", "-5"), 0, ""},
		{"not a number", header("Retry-After", "NaN"), 0, ""},
		{"infinite", header("Retry-After", "Inf"), forever, "Retry-After"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := read(&Input{Status: 429, Header: tc.header, Now: now}).hint()
			if tc.want == 0 {
				if !h.Until.IsZero() {
					t.Errorf("got %v by %s, want none", h.Until.Sub(now), h.Source)
				}
				return
			}
			if got := h.Until.Sub(now); got != tc.want || h.Source != tc.source {
				t.Errorf("got %v by %s, want %v by %s", got, h.Source, tc.want, tc.source)
			}
		})
	}
}

func TestHintsInTexts(t *testing.T) {
	at := func(s string) time.Duration {
		moment, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return moment.Sub(now)
	}
	for text, want := range map[string]time.Duration{
		"Please try again in 7m12.5s.":                                      7*time.Minute + 12500*time.Millisecond,
		"Please try again in 20s. Contact us":                               20 * time.Second,
		"try again in 6ms":                                                  6 * time.Millisecond,
		"Please try again in 1h23m4.5s.":                                    time.Hour + 23*time.Minute + 4500*time.Millisecond,
		"Please retry in 38.2s.":                                            38200 * time.Millisecond,
		"Please retry after 20 seconds.":                                    20 * time.Second,
		"please try again after 1 seconds":                                  time.Second,
		"Retry after 40 seconds.":                                           40 * time.Second,
		"Request was throttled. Expected available in 12 seconds.":          12 * time.Second,
		"Please wait 2 minutes":                                             2 * time.Minute,
		"Your quota resets in 3 hours and 5 minutes":                        3*time.Hour + 5*time.Minute,
		"The limit resets in 2 days":                                        48 * time.Hour,
		"请在 30 秒后重试":                                                        30 * time.Second,
		"请求过于频繁，请3分钟后再试":                                                    3 * time.Minute,
		"Your limit will reset at 2026-11-26 13:00:00":                      time.Hour,
		"You will regain access on 2026-12-01 at 00:00 UTC":                 at("2026-12-01T00:00:00Z"),
		"resets at 2026-11-26T13:00:00Z":                                    time.Hour,
		"resets at 2026-11-26T13:00:00+01:00":                               0, // now
		"limit of 5 requests in 3 minutes":                                  0,
		"try again in a while":                                              0,
		"try again later":                                                   0,
		"you asked 12 times in 3 hours":                                     0,
		"Limit 100000, Used 97050, Requested 3619. Please try again soon":   0,
		"try again in 99999999999999999999999999999999999999999999 seconds": forever,
	} {
		h := read(&Input{Status: 429, Body: []byte(text), Now: now}).hint()
		got := max(0, h.Until.Sub(now))
		if h.Until.IsZero() {
			got = 0
		}
		if got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	// Z.ai's times are Beijing's.
	h := read(&Input{Status: 429, Provider: ZAI, Now: now, Body: []byte("Your limit will reset at 2026-11-26 21:00:00")}).hint()
	if got := h.Until.Sub(now); got != time.Hour {
		t.Errorf("Z.ai: %v, want 1h", got)
	}
}

func TestHintsInFields(t *testing.T) {
	for body, want := range map[string]time.Duration{
		`{"error":{"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.5s"}]}}`: 34500 * time.Millisecond,
		`{"error":{"details":[{"retryDelay":{"seconds":"34","nanos":5}}]}}`:                                 34 * time.Second,
		`{"error":{"details":[{"retryDelay":"-5s"},{"retryDelay":"soon"}]}}`:                                0,
		`{"error":{"retry_after":12}}`:                                12 * time.Second,
		`{"error":{"retry_after_ms":1200}}`:                           1200 * time.Millisecond,
		`{"retry_after":"12"}`:                                        12 * time.Second,
		`{"error":{"availability":{"code":"x","retry_after":13}}}`:    13 * time.Second,
		`{"error":{"resets_at":1795694460}}`:                          time.Minute,
		`{"error":{"metadata":{"resets_at":"2026-11-26T12:02:00Z"}}}`: 2 * time.Minute,
		`{"error":{"resets_in_seconds":90}}`:                          90 * time.Second,
		`{"error":{"metadata":{"headers":{"X-RateLimit-Remaining":"0","X-RateLimit-Reset":1795694430000}}}}`: 30 * time.Second,
		`{"error":{"metadata":{"headers":{"Retry-After":"31"}}}}`:                                            31 * time.Second,
		`{"error":"loading","estimated_time":20.5}`:                                                          20500 * time.Millisecond,
		`{"error":{"retry_after":null}}`:                                                                     0,
		`{"error":{"retry_after":{"x":1}}}`:                                                                  0,
		`{"retry_after":`:                                                                                    0,
	} {
		h := read(&Input{Status: 429, Body: []byte(body), Now: now}).hint()
		if got := h.Until.Sub(now); got != want && !(want == 0 && h.Until.IsZero()) {
			t.Errorf("%s: %v, want %v", body, got, want)
		}
	}
}

// Stated times are believed up to an hour, those of quotas up to 31 days.
func TestBelief(t *testing.T) {
	classify := func(status int, body, retryAfter string, most time.Duration) Verdict {
		return Classify(Input{Status: status, Body: []byte(body), Header: header("Retry-After", retryAfter), Now: now, MaxCooldown: most})
	}
	const (
		rate  = `{"error":{"code":"rate_limit_exceeded"}}`
		quota = `{"error":{"code":"rate_limit_exceeded","message":"on requests per day (RPD)"}}`
		money = `{"error":{"code":"insufficient_quota"}}`
		dead  = `{"error":{"code":"invalid_api_key"}}`
		busy  = `{"error":{"code":"queue_exceeded"}}`
	)
	for _, tc := range []struct {
		name             string
		status           int
		body, retryAfter string
		most             time.Duration
		want             time.Duration
		believed         bool
	}{
		{"rate limit", 429, rate, "1800", 0, 30 * time.Minute, true},
		{"rate limit, too long", 429, rate, "999999", 0, time.Hour, false},
		{"rate limit, configured", 429, rate, "999999", 5 * time.Minute, 5 * time.Minute, false},
		{"capacity", 429, busy, "40", 0, 40 * time.Second, true},
		{"day quota", 429, quota, "72000", 0, 20 * time.Hour, true},
		{"day quota, too long", 429, quota, "99999999", 0, longestQuota, false},
		{"credit", 402, money, "99999", 0, 99999 * time.Second, true},
		{"a dead key does not live again in a moment", 401, dead, "5", 0, 0, true},
		{"a dead key for an hour", 401, dead, "3600", 0, time.Hour, true},
		{"a dead key for a year", 401, dead, "31536000", 0, day, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := classify(tc.status, tc.body, tc.retryAfter, tc.most)
			got := v.Until.Sub(now)
			if v.Until.IsZero() {
				got = 0
			}
			if got != tc.want || v.Hint.Believed != tc.believed {
				t.Errorf("%v (believed: %v), want %v (%v); %s", got, v.Hint.Believed, tc.want, tc.believed, v.Rule)
			}
		})
	}
}
