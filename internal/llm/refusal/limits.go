package refusal

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Limit is the state of one of the account's limits, as a response's header
// states it.
type Limit struct {
	// Name is the header's own word for the limit, in lower case, such as
	// "requests" or "tokens-minute". It is "" for a provider with only one.
	Name string

	// Amount is the limit, in requests or tokens. Zero: the header gives none.
	Amount int64

	// Remaining is how much is left, in the same unit.
	Remaining int64

	// Until is when more becomes available. Zero: unknown.
	Until time.Time

	// AllModels reports whether the limit is the account's and not the model's.
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
			continue // cheap: most header fields begin with another letter
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
			continue // some providers send -1 for no limit
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

// firstOf returns when the first unit of an exhausted limit becomes available,
// given when all of it is. At Groq and OpenAI requests come back one by one, and
// the header states when the last one does: in Groq's documentation 30 of 14400
// a day are used and the reset is 3 minutes away. Waiting for the reset would
// leave an exhausted key unused for a day.
func (l Limit) firstOf(all time.Time, provider Provider, now time.Time) time.Time {
	oneByOne := (provider == Groq || provider == OpenAI) && l.Name == "requests"
	if !oneByOne || l.Remaining > 0 || l.Amount == 0 || !all.After(now) {
		return all
	}
	return now.Add(max(time.Second, all.Sub(now)/time.Duration(l.Amount)))
}

// limitHeader is the family of header fields of one limit.
type limitHeader struct {
	name         string // of the limit
	limit, reset string // names of the fields with the limit and its reset
	allModels    bool
}

// parseLimitHeader derives the family from the name of the field with what is
// left, such as X-Ratelimit-Remaining-Tokens-Minute or
// Anthropic-Ratelimit-Requests-Remaining. ok is false for any other field.
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

// standardLimits reads RateLimit (draft-ietf-httpapi-ratelimit-headers): a list of
// `"api";r=0;t=57`, or in older drafts one `limit=100, remaining=0, reset=57`.
// A limit without what remains is left out.
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

// endOfWindow returns when the window of a limit has certainly ended, by the
// limit's name. A day's end is known only with the provider's zone; without it,
// and for a month, the limit is tried again after an hour.
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

// IsLong reports whether the limit's name is one of a day or a month.
func (l Limit) IsLong() bool {
	return strings.HasSuffix(l.Name, "day") || strings.HasSuffix(l.Name, "month")
}
