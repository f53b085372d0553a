package llmgateway

import (
	"net/http"
	"slices"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
)

// What a client sends can be the reason for a refusal: a flagged prompt, a too
// large max_tokens, a model that the plan has not. So a refusal that does not
// name its reason in a field puts a key in cooldown only once another key of the
// channel has answered the same request.
const (
	// maxRefused is how many keys of a channel may refuse one request.
	maxRefused = 3
	// maxUnclear is how many of them without any reason: then it is the request.
	maxUnclear = 2
	// maxCooledDown is how many keys of a channel one request puts in cooldown,
	// but for those whose refusal cannot be the request's.
	maxCooledDown = 2

	// longQuota is how long a provider makes a key wait whose quota of an hour
	// or longer is exhausted. No request brings that about.
	longQuota = time.Hour
)

// refusals are the keys of one channel that have refused a call.
type refusals struct {
	channel    *Channel
	model      string
	suspects   []suspect // not known yet whether it was the key or the request
	refused    int       // keys, but for those whose fault it certainly is
	unclear    int       // of these, without a reason
	cooledDown int
}

type suspect struct {
	*candidate
	reason refusalReason
	status int
}

// refusalsOf returns the refusals of the current candidate's channel.
func (c *call) refusalsOf() *refusals {
	at := slices.IndexFunc(c.refusals, func(r refusals) bool { return r.channel == c.current.channel && r.model == c.current.model })
	if at < 0 {
		at = len(c.refusals)
		c.refusals = append(c.refusals, refusals{channel: c.current.channel, model: c.current.model})
	}
	return &c.refusals[at]
}

// recordRefusal records that the current candidate's key was refused with 401,
// 402 or 403.
func (c *call) recordRefusal(res *http.Response, status int) {
	c.recordReachable()
	if c.current.key == nil {
		return
	}
	r, reason := c.refusalsOf(), c.reasonOf(res)
	switch {
	case reason.about == aboutRequest:
		r.refused, r.unclear = maxRefused, maxUnclear
		c.current.releaseKey()
	case reason.about == aboutKey && reason.inField:
		c.coolDown(c.current, true, status, c.guess())
		return
	case reason.about == aboutCredit && reason.inField:
		c.coolDownOnce(r, status, c.guess())
		return
	default:
		r.suspects = append(r.suspects, suspect{c.current, reason, status})
		r.refused++
		if reason.about == aboutUnclear {
			r.unclear++
		}
	}
	if r.unclear >= maxUnclear {
		r.acquit(0)
	}
	if r.unclear >= maxUnclear || r.refused >= maxRefused {
		c.skipChannel()
	}
}

// recordRateLimit records that the current candidate's key was refused with 429.
func (c *call) recordRateLimit(res *http.Response, status int) {
	c.recordReachable()
	if c.current.key == nil {
		return
	}
	cool := c.guess()
	cool.Until = c.mayAgain(res)
	if cool.Until.Sub(c.gateway.clock.Now()) >= longQuota {
		c.coolDown(c.current, false, status, cool)
		return
	}
	c.coolDownOnce(c.refusalsOf(), status, cool)
}

// coolDownOnce puts the current candidate's key in cooldown for the model,
// unless the request has done so with enough others.
func (c *call) coolDownOnce(r *refusals, status int, cool cooldown.Cooldown) {
	if r.cooledDown == maxCooledDown {
		c.current.releaseKey()
		return
	}
	r.cooledDown++
	c.coolDown(c.current, false, status, cool)
}

// confirmRefusals is called when a key answers: other keys of the channel that
// have refused the same request before were refused themselves.
func (c *call) confirmRefusals() {
	if len(c.refusals) == 0 {
		return
	}
	r := c.refusalsOf()
	for _, s := range r.suspects {
		c.coolDownSuspect(s)
	}
	r.suspects = nil
}

// settleRefusals ends what is still open when no key of a channel has answered.
// Without a reason nothing is known. Where texts name the key, and the channel
// has no other to ask, one of them is believed.
func (c *call) settleRefusals() {
	for i := range c.refusals {
		r := &c.refusals[i]
		if len(r.suspects) > 0 && r.unclear == 0 && r.refused < maxRefused {
			c.coolDownSuspect(r.suspects[0])
			r.acquit(1)
		}
		r.acquit(0)
	}
}

func (c *call) coolDownSuspect(s suspect) {
	cool := c.guess()
	if s.reason.about == aboutUnclear {
		cool.MaxLength = cool.Length
	}
	c.coolDown(s.candidate, s.reason.about == aboutKey, s.status, cool)
}

// acquit gives the trials of the suspects back, but for the first n.
func (r *refusals) acquit(n int) {
	for _, s := range r.suspects[n:] {
		s.releaseKey()
	}
	r.suspects = nil
}

// skipChannel makes no further attempt with the current channel and model.
func (c *call) skipChannel() {
	for i := range c.candidates {
		if other := &c.candidates[i]; other.channel == c.current.channel && other.model == c.current.model {
			other.tried = true
		}
	}
}
