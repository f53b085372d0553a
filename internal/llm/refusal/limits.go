package refusal

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Limit is what the header of a response says about one of the account's limits.
type Limit struct {
	// Name is the header's own word for it, such as "requests", "tokens-minute"
	// or "" for a provider that has only one.
	Name string

	// Amount is the limit. Zero: the header does not say.
	Amount int64

	// Remaining is what is left of it.
	Remaining int64

	// Until is when there is more. Zero: it is not known.
	Until time.Time

	// AllModels says that the limit is one of the account, not of the model.
	AllModels bool
}

// Exhausted reports whether nothing is left until a known time.
func (l Limit) Exhausted(now time.Time) bool { return l.Remaining == 0 && l.Until.After(now) }

// Limits returns the limits in the header of a response, whatever its status. An
// exhausted limit without a time gets the one by which its window has ended.
//
// Sources, all read in 2026-11: console.groq.com/docs/rate-limits and
// developers.openai.com/api (x-ratelimit-remaining-requests beside
// -reset-requests, as durations), inference-docs.cerebras.ai
// (x-ratelimit-reset-tokens-minute, in seconds), github.com/mistralai/
// platform-docs-public (x-ratelimitbysize-remaining-minute, ratelimitbysize-reset),
// github.com/OpenRouterTeam/docs (X-RateLimit-Reset, in milliseconds),
// docs.claude.com (anthropic-ratelimit-requests-reset, as a date),
// draft-ietf-httpapi-ratelimit-headers (RateLimit), and responses of ModelScope
// (modelscope-ratelimit-model-requests-remaining).
func Limits(header http.Header, provider Provider, now time.Time) (limits []Limit) {
	for name, values := range header {
		if len(values) == 0 {
			continue
		}
		switch name[0] {
		case 'X', 'R', 'A', 'M':
		default:
			continue // most of them
		}
		if name == "Ratelimit" {
			limits = append(limits, standardLimits(values, now)...)
			continue
		}
		h, ok := parseLimitHeader(name)
		if !ok {
			continue
		}
		remaining, err := strconv.ParseFloat(strings.TrimSpace(values[0]), 64)
		if err != nil || remaining < 0 || remaining > 1e15 {
			continue // some write -1 for no limit
		}
		l := Limit{Name: h.name, Remaining: int64(remaining), AllModels: h.allModels}
		if amount := header.Get(h.limit); amount != "" {
			n, err := strconv.ParseFloat(strings.TrimSpace(amount), 64)
			if err != nil || n <= 0 || n > 1e15 {
				continue // and some 0 of 0
			}
			l.Amount = int64(n)
		}
		if at, ok := moment(header.Get(h.reset), now); ok {
			l.Until = l.firstOf(at, provider, now)
		} else if l.Remaining == 0 {
			l.Until = endOfWindow(h.name, provider, now)
		}
		limits = append(limits, l)
	}
	return limits
}

// firstOf returns when there is one more of an exhausted limit, of which all is
// there again at a time. Groq and OpenAI let requests come back one by one, and
// tell when all of them are back: Groq's own example has 30 of 14400 a day used and
// a reset of 3 minutes.
func (l Limit) firstOf(all time.Time, provider Provider, now time.Time) time.Time {
	oneByOne := (provider == Groq || provider == OpenAI) && l.Name == "requests"
	if !oneByOne || l.Remaining > 0 || l.Amount == 0 || !all.After(now) {
		return all
	}
	return now.Add(max(time.Second, all.Sub(now)/time.Duration(l.Amount)))
}

// limitHeader are the headers of one limit.
type limitHeader struct {
	name         string
	limit, reset string // their names
	allModels    bool
}

// parseLimitHeader takes the name of a header apart that says what is left of a
// limit.
func parseLimitHeader(name string) (h limitHeader, ok bool) {
	replaced := func(with string) string { return strings.Replace(name, "Remaining", with, 1) }
	h.limit, h.reset = replaced("Limit"), replaced("Reset")
	for _, prefix := range [...]string{
		"X-Ratelimit-Remaining", "X-Rate-Limit-Remaining", "Ratelimit-Remaining", "X-Ratelimitbysize-Remaining", "Ratelimitbysize-Remaining",
	} {
		if rest, found := strings.CutPrefix(name, prefix); found && (rest == "" || rest[0] == '-') {
			h.name = strings.ToLower(strings.TrimPrefix(rest, "-"))
			return h, true
		}
	}
	rest, found := strings.CutSuffix(name, "-Remaining")
	if !found {
		return h, false
	}
	if h.name, found = strings.CutPrefix(rest, "Anthropic-Ratelimit-"); !found {
		if h.name, found = strings.CutPrefix(rest, "Modelscope-Ratelimit-"); !found {
			return h, false
		}
		h.name = strings.TrimPrefix(h.name, "Model-")
		h.allModels = !strings.Contains(rest, "-Model-")
		h.name += "-Day"
	}
	h.name = strings.ToLower(h.name)
	return h, true
}

// standardLimits reads RateLimit: `"api";r=0;t=57` for each of the limits, or, in an
// older draft, `limit=100, remaining=0, reset=57`.
func standardLimits(values []string, now time.Time) (limits []Limit) {
	text := strings.Join(values, ", ")
	items := strings.Split(text, ",")
	if !strings.Contains(text, ";") {
		items = []string{strings.ReplaceAll(text, ",", ";")}
	}
	for _, item := range items {
		l, known := Limit{AllModels: true}, false
		for i, part := range strings.Split(item, ";") {
			key, v, _ := strings.Cut(strings.TrimSpace(part), "=")
			n, err := strconv.ParseInt(v, 10, 64)
			switch {
			case i == 0 && v == "":
				l.Name = strings.Trim(key, `"`)
			case err != nil || n < 0 || n > 1e15:
			case key == "r" || key == "remaining":
				l.Remaining, known = n, true
			case key == "t" || key == "reset":
				l.Until, _ = moment(v, now)
			case key == "limit":
				l.Amount = n
			}
		}
		if known {
			limits = append(limits, l)
		}
	}
	return limits
}

// endOfWindow returns by when the window of a limit has ended that its name
// tells. That of a day is known only where the provider's zone is.
func endOfWindow(name string, provider Provider, now time.Time) time.Time {
	switch name[strings.LastIndexByte(name, '-')+1:] {
	case "second":
		return now.Add(time.Second)
	case "minute":
		return now.Add(time.Minute)
	case "hour":
		return now.Add(time.Hour)
	case "day":
		if zone := provider.known().zone; zone != "" {
			return NextDay(now, zone)
		}
		return now.Add(time.Hour)
	case "month":
		return now.Add(time.Hour)
	}
	return time.Time{}
}

// IsLong reports whether the limit is by its name one of a day or a month.
func (l Limit) IsLong() bool {
	return strings.HasSuffix(l.Name, "day") || strings.HasSuffix(l.Name, "month")
}
