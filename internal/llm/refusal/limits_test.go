package refusal

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLimits(t *testing.T) {
	now := time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name     string
		provider Provider
		header   string
		want     string // name remaining/amount seconds, * for all models
	}{
		{
			"Groq", Groq, "x-ratelimit-limit-requests: 14400|x-ratelimit-limit-tokens: 18000|x-ratelimit-remaining-requests: 14370|x-ratelimit-remaining-tokens: 0|x-ratelimit-reset-requests: 2m59.56s|x-ratelimit-reset-tokens: 7.5s",
			"requests 14370/14400 179.56, tokens 0/18000 7.5",
		},
		{
			"Groq's requests of a day", Groq, "x-ratelimit-limit-requests: 1000|x-ratelimit-remaining-requests: 0|x-ratelimit-reset-requests: 24h0m0s",
			"requests 0/1000 86.4",
		},
		{
			"the same of another", "", "x-ratelimit-limit-requests: 1000|x-ratelimit-remaining-requests: 0|x-ratelimit-reset-requests: 24h0m0s",
			"requests 0/1000 86400",
		},
		{
			"Cerebras", Cerebras, "x-ratelimit-limit-requests-day: 900|x-ratelimit-remaining-requests-day: 0|x-ratelimit-reset-requests-day: 33011.38|x-ratelimit-remaining-tokens-minute: 5|x-ratelimit-reset-tokens-minute: 11.38",
			"requests-day 0/900 33011.38, tokens-minute 5/0 11.38",
		},
		{
			"Mistral", Mistral, "ratelimitbysize-limit: 500000|ratelimitbysize-remaining: 0|ratelimitbysize-reset: 42|x-ratelimitbysize-remaining-minute: 0|x-ratelimitbysize-remaining-month: 7",
			" 0/500000 42, minute 0/0 60, month 7/0 0",
		},
		{
			"ModelScope", ModelScope, "modelscope-ratelimit-requests-limit: 2000|modelscope-ratelimit-requests-remaining: 0|modelscope-ratelimit-model-requests-limit: 500|modelscope-ratelimit-model-requests-remaining: 3",
			"requests-day 0/2000 21600*, requests-day 3/500 0",
		},
		{
			"OpenRouter", OpenRouter, fmt.Sprintf("X-RateLimit-Limit: 50|X-RateLimit-Remaining: 0|X-RateLimit-Reset: %d", now.Add(90*time.Second).UnixMilli()),
			" 0/50 90",
		},
		{
			"Anthropic", Anthropic, "anthropic-ratelimit-input-tokens-limit: 50|anthropic-ratelimit-input-tokens-remaining: 0|anthropic-ratelimit-input-tokens-reset: 2026-11-27T10:00:30Z",
			"input-tokens 0/50 30",
		},
		{"OpenAI", OpenAI, "x-ratelimit-remaining-requests: 0|x-ratelimit-reset-requests: 6m0s", "requests 0/0 360"},
		{"a standard", HuggingFace, `RateLimit: "api";r=0;t=57`, "api 0/0 57*"},
		{"a standard with two", "", `RateLimit: "burst";r=3;t=7, "day";r=0;t=70`, "burst 3/0 7*, day 0/0 70*"},
		{"an older draft", "", "RateLimit: limit=100, remaining=0, reset=57", " 0/100 57*"},
		{"an older draft in headers", "", "RateLimit-Limit: 10|RateLimit-Remaining: 0|RateLimit-Reset: 50", " 0/10 50"},
		{"Unix seconds", "", fmt.Sprintf("X-RateLimit-Remaining: 0|X-RateLimit-Reset: %d", now.Add(time.Minute).Unix()), " 0/0 60"},
		{"no limit", "", "x-ratelimit-remaining-requests: -1|x-ratelimit-limit-tokens: 0|x-ratelimit-remaining-tokens: 0|x-ratelimit-reset-tokens: 10s", ""},
		{"no number", "", "x-ratelimit-remaining-requests: many|X-RateLimit-Remainings: 0|RateLimit: x|RateLimit: \"a\";r=-1;t=5", ""},
		{"no time", "", "x-ratelimit-remaining-requests: 0", "requests 0/0 0"},
		{"other headers", "", "X-Request-Id: 1|Retry-After: 5|Age: 0|Model: remaining", ""},
	} {
		header := make(http.Header)
		for line := range strings.SplitSeq(test.header, "|") {
			name, value, _ := strings.Cut(line, ": ")
			header.Add(name, value)
		}
		limits := Limits(header, test.provider, now)
		slices.SortFunc(limits, func(a, b Limit) int {
			return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.Remaining, b.Remaining))
		})
		var got []string
		for _, l := range limits {
			wait, all := 0.0, ""
			if !l.Until.IsZero() {
				wait = l.Until.Sub(now).Round(time.Millisecond).Seconds()
			}
			if l.AllModels {
				all = "*"
			}
			got = append(got, fmt.Sprintf("%s %d/%d %v%s", l.Name, l.Remaining, l.Amount, wait, all))
		}
		if joined := strings.Join(got, ", "); joined != test.want {
			t.Errorf("%s:\ngot  %s\nwant %s", test.name, joined, test.want)
		}
	}
}

// Whatever stands in a header, no limit is negative.
func FuzzLimits(f *testing.F) {
	now := time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC)
	f.Add("X-Ratelimit-Remaining-Tokens", "0", "1e9")
	f.Add("Ratelimit", `"a";r=0;t=99999999999999999999`, "")
	f.Fuzz(func(t *testing.T, name, value, reset string) {
		if name == "" {
			return
		}
		header := http.Header{http.CanonicalHeaderKey(name): {value}, strings.Replace(name, "Remaining", "Reset", 1): {reset}}
		for _, l := range Limits(header, ModelScope, now) {
			if l.Remaining < 0 || l.Amount < 0 {
				t.Errorf("%s: %s, reset %s: %+v", name, value, reset, l)
			}
		}
	})
}
