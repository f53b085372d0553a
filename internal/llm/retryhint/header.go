// Package retryhint reads when a provider says that a refused request may be
// made again: in the headers of its response, or in the body.
package retryhint

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxWait is the longest wait that a provider is believed. A monthly quota is
// restored a month later at most.
const MaxWait = 31 * 24 * time.Hour

// FromHeader returns when the headers of a refusal say that the request may be
// made again, MaxWait from now at most, and the zero time if they do not say.
// Retry-After-Ms comes before Retry-After, and both before the resets of single
// limits, of which the last one counts.
// Sources: RFC 9110, section 10.2.3; for `retry-after-ms` and
// `x-ratelimit-reset-*` OpenAI's and Groq's documentation of rate limits; for
// `anthropic-ratelimit-*-reset` Anthropic's.
func FromHeader(header http.Header, now time.Time) time.Time {
	wait, ok := statedWait(header, now)
	if !ok || wait < 0 {
		return time.Time{}
	}
	return now.Add(min(wait, MaxWait))
}

func statedWait(header http.Header, now time.Time) (time.Duration, bool) {
	if ms, err := strconv.ParseFloat(header.Get("Retry-After-Ms"), 64); err == nil {
		return seconds(ms / 1000), true
	}
	if value := header.Get("Retry-After"); value != "" {
		if s, err := strconv.ParseFloat(value, 64); err == nil {
			return seconds(s), true
		}
		if at, err := http.ParseTime(value); err == nil {
			return at.Sub(now), true
		}
	}
	return longestReset(header, now)
}

// longestReset returns how long it takes until the last of the exhausted limits
// is reset.
func longestReset(header http.Header, now time.Time) (longest time.Duration, found bool) {
	for name, values := range header {
		remaining, ok := remainingName(name)
		// A limit with something remaining is not the one that was hit.
		if !ok || len(values) == 0 || (header.Get(remaining) != "" && header.Get(remaining) != "0") {
			continue
		}
		if wait, ok := resetWait(values[0], now); ok && wait > longest {
			longest, found = wait, true
		}
	}
	return longest, found
}

// remainingName returns, for the header that says when a limit is reset, the
// name of the one that says what remains of the limit.
func remainingName(name string) (string, bool) {
	switch {
	case strings.HasPrefix(name, "X-Ratelimit-Reset"):
		return strings.Replace(name, "Reset", "Remaining", 1), true
	case strings.HasPrefix(name, "Anthropic-Ratelimit-") && strings.HasSuffix(name, "-Reset"):
		return strings.TrimSuffix(name, "Reset") + "Remaining", true
	}
	return "", false
}

// resetWait reads a duration (6m0s), a time (RFC 3339), a Unix time in seconds
// or milliseconds, or a number of seconds.
func resetWait(value string, now time.Time) (time.Duration, bool) {
	if wait, err := time.ParseDuration(value); err == nil {
		return wait, true
	}
	if at, err := time.Parse(time.RFC3339, value); err == nil {
		return at.Sub(now), true
	}
	n, err := strconv.ParseFloat(value, 64)
	switch {
	case err != nil:
		return 0, false
	case n > 1e11:
		return time.UnixMilli(int64(n)).Sub(now), true
	case n > 1e9:
		return time.Unix(int64(n), 0).Sub(now), true
	}
	return seconds(n), true
}

// seconds returns a number of seconds as a duration between 0 and MaxWait, 0
// for what is no number.
func seconds(s float64) time.Duration {
	if !(s >= 0) { // also NaN
		return 0
	}
	return time.Duration(min(s, MaxWait.Seconds()) * float64(time.Second))
}
