package llmgateway

import (
	"cmp"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
)

const (
	defaultCooldown    = time.Minute
	defaultMaxCooldown = refusal.DefaultMaxCooldown

	// deadKeyInterval is how often a dead key is tried when there is nothing
	// better.
	deadKeyInterval = 30 * time.Second

	// noModelName is what the cooldowns of requests without a model go by.
	noModelName = "(no model)"
	// auxiliaryName is what those of auxiliary calls go by, for all models.
	auxiliaryName = "(token counts)"
)

// cooldownName returns the name by which the candidate's key and channel are in
// cooldown for the model, and whether it comes from the request: that of a
// wildcard does. Such names are bounded in number and logged at debug level only, since
// clients choose them.
func (c *candidate) cooldownName() (name string, requested bool) {
	if c.auxiliary {
		return auxiliaryName, false
	}
	return cmp.Or(c.model, noModelName), c.measures != nil && c.model != c.measures.model
}

// acquire reports whether the candidate may be tried now. A channel's own
// cooldown only puts it last: what keeps failing is still better than nothing.
//
// The candidate then has a slot, if its key has a limit, and the trial of each cooldown
// that has ended, which is the only one until its outcome is known. On false it has
// nothing of that.
func (c *candidate) acquire(now time.Time) bool {
	if !c.acquireSlot() {
		return false
	}
	name, _ := c.cooldownName()
	if c.exhausted() || !c.learnedBlock(now).Until.IsZero() || !c.channel.cooldowns.AcquireName(name, now) {
		c.releaseSlot()
		return false
	}
	if c.key != nil && !c.key.cooldowns.Acquire(name, now) {
		c.channel.cooldowns.Release(name)
		c.releaseSlot()
		return false
	}
	c.channel.cooldowns.Acquire(cooldown.All, now)
	return true
}

// acquireEarly reports whether the candidate may be tried although it is in
// cooldown, for want of anything better.
func (c *candidate) acquireEarly(now time.Time) bool {
	if !c.acquireSlot() {
		return false
	}
	if c.key == nil {
		return true
	}
	name, _ := c.cooldownName()
	interval := time.Duration(0)
	if c.key.cooldowns.Block(name, now).Reason == string(refusal.ReasonDead) {
		interval = deadKeyInterval
	}
	if !c.key.cooldowns.AcquireEarly(name, now, interval) {
		c.releaseSlot()
		return false
	}
	return true
}

// release ends the candidate's trial, if it is one, without an outcome.
func (c *candidate) release() {
	name, _ := c.cooldownName()
	if c.key != nil {
		c.key.cooldowns.Release(name)
	}
	c.channel.cooldowns.Release(name)
}

// exhausted reports whether a quota of the candidate's key is exhausted.
func (c *candidate) exhausted() bool {
	return !c.auxiliary && c.exhaustedMeter() != nil
}

// blockOfKey returns what keeps the candidate's key from being used, but for
// quotas of the configuration.
func (c *candidate) blockOfKey(now time.Time) cooldown.Block {
	if c.key == nil {
		return cooldown.Block{Guessed: true}
	}
	name, _ := c.cooldownName()
	block := c.key.cooldowns.Block(name, now)
	if learned := c.learnedBlock(now); learned.Until.After(block.Until) {
		learned.Guessed = learned.Guessed && block.Guessed
		return learned
	}
	return block
}

// blockOfModel returns what keeps the candidate's model from being asked at its
// channel, whatever the key.
func (c *candidate) blockOfModel(now time.Time) cooldown.Block {
	name, _ := c.cooldownName()
	return c.channel.cooldowns.BlockOfName(name, now)
}

// block returns what keeps the candidate from being used: of the two above the
// one that ends last.
func (c *candidate) block(now time.Time) cooldown.Block {
	key, model := c.blockOfKey(now), c.blockOfModel(now)
	if model.Until.After(key.Until) {
		return model
	}
	return key
}

// learnedBlock returns what keeps the candidate from being used by what its
// provider has stated. Of a host that is not known to be the provider's own this is
// a guess: it may pass on the header of an account that is not the key's.
func (c *candidate) learnedBlock(now time.Time) cooldown.Block {
	if c.key == nil || c.auxiliary {
		return cooldown.Block{Guessed: true}
	}
	until := c.key.learned.until(c.model, now)
	if until.IsZero() {
		return cooldown.Block{Guessed: true}
	}
	return cooldown.Block{Until: until, Guessed: c.channel.provider == "", Reason: string(refusal.ReasonRateLimit)}
}
