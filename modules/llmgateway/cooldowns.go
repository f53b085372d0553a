package llmgateway

import (
	"cmp"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
)

const (
	defaultCooldown = time.Minute

	// A cooldown that we guess doubles each time its trial fails, up to this.
	longestCooldown = 30 * time.Minute

	// So many failures in a row put a channel in cooldown.
	failuresInARow = 3

	// noModel is what the cooldowns of requests without a model go by.
	noModelName = "(no model)"
)

// cooldownName returns the name by which the candidate's key is in cooldown for
// the model, and whether it comes from the request: that of a wildcard does.
func (c *candidate) cooldownName() (name string, requested bool) {
	return cmp.Or(c.model, noModelName), c.measures != nil && c.model != c.measures.model
}

// acquire reports whether the candidate may be tried now. A channel's own
// cooldown only puts it last: what keeps failing is still better than nothing.
func (c *candidate) acquire(now time.Time) bool {
	if c.key != nil {
		name, _ := c.cooldownName()
		if c.key.exhausted() != nil || !c.key.cooldowns.Acquire(name, now) {
			return false
		}
	}
	c.channel.cooldowns.Acquire(cooldown.All, now)
	return true
}

// release ends the candidate's trial, if it is one, without an outcome.
func (c *candidate) release() {
	c.releaseKey()
	c.channel.cooldowns.Release(cooldown.All)
}

func (c *candidate) releaseKey() {
	if c.key != nil {
		name, _ := c.cooldownName()
		c.key.cooldowns.Release(name)
	}
}

// usableFrom returns when the candidate's key may be used again.
func (c *candidate) usableFrom(now time.Time) time.Time {
	name, _ := c.cooldownName()
	until := c.key.cooldowns.Until(name, now)
	if exhausted := c.key.exhausted(); exhausted != nil && exhausted.Renews().After(until) {
		until = exhausted.Renews()
	}
	return until
}
