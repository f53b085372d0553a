package llmgateway

import (
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
	"github.com/caddy-freetier/caddy-freetier/internal/cooldownstore"
	"github.com/caddy-freetier/caddy-freetier/internal/slots"
)

// longestReason is how long the reason of a refusal is that is kept, in bytes.
const longestReason = 120

// histories are what is known of channels and keys, shared by all configurations:
// a reload changes nothing about what a provider allows.
var histories = caddy.NewUsagePool()

// history is what is known of a channel's key, or of a channel.
//
// One per key, by URL and key, and one per channel, by URL; keys of two channels with
// one URL are the same to the provider, and share it.
type history struct {
	cooldowns *cooldown.Breaker
	stats     keyStats
	learned   learnedLimits
	slots     slots.Slots // of requests under way
}

func newHistory(store *cooldownstore.Store) *history {
	return &history{cooldowns: store.NewBreaker()}
}

// keyStats counts the attempts with a key, or without one, since it came into
// use. It is safe for concurrent use and takes no lock.
type keyStats struct {
	attempts, answered, refused atomic.Int64
	last                        atomic.Pointer[lastRefusal]
}

// lastRefusal is the last refusal of a key.
type lastRefusal struct {
	At     time.Time `json:"at"`
	Status int       `json:"status"`
	Scope  string    `json:"scope"`
	// Reason is one of the classifier's words, never the provider's message,
	// which may repeat a key or the prompt.
	Reason string `json:"reason"`
}

// recordAttempt counts an attempt that is being made.
func (s *keyStats) recordAttempt() { s.attempts.Add(1) }

// recordAnswered counts a response that was an answer.
func (s *keyStats) recordAnswered() { s.answered.Add(1) }

// recordRefusal counts a refusal, or an attempt without a response.
func (s *keyStats) recordRefusal(r lastRefusal) {
	s.refused.Add(1)
	r.Reason = printable(r.Reason)
	s.last.Store(&r)
}

// recordFailure counts a response as refused that was counted as answered before
// it failed.
func (s *keyStats) recordFailure(r lastRefusal) {
	s.answered.Add(-1)
	s.recordRefusal(r)
}

// printable returns the beginning of a text, without control characters.
//
// The text goes to the admin API and from there to terminals, which control characters
// could steer.
func printable(text string) string {
	if len(text) > longestReason {
		text = strings.ToValidUTF8(text[:longestReason], "")
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}
