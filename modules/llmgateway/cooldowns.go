package llmgateway

import (
	"cmp"
	"net/http"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

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

// breakers are the cooldowns of channels and keys, shared by all
// configurations: a reload changes nothing about what a provider allows.
var breakers = caddy.NewUsagePool()

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

// coolDown puts the candidate's key in cooldown for the model, or for all
// models. Names that clients choose are logged at debug level only: else they
// could fill the log.
func (as *attempts) coolDown(key *candidate, all bool, status int, cool cooldown.Cooldown) {
	name, requested := key.cooldownName()
	if all {
		name, requested = cooldown.All, false
		defer key.releaseKey() // the trial was one for the model too
	}
	cool.Reason, cool.Requested = strconv.Itoa(status)+" "+http.StatusText(status), requested
	if !key.key.cooldowns.Start(name, cool, as.gateway.clock.Now()) {
		return
	}
	as.logKey("API key in cooldown", key, requested, zap.String("model", name), zap.Int("status", status))
}

// guess is a cooldown whose length no provider has given.
func (as *attempts) guess() cooldown.Cooldown {
	return cooldown.Cooldown{Length: as.gateway.cooldown, MaxLength: longestCooldown}
}

// recordSuccess ends the cooldowns of the key and the channel.
func (as *attempts) recordSuccess() {
	as.confirmRefusals()
	if as.current.candidate.key != nil {
		name, requested := as.current.candidate.cooldownName()
		if as.current.candidate.key.cooldowns.Succeed(name) {
			as.logKey("API key works again", as.current.candidate, requested)
		}
	}
	as.recordReachable()
}

// recordReachable ends the cooldown of the channel.
func (as *attempts) recordReachable() {
	if as.current.candidate.channel.cooldowns.Succeed(cooldown.All) {
		as.gateway.logger.Info("channel healthy again", zap.String("channel", as.current.candidate.channel.Name))
	}
}

// recordChannelFailure records a failure that is not the key's.
func (as *attempts) recordChannelFailure() {
	as.putChannelLast()
	as.current.candidate.releaseKey()
	channel := as.current.candidate.channel
	cool := as.guess()
	cool.Reason = "it failed several times in a row"
	if channel.cooldowns.Fail(failuresInARow, cool, as.gateway.clock.Now()) {
		as.gateway.logger.Info("channel marked unhealthy", zap.String("channel", channel.Name))
	}
}

func (as *attempts) logKey(message string, key *candidate, requested bool, more ...zap.Field) {
	level := zapcore.InfoLevel
	if requested {
		level = zapcore.DebugLevel
	}
	if entry := as.gateway.logger.Check(level, message); entry != nil {
		entry.Write(append(more, zap.String("channel", key.channel.Name), zap.String("key", key.key.name()))...)
	}
}

// cooldownState is a cooldown as the admin API shows it.
type cooldownState struct {
	Model  string    `json:"model,omitempty"`
	Until  time.Time `json:"until"`
	Reason string    `json:"reason"`
}

func cooldownStates(b *cooldown.Breaker, now time.Time) []cooldownState {
	states := []cooldownState{}
	for _, s := range b.List(now) {
		states = append(states, cooldownState{Model: s.Name, Until: s.Until, Reason: s.Reason})
	}
	return states
}
