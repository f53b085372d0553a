package refusal

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Hint is the time after which a provider allows the next request.
type Hint struct {
	// Until is the time. Zero: the provider states none.
	Until time.Time

	// Source names the header or member that states it, such as "Retry-After",
	// or is "message".
	Source string

	// Believed reports whether Until is within the longest cooldown of its kind,
	// so that it is used as it is.
	Believed bool
}

// statedTime is one time in a response, with the header or member it is from.
type statedTime struct {
	until  time.Time
	source string
}

// hint returns the time after which the provider allows the next request. The
// first source that states one in the future decides, from the most to the
// least definite: the headers for this purpose, members of the body, the resets
// of exhausted limits, the message. Of several times in one source the latest
// counts.
//
// Sources: RFC 9110, section 10.2.3, for Retry-After; OpenAI's and Groq's
// documentation of rate limits for retry-after-ms and x-ratelimit-reset-*,
// Anthropic's for anthropic-ratelimit-*; draft-ietf-httpapi-ratelimit-headers
// for RateLimit; AIP-193 for RetryInfo.
func (f *facts) hint() Hint {
	for _, times := range [...][]statedTime{
		retryAfter(f.in.Header, f.in.Now),
		f.times,
		resetHeaders(f.in.Header, f.in.Now),
		messageTimes(f.messages.plain, f.in.Now, f.clock()),
	} {
		var h Hint
		for _, w := range times {
			if w.until.After(h.Until) && w.until.After(f.in.Now) {
				h = Hint{Until: w.until, Source: w.source}
			}
		}
		if !h.Until.IsZero() {
			return h
		}
	}
	return Hint{}
}

// retryAfter reads the headers whose purpose is this. retry-after-ms, which
// OpenAI and Azure send, is the more precise one.
func retryAfter(header http.Header, now time.Time) []statedTime {
	if ms, err := strconv.ParseFloat(header.Get("Retry-After-Ms"), 64); err == nil {
		return []statedTime{{now.Add(seconds(ms / 1000)), "retry-after-ms"}}
	}
	value := strings.TrimSpace(header.Get("Retry-After"))
	if at, ok := moment(value, now); ok {
		return []statedTime{{at, "Retry-After"}}
	}
	return nil
}

// resetHeaders returns the resets of the limits that have nothing left: a limit
// with something left is not the one that was hit. A reset without a header for
// what remains counts as well.
func resetHeaders(header http.Header, now time.Time) []statedTime {
	var times []statedTime
	for name, values := range header {
		if len(values) == 0 {
			continue
		}
		if w, ok := standardLimit(name, values[0], now); ok {
			times = append(times, w)
			continue
		}
		remaining, ok := remainingName(name)
		if !ok {
			continue
		}
		if left := header.Get(remaining); left != "" && !isZero(left) {
			continue
		}
		if at, ok := moment(values[0], now); ok {
			times = append(times, statedTime{at, strings.ToLower(name)})
		}
	}
	return times
}

// remainingName returns the name of the header with what is left of a limit, given
// the one with its reset, and false if the name is not one of a reset.
func remainingName(name string) (string, bool) {
	for _, prefix := range [...]string{
		"X-Ratelimit-Reset", "X-Rate-Limit-Reset", "Ratelimit-Reset", "Ratelimitbysize-Reset", "X-Ratelimitbysize-Reset",
	} {
		if strings.HasPrefix(name, prefix) {
			return strings.Replace(name, "Reset", "Remaining", 1), true
		}
	}
	if strings.HasPrefix(name, "Anthropic-Ratelimit-") && strings.HasSuffix(name, "-Reset") {
		return strings.TrimSuffix(name, "Reset") + "Remaining", true
	}
	return "", false
}

// standardLimit reads the reset in RateLimit (draft-ietf-httpapi-ratelimit-headers)
// if nothing remains. The newer drafts write `"api";r=0;t=57`, the older ones
// `limit=100, remaining=0, reset=57`.
func standardLimit(name, value string, now time.Time) (statedTime, bool) {
	if name != "Ratelimit" {
		return statedTime{}, false
	}
	var left, reset string
	for _, part := range strings.FieldsFunc(value, func(r rune) bool { return r == ';' || r == ',' || r == ' ' }) {
		switch key, v, _ := strings.Cut(part, "="); key {
		case "r", "remaining":
			left = v
		case "t", "reset":
			reset = v
		}
	}
	at, ok := moment(reset, now)
	return statedTime{at, "ratelimit"}, ok && (left == "" || isZero(left))
}

func isZero(number string) bool {
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	return err == nil && n <= 0
}

// nestedHeader reads header fields that a body repeats; OpenRouter passes on those
// of the provider behind it in `metadata.headers`.
func nestedHeader(object value, now time.Time) []statedTime {
	header := make(http.Header)
	for name, v := range object.fields {
		header.Set(string(name), v.text())
	}
	times := append(retryAfter(header, now), resetHeaders(header, now)...)
	for i := range times {
		times[i].source = "metadata.headers"
	}
	return times
}

// moment reads the forms in which providers write a time: a duration (6m0s, 1d2h),
// a date (RFC 3339, or HTTP's), a Unix time in seconds or milliseconds, or a
// number of seconds from now. A number is a Unix time if it is large enough:
// 1e9 seconds are 2001 as a date and 31 years as a duration.
func moment(value string, now time.Time) (time.Time, bool) {
	value = strings.TrimSpace(value)
	if value == "" {
		return time.Time{}, false
	}
	if n, err := strconv.ParseFloat(value, 64); err == nil {
		switch {
		case n > 1e11 && n < 1e14:
			return time.UnixMilli(int64(n)), true
		case n > 1e9 && n < 1e11:
			return time.Unix(int64(n), 0), true
		}
		return now.Add(seconds(n)), true
	}
	if wait, ok := duration(value); ok {
		return now.Add(wait), true
	}
	if at, err := time.Parse(time.RFC3339, value); err == nil {
		return at, true
	}
	if at, err := http.ParseTime(value); err == nil {
		return at, true
	}
	return time.Time{}, false
}

// duration reads Go's durations, with days in front of them if there are any.
func duration(value string) (time.Duration, bool) {
	var days float64
	if number, rest, ok := strings.Cut(value, "d"); ok {
		n, err := strconv.ParseFloat(number, 64)
		if err != nil || math.IsNaN(n) {
			return 0, false
		}
		days, value = n, rest
		if value == "" {
			value = "0s"
		}
	}
	wait, err := time.ParseDuration(value)
	if err != nil || wait < 0 {
		return 0, false
	}
	return seconds(days*day.Seconds() + wait.Seconds()), true
}

// forever bounds every duration that is read, so that arithmetic with it cannot
// overflow. Verdicts believe much less; see [Cooldown.LongestStated].
const forever = 10 * 365 * day

func seconds(s float64) time.Duration {
	if !(s >= 0) { // also not a number
		return 0
	}
	return time.Duration(math.Min(s, forever.Seconds()) * float64(time.Second))
}

// messageTimes returns the times in messages, which are in plain form. A time
// without a zone is in clock.
func messageTimes(texts []string, now time.Time, clock string) []statedTime {
	var times []statedTime
	for _, text := range texts {
		if at, ok := textMoment(text, now, clock); ok {
			times = append(times, statedTime{at, "message"})
		}
	}
	return times
}

// clock returns the zone of times in messages that give none. Z.ai's errors are
// known by their numbers too, behind whatever host they come from.
func (f *facts) clock() string {
	if zone := f.in.Provider.known().clock; zone != "" {
		return zone
	}
	for _, name := range f.names {
		if strings.HasPrefix(name, "zai:") {
			return shanghai
		}
	}
	return utc
}
