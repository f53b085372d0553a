package refusal

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Hint is a time that a provider states.
type Hint struct {
	// Until is when the request may be made again. Zero: the provider does not
	// say.
	Until time.Time

	// Source is the field, header or text that said so, such as "Retry-After".
	Source string

	// Believed says that Until was not too far in the future to be taken as it is.
	Believed bool
}

// hint returns what the provider says about the time: the first source that
// says something, from the most to the least definite.
//
// Sources: RFC 9110, section 10.2.3, for Retry-After; OpenAI's and Groq's
// documentation of rate limits for retry-after-ms and x-ratelimit-reset-*,
// Anthropic's for anthropic-ratelimit-*; draft-ietf-httpapi-ratelimit-headers
// for RateLimit; AIP-193 for RetryInfo.
func (f *facts) hint() Hint {
	for _, waits := range [...][]wait{
		retryAfter(f.in.Header, f.in.Now),
		f.waits,
		resetHeaders(f.in.Header, f.in.Now),
		f.textWaits(),
	} {
		var h Hint
		for _, w := range waits {
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

// retryAfter reads the headers that are made for this.
func retryAfter(header http.Header, now time.Time) []wait {
	if ms, err := strconv.ParseFloat(header.Get("Retry-After-Ms"), 64); err == nil {
		return []wait{{now.Add(seconds(ms / 1000)), "retry-after-ms"}}
	}
	value := strings.TrimSpace(header.Get("Retry-After"))
	if at, ok := moment(value, now); ok {
		return []wait{{at, "Retry-After"}}
	}
	return nil
}

// resetHeaders reads when limits are reset of which nothing remains. What has
// something left is not the limit that was hit. If no header says what remains,
// the latest reset counts.
func resetHeaders(header http.Header, now time.Time) []wait {
	var waits []wait
	for name, values := range header {
		if len(values) == 0 {
			continue
		}
		if w, ok := standardLimit(name, values[0], now); ok {
			waits = append(waits, w)
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
			waits = append(waits, wait{at, strings.ToLower(name)})
		}
	}
	return waits
}

// remainingName returns, for a header that says when a limit is reset, the one
// that says what is left of it.
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

// standardLimit reads RateLimit in the forms of its drafts:
// `"api";r=0;t=57` and `limit=100, remaining=0, reset=57`.
func standardLimit(name, value string, now time.Time) (wait, bool) {
	if name != "Ratelimit" {
		return wait{}, false
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
	return wait{at, "ratelimit"}, ok && (left == "" || isZero(left))
}

func isZero(number string) bool {
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	return err == nil && n <= 0
}

// nestedHeader reads headers that stand in a body, as OpenRouter repeats them.
func nestedHeader(object value, now time.Time) []wait {
	header := make(http.Header)
	for name, v := range object.fields {
		header.Set(string(name), v.text())
	}
	waits := append(retryAfter(header, now), resetHeaders(header, now)...)
	for i := range waits {
		waits[i].source = "metadata.headers"
	}
	return waits
}

// waitFields are the members of errors that state a time, folded.
var waitFields = map[string]bool{
	"retryafter": true, "retryafterseconds": true, "retryafterms": true, "retrydelay": true,
	"resetsat": true, "resetat": true, "resettime": true, "resetsinseconds": true, "resetinseconds": true,
	"estimatedtime": true,
}

// readWait reads a member that states a time.
func (f *facts) readWait(name string, v value) {
	folded := fold(name)
	if !waitFields[folded] {
		return
	}
	switch {
	case folded == "retrydelay":
		f.readRetryDelay(v)
	case strings.HasSuffix(folded, "ms"):
		if ms, err := strconv.ParseFloat(v.text(), 64); err == nil {
			f.waits = append(f.waits, wait{f.in.Now.Add(seconds(ms / 1000)), name})
		}
	default:
		f.addWait(v, name)
	}
}

// readRetryDelay reads Google's RetryInfo: "34s", or seconds and nanos.
func (f *facts) readRetryDelay(v value) {
	if v.isObject() {
		v = v.get("seconds")
	}
	f.addWait(v, "retryDelay")
}

func (f *facts) addWait(v value, source string) {
	if at, ok := moment(v.text(), f.in.Now); ok {
		f.waits = append(f.waits, wait{at, source})
	}
}

// moment reads a duration (6m0s, 1d2h), a date, a Unix time in seconds or
// milliseconds, or a number of seconds.
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

// duration reads Go's durations and days before them.
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

// forever is as far as a stated time is read. Verdicts believe less.
const forever = 10 * 365 * day

func seconds(s float64) time.Duration {
	if !(s >= 0) { // also not a number
		return 0
	}
	return time.Duration(math.Min(s, forever.Seconds()) * float64(time.Second))
}

// textWaits returns the times that messages state.
func (f *facts) textWaits() []wait {
	var waits []wait
	for _, text := range f.texts {
		if at, ok := textMoment(text, f.in.Now, f.clock()); ok {
			waits = append(waits, wait{at, "message"})
		}
	}
	return waits
}

// clock returns the zone of the times in messages.
func (f *facts) clock() string {
	if zone := f.in.Provider.known().clock; zone != "" {
		return zone
	}
	for _, word := range f.words {
		if strings.HasPrefix(word, "zai:") {
			return shanghai
		}
	}
	return utc
}
