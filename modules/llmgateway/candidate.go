package llmgateway

import (
	"cmp"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
)

// candidate is a key of a channel, and the model to ask it for. It is a value without a
// lock; what is shared lies behind its pointers. See the package's comment for what keeps
// it from being used.
type candidate struct {
	channel   *Channel
	key       *key      // unset for auth none
	model     string    // the channel's own name
	measures  *measures // of the channel's model
	auxiliary bool      // the request only counts tokens
	hasSlot   bool      // of those that its key has for requests under way
}

// account returns what the candidate's key shares its quotas with: other keys of
// the same account, or nothing but itself.
func (c *candidate) account() string {
	if c.key == nil {
		return ""
	}
	return cmp.Or(c.key.account, c.channel.account, c.key.secret)
}

// isAt reports whether the candidate is a key of the channel for the model.
func (c *candidate) isAt(other *candidate) bool {
	return c.channel == other.channel && c.model == other.model
}

// mask returns the mask for the responses to the candidate's requests. It has no
// other key of the channel: a response repeats what stood in its request, and to
// look for thousands of keys would cost more than all the rest.
func (c *candidate) mask() *mask {
	if c.key == nil {
		return c.channel.keyless
	}
	m := c.key.mask.Load()
	if m == nil {
		m = newMask(append(c.channel.headers.secrets(), c.key.secret)...)
		c.key.mask.Store(m) // another request may have stored the same
	}
	return m
}

// mayBeUsed reports whether a candidate may be used now, without claiming it.
func (c *candidate) mayBeUsed(now time.Time) bool {
	return c.lacksSlotOnly(now) && !c.isBusy()
}

// stats are those of the candidate's key, or of its channel if it has none.
func (c *candidate) stats() *keyStats {
	if c.key != nil {
		return c.key.stats
	}
	return c.channel.stats
}

// recordOutcome counts what came of an attempt, and keeps the last refusal.
func (c *candidate) recordOutcome(v refusal.Verdict, now time.Time) {
	if v.Kind == refusal.KindAnswered {
		c.stats().recordAnswered()
		return
	}
	c.stats().recordRefusal(c.countRefusal(v, now))
}

// recordLateFailure counts a response that fails on its way to the client.
func (c *candidate) recordLateFailure(v refusal.Verdict, now time.Time) {
	if v.Kind != refusal.KindAnswered {
		c.stats().recordFailure(c.countRefusal(v, now))
	}
}

// countRefusal counts a refusal by its scope and returns what is kept of it.
func (c *candidate) countRefusal(v refusal.Verdict, now time.Time) lastRefusal {
	scope := v.Scope().String()
	collectors.refusals.WithLabelValues(c.channel.Name, scope).Inc()
	return lastRefusal{At: now, Status: v.Status, Scope: scope, Reason: string(v.Reason)}
}
