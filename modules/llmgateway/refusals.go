package llmgateway

import (
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
func (as *attempts) refusalsOf() *refusals {
	at := slices.IndexFunc(as.refusals, func(r refusals) bool {
		return r.channel == as.current.candidate.channel && r.model == as.current.candidate.model
	})
	if at < 0 {
		at = len(as.refusals)
		as.refusals = append(as.refusals, refusals{channel: as.current.candidate.channel, model: as.current.candidate.model})
	}
	return &as.refusals[at]
}

// recordRefusal records that the current candidate's key was refused with 401,
// 402 or 403.
func (as *attempts) recordRefusal(status int) {
	as.recordReachable()
	if as.current.candidate.key == nil {
		return
	}
	r, reason := as.refusalsOf(), as.current.reasonOf()
	switch {
	case reason.about == aboutRequest:
		r.refused, r.unclear = maxRefused, maxUnclear
		as.current.candidate.releaseKey()
	case reason.about == aboutKey && reason.inField:
		as.coolDown(as.current.candidate, true, status, as.guess())
		return
	case reason.about == aboutCredit && reason.inField:
		as.coolDownOnce(r, status, as.guess())
		return
	default:
		r.suspects = append(r.suspects, suspect{as.current.candidate, reason, status})
		r.refused++
		if reason.about == aboutUnclear {
			r.unclear++
		}
	}
	if r.unclear >= maxUnclear {
		r.acquit(0)
	}
	if r.unclear >= maxUnclear || r.refused >= maxRefused {
		as.candidates.skip(as.current.candidate.channel, as.current.candidate.model)
	}
}

// recordRateLimit records that the current candidate's key was refused with 429.
func (as *attempts) recordRateLimit(status int) {
	as.recordReachable()
	if as.current.candidate.key == nil {
		return
	}
	cool := as.guess()
	cool.Until = as.current.mayAgain()
	if cool.Until.Sub(as.gateway.clock.Now()) >= longQuota {
		as.coolDown(as.current.candidate, false, status, cool)
		return
	}
	as.coolDownOnce(as.refusalsOf(), status, cool)
}

// coolDownOnce puts the current candidate's key in cooldown for the model,
// unless the request has done so with enough others.
func (as *attempts) coolDownOnce(r *refusals, status int, cool cooldown.Cooldown) {
	if r.cooledDown == maxCooledDown {
		as.current.candidate.releaseKey()
		return
	}
	r.cooledDown++
	as.coolDown(as.current.candidate, false, status, cool)
}

// confirmRefusals is called when a key answers: other keys of the channel that
// have refused the same request before were refused themselves.
func (as *attempts) confirmRefusals() {
	if len(as.refusals) == 0 {
		return
	}
	r := as.refusalsOf()
	for _, s := range r.suspects {
		as.coolDownSuspect(s)
	}
	r.suspects = nil
}

// settleRefusals ends what is still open when no key of a channel has answered.
// Without a reason nothing is known. Where texts name the key, and the channel
// has no other to ask, one of them is believed.
func (as *attempts) settleRefusals() {
	for i := range as.refusals {
		r := &as.refusals[i]
		if len(r.suspects) > 0 && r.unclear == 0 && r.refused < maxRefused {
			as.coolDownSuspect(r.suspects[0])
			r.acquit(1)
		}
		r.acquit(0)
	}
}

func (as *attempts) coolDownSuspect(s suspect) {
	cool := as.guess()
	if s.reason.about == aboutUnclear {
		cool.MaxLength = cool.Length
	}
	as.coolDown(s.candidate, s.reason.about == aboutKey, s.status, cool)
}

// acquit gives the trials of the suspects back, but for the first n.
func (r *refusals) acquit(n int) {
	for _, s := range r.suspects[n:] {
		s.releaseKey()
	}
	r.suspects = nil
}
