package llmgateway

import (
	"net/http"
	"strconv"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
)

// judge records what a response with this status says about the key and the
// channel.
func (as *attempts) judge(a *attempt, status int) {
	outcomes := &a.candidate.channel.attempts
	switch {
	case status >= 500 || status == http.StatusRequestTimeout:
		outcomes.failed.Inc()
		as.recordChannelFailure()
	case status == http.StatusUnauthorized || status == http.StatusPaymentRequired || status == http.StatusForbidden:
		outcomes.refused.Inc()
		as.recordRefusal(status)
	case status == http.StatusTooManyRequests:
		outcomes.limited.Inc()
		as.recordRateLimit(status)
	case status >= 400:
		// The client's mistake, which says nothing about the key.
		outcomes.answered.Inc()
		as.recordReachable()
		a.candidate.releaseKey()
		return
	default:
		outcomes.answered.Inc()
		as.recordSuccess()
		return
	}
	a.log("refused", zap.Int("status", status))
}

// recordFailure is for an attempt without a response, which is nobody's failure
// when the client has left.
func (as *attempts) recordFailure(a *attempt, req *http.Request, err error) {
	if req.Context().Err() != nil {
		return
	}
	a.candidate.channel.attempts.failed.Inc()
	if as.model != "" || redirectReason(err) == "" {
		as.recordChannelFailure()
	} else {
		a.candidate.release() // a path that redirects says nothing about the channel
	}
	a.log("no response", zap.Error(err))
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
		if as.current.candidate.key.cooldowns.Succeed(name, as.gateway.clock.Now()) {
			as.logKey("API key works again", as.current.candidate, requested)
		}
	}
	as.recordReachable()
}

// recordReachable ends the cooldown of the channel.
func (as *attempts) recordReachable() {
	if as.current.candidate.channel.cooldowns.Succeed(cooldown.All, as.gateway.clock.Now()) {
		as.gateway.logger.Info("channel healthy again", zap.String("channel", as.current.candidate.channel.Name))
	}
}

// recordChannelFailure records a failure that is not the key's.
func (as *attempts) recordChannelFailure() {
	as.candidates.putLast(as.current.candidate.channel)
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
