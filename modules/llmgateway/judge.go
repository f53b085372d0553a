package llmgateway

import (
	"errors"
	"net"
	"net/http"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

// classify sets what the outcome of an attempt means: the response that it has
// got, or why it has got none. A success needs no rules, and of calls without a model only
// what says something about the account has any: the 404 of a file is the request's.
func (a *attempt) classify(err error) {
	switch {
	case err != nil:
		a.verdict = a.withoutResponse(err)
	case a.status < http.StatusMultipleChoices:
		a.verdict = refusal.Verdict{Status: a.status, ClientStatus: a.status}
	case a.model == "" && isAboutRequest(a.status):
		// A file that is not there says nothing about the account.
		a.verdict = refusal.Verdict{Kind: refusal.KindRequest, Status: a.status, ClientStatus: a.status}
	default:
		a.verdict = refusal.Classify(a.refusalInput())
	}
}

// isAboutRequest reports whether a status is, where no model is asked, about
// what was asked for.
func isAboutRequest(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	return status < http.StatusInternalServerError
}

// refusalInput is the refusal as far as it was read.
func (a *attempt) refusalInput() refusal.Input {
	channel := a.candidate.channel
	return refusal.Input{
		Status:      a.res.StatusCode,
		Header:      a.res.Header,
		Body:        a.failure,
		InStream:    a.inStream,
		Dialect:     a.dialect(),
		Provider:    channel.provider,
		Model:       a.candidate.model,
		Now:         a.gateway.clock.Now(),
		MaxCooldown: a.gateway.maxCooldown,
		Rules:       channel.refusals,
	}
}

// withoutResponse is the verdict on an attempt without a response that could be
// passed on.
func (a *attempt) withoutResponse(err error) refusal.Verdict {
	switch {
	case errors.Is(err, errNoOutput):
		return refusal.NoOutput()
	case errors.Is(err, errNotAPI):
		v := refusal.NoResponse(false)
		v.Reason = refusal.ReasonNotAPI
		return v
	case redirectReason(err) != "":
		v := refusal.NoResponse(false)
		v.Reason = refusal.ReasonRedirect
		if a.model == "" {
			v.Kind = refusal.KindRequestHere // the path redirects, not the channel
		}
		return v
	}
	return refusal.NoResponse(isTimeout(err))
}

// isTimeout reports whether the error is one of waiting: our own deadline for the first
// output, that of the system, or one of net/http's.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, errSlow) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// count counts the attempt's outcome, for the key and, by four words, for the channel's
// metric. A refusal that is about the request counts as answered: the account works.
func (a *attempt) count() {
	a.candidate.recordOutcome(a.verdict, a.gateway.clock.Now())
	outcomes := &a.candidate.channel.attempts
	switch a.verdict.Scope() {
	case refusal.ScopeAnswered, refusal.ScopeRequest, refusal.ScopeRequestHere:
		outcomes.answered.Inc()
	case refusal.ScopeChannel, refusal.ScopeAddress:
		outcomes.failed.Inc()
	default:
		if a.verdict.Status == http.StatusTooManyRequests || a.verdict.Kind == refusal.KindRateLimit || a.verdict.Kind == refusal.KindCapacity {
			outcomes.limited.Inc()
		} else {
			outcomes.refused.Inc()
		}
	}
}

// record records what a verdict says about the key, the model and the channel:
//
//	target of the verdict   what is put in cooldown
//	key                     the key, for all models
//	key and model           the key, for the model or for the pattern that the refusal names
//	channel and model       the model, for all keys of the channel
//	channel                 the channel: only put last, once several conversations have failed
//
// It ends the candidate's trial in each case.
func (vs *verdicts) record(a *attempt) {
	c, v := a.candidate, a.verdict
	if v.Kind == refusal.KindAnswered {
		vs.recordSuccess(c)
		return
	}
	if v.Scope() != refusal.ScopeChannel && v.Scope() != refusal.ScopeAddress {
		c.channel.cooldowns.ResetFailures() // the channel works
	}
	if v.Reason == refusal.ReasonEndpoint {
		c.channel.adviseSpeaks(c.channel.Name, a.clientDialect(), vs.gateway.logger)
	}
	name, requested := c.cooldownName()
	switch v.Kind.Target() {
	case refusal.TargetKey:
		vs.coolDownKey(a, cooldown.All, false)
	case refusal.TargetKeyModel:
		if reqbody.Match(v.Models, name) && v.Models != "" && !c.auxiliary {
			name, requested = v.Models, false
		}
		if name == "*" {
			name = cooldown.All
		}
		vs.coolDownKey(a, name, requested)
	case refusal.TargetChannelModel:
		if c.channel.cooldowns.Start(name, newCooldown(vs.gateway, v, requested), vs.gateway.clock.Now()) {
			vs.logTransition("model in cooldown", c, requested, zap.String("model", name), zap.String("reason", string(v.Reason)))
		}
	case refusal.TargetChannel:
		vs.coolDownChannel(a)
	}
	c.release()
}

// newCooldown returns the cooldown that a verdict begins. A guess leaves the end of one
// under way as it is: what is tried in spite of it must not put that off.
func newCooldown(g *gateway, v refusal.Verdict, requested bool) cooldown.Cooldown {
	policy, now := v.Kind.Policy().Cooldown, g.clock.Now()
	cool := cooldown.Cooldown{
		Reason:    string(v.Reason),
		Length:    policy.Following(0, g.cooldown),
		MaxLength: policy.Cap,
		Fixed:     true,
		Requested: requested,
	}
	if cool.MaxLength == 0 {
		cool.MaxLength = g.cooldown
	}
	if policy.Factor <= 1 {
		cool.MaxLength = cool.Length
	}
	if until, stated := v.Cooldown(now, 0, g.cooldown); stated {
		cool.Until = until
	}
	return cool
}

// coolDownKey puts the attempt's key in cooldown, unless the request has done so
// with enough others. What a refusal states by a field that no request brings about, such
// as a dead key, does not count for that bound.
func (vs *verdicts) coolDownKey(a *attempt, name string, requested bool) {
	c, v := a.candidate, a.verdict
	if c.key == nil {
		return
	}
	if !v.NamedByField {
		visit := vs.visitTo(c.channel)
		if visit.cooledDown >= maxCooledDown {
			return
		}
		visit.cooledDown++
	}
	cool := newCooldown(vs.gateway, v, requested)
	if !c.key.cooldowns.Start(name, cool, vs.gateway.clock.Now()) {
		return
	}
	vs.logTransition("API key in cooldown", c, requested,
		zap.String("model", name), zap.String("reason", string(v.Reason)), zap.Int("status", v.Status))
	if name == cooldown.All {
		vs.gateway.reportKey(c, v)
	}
}

// coolDownChannel records a failure of the channel, or what keeps this server
// from it, such as a blocked address. Failures count by conversation: a request that
// crashes a backend and is repeated by its SDK is one failure, not three. Calls that count
// tokens say nothing about the channel.
func (vs *verdicts) coolDownChannel(a *attempt) {
	c, v := a.candidate, a.verdict
	if c.auxiliary {
		return
	}
	policy, cool, now := v.Kind.Policy().Cooldown, newCooldown(vs.gateway, v, false), vs.gateway.clock.Now()
	var began bool
	if policy.After > 0 && v.Length == 0 {
		cool.Until = time.Time{} // a channel that fails is tried all the same
		began = c.channel.cooldowns.FailConversation(vs.identity.ofFailure(), policy.After, cool, now)
	} else {
		began = c.channel.cooldowns.Start(cooldown.All, cool, now)
	}
	if began {
		vs.gateway.logger.Info("channel marked unhealthy", zap.String("channel", c.channel.Name), zap.String("reason", string(v.Reason)))
		vs.gateway.reportChannel(c.channel, status.EventUnhealthy, "is unhealthy: "+string(v.Reason))
	}
}

// recordSuccess ends the cooldowns of the key and the channel, and those of the
// model there. Without one it takes no lock.
func (vs *verdicts) recordSuccess(c *candidate) {
	name, requested := c.cooldownName()
	now := vs.gateway.clock.Now()
	if c.key != nil && c.key.cooldowns.Succeed(name, now) {
		vs.logTransition("API key works again", c, requested)
	}
	if c.channel.cooldowns.Succeed(cooldown.All, now) {
		vs.gateway.logger.Info("channel healthy again", zap.String("channel", c.channel.Name))
		vs.gateway.reportChannel(c.channel, status.EventHealthy, "is healthy again")
	}
	if c.channel.cooldowns.Succeed(name, now) {
		vs.logTransition("model works again", c, requested, zap.String("model", name))
	}
}

// logTransition logs that something of the candidate's begins or ends. Names that
// clients choose are logged at debug level only: else they could fill the log.
func (vs *verdicts) logTransition(message string, c *candidate, requested bool, more ...zap.Field) {
	level := zapcore.InfoLevel
	if requested {
		level = zapcore.DebugLevel
	}
	if entry := vs.gateway.logger.Check(level, message); entry != nil {
		more = append(more, zap.String("channel", c.channel.Name))
		if c.key != nil {
			more = append(more, zap.String("key", c.key.name()))
		}
		entry.Write(more...)
	}
}
