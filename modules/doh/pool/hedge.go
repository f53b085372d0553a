package pool

import (
	"slices"
	"time"
)

// maxHedges bounds how many upstreams are asked in addition to the first one. A
// name whose own servers are slow must not use up the quotas of all upstreams.
const maxHedges = 2

// silenceForTier is the number of attempts in a row without a response after which
// an upstream is assumed to be down. Its hedge may then be in another tier.
const silenceForTier = 3

// An exchange while the upstreams that were asked are silent. hedge is 400 ms and
// the timeout 5 s by default:
//
//	asked ── hedge ──▶ another one of the tier ── hedge ──▶ a third one
//	  │                       │ none left: once more over another connection
//	  └── half of the timeout, and no response to any query ──▶ the next tier

// tick is called by the exchange's timer. It starts another runner because the
// others take long, or ends the exchange when its time is up.
func (e *exchange) tick() {
	e.mu.Lock()
	now := e.pool.clock.Now()
	left := e.lookup.until.Sub(now)
	if e.done || left <= 0 {
		e.timeIsUp()
		e.mu.Unlock()
		return
	}
	t := e.leaveTier(now, left)
	if t == nil {
		t = e.hedge(now)
	}
	wait := left
	if t != nil {
		wait = min(e.pool.patience, left)
	}
	if ends := e.tierEnds.Sub(now); ends > 0 {
		wait = min(wait, ends)
	}
	e.timer.Reset(wait)
	e.mu.Unlock()
	e.run(t)
}

// hedge begins another attempt beside those under way, or returns nil. The caller
// holds the lock.
func (e *exchange) hedge(now time.Time) *attempt {
	if e.pool.hedge > 0 && e.hedges < maxHedges {
		if a := e.pool.selector.pick(e.lookup.tried, firstTier, e.hedgeTier(), now); a != nil {
			e.hedges++
			return e.begin(a, now)
		}
	}
	if e.renewed {
		return nil
	}
	for _, t := range slices.Backward(e.attempts) {
		if t.over || !t.network.Doubtful() {
			continue
		}
		// The connection may be dead, so later queries must not use it either.
		t.network.Doubt()
		e.renewed = true
		e.running++
		return e.addAttempt(t.account, now)
	}
	return nil
}

// leaveTier begins an attempt in a later tier if half of the remaining time has
// passed, or returns nil. It does so only if the upstreams that were asked answer
// no other query either; otherwise the name is slow, and another tier would not
// be faster. With hedges turned off, an upstream of the same tier is taken as
// well. The caller holds the lock.
func (e *exchange) leaveTier(now time.Time, left time.Duration) *attempt {
	if now.Before(e.tierEnds) {
		return nil
	}
	e.tierEnds = now.Add(left / 2) // for the later tier
	for _, t := range e.attempts {
		if !t.over && t.account.responses.Load() != t.responses {
			return nil
		}
	}
	from := e.tier() + 1
	if e.pool.hedge <= 0 {
		from = firstTier
	}
	a := e.pool.selector.pick(e.lookup.tried, from, lastTier, now)
	if a == nil {
		return nil
	}
	return e.begin(a, now)
}

// tier is the last tier that was asked. The caller holds the lock.
func (e *exchange) tier() int {
	tier := firstTier
	for _, t := range e.attempts {
		tier = max(tier, t.account.tier)
	}
	return tier
}

// hedgeTier is the last tier that a hedge may be in: the one of the upstreams that
// were asked, or any tier if all of these seem to be down. So a client whose query
// is the trial after a cooldown still gets an answer. The caller holds the lock.
func (e *exchange) hedgeTier() int {
	for _, t := range e.attempts {
		if t.account.unanswered.Load() < silenceForTier && !t.account.onTrial() {
			return e.tier()
		}
	}
	return lastTier
}
