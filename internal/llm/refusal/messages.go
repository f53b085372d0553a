package refusal

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// messages are the texts of a response that are written for people.
type messages struct {
	raw []string // as they were sent

	// plain are the same in the form that patterns are matched against; see the
	// function plain. A message that is empty in this form is missing here.
	plain []string
}

// add adds a message. model is the model of the request: OpenRouter begins some
// messages with it, and it is the client's word, so patterns must not see it.
// add returns the plain form.
func (m *messages) add(message, model string) string {
	if message == "" {
		return ""
	}
	m.raw = append(m.raw, message)
	text := plain(without(message, model))
	if text != "" {
		m.plain = append(m.plain, text)
	}
	return text
}

// match reports whether any message matches any of the patterns.
func (m *messages) match(patterns []pattern) bool {
	for i := range patterns {
		if slices.ContainsFunc(m.plain, patterns[i].match) {
			return true
		}
	}
	return false
}

// forClient returns the message for the client, or "" if the body has none. A
// page is never passed on: its text is markup for a browser.
func (m *messages) forClient(f form) string {
	for _, message := range m.raw {
		if f == formText || f == formJSON && strings.TrimSpace(message) != "" {
			return strings.ToValidUTF8(message[:min(len(message), longestText)], "")
		}
	}
	return ""
}

var zeroLimit = regexp.MustCompile(`\blimit: 0(?:[,.]? |[,.]?$|, )`)

// stateZeroQuota reports whether a message states a quota of 0, as Gemini's do:
// "Quota exceeded for metric: …free_tier_requests, limit: 0".
func (m *messages) stateZeroQuota() bool {
	for _, text := range m.plain {
		if strings.Contains(text, "quota") && zeroLimit.MatchString(text) {
			return true
		}
	}
	return false
}

// amounts are numbers of tokens in messages that decide what a refusal means.
type amounts struct {
	// Groq: "Limit 6000, Requested 9012", with or without "Used" between them.
	// 0: not stated.
	limit, requested int64

	// OpenRouter: "You requested up to 65536 tokens, but can only afford 1200".
	affordable       int64
	statesAffordable bool
}

var (
	limitNumber     = regexp.MustCompile(`\blimit:? (\d{1,15})\b`)
	requestedNumber = regexp.MustCompile(`\brequested:? (?:up to |about )?(\d{1,15})\b`)
	affordNumber    = regexp.MustCompile(`\bcan only afford (-?\d{1,15})\b`)
)

// readAmounts finds the amounts in messages, which are in plain form.
func readAmounts(texts []string) (a amounts) {
	for _, text := range texts {
		if m := limitNumber.FindStringSubmatch(text); m != nil {
			a.limit, _ = strconv.ParseInt(m[1], 10, 64)
		}
		if m := requestedNumber.FindStringSubmatch(text); m != nil {
			a.requested, _ = strconv.ParseInt(m[1], 10, 64)
		}
		if m := affordNumber.FindStringSubmatch(text); m != nil && !a.statesAffordable {
			n, err := strconv.ParseInt(m[1], 10, 64)
			a.affordable, a.statesAffordable = n, err == nil
		}
	}
	return a
}
