package pool

import "time"

// maxHedges bounds how many upstreams are asked beside the first one: a name whose
// own servers are slow must not use up the quota of all upstreams.
const maxHedges = 2

// silenceForTier is after how many attempts in a row without a response an
// upstream seems to be down, so that another tier is asked before its time is up.
const silenceForTier = 3

// What an exchange does while those that were asked are silent; hedge is 400 ms
// and the timeout 5 s unless configured:
//
//	asked ── hedge ──▶ another one of the tier ── hedge ──▶ a third one
//	  │                       │ none left: once more over another connection
//	  └── half of the time, and they answer nobody else either ──▶ the next tier

// patience is how long those who were asked are waited for before something is
// done.
func (p *Pool) patience() time.Duration {
	if p.hedge > 0 {
		return p.hedge
	}
	return defaultHedge
}

// tick starts another runner, because the others take long, or ends the exchange
// without a response.
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
		wait = min(e.pool.patience(), left)
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
		if a := e.pool.pick(e.lookup.tried, firstTier, e.hedgeTier(), now); a != nil {
			e.hedges++
			return e.begin(a, now)
		}
	}
	if e.renewed {
		return nil
	}
	for i := len(e.attempts) - 1; i >= 0; i-- {
		t := e.attempts[i]
		if t.over || !t.network.Doubtful() {
			continue
		}
		// Not for the next one either: this one may be as dead.
		t.network.Doubt()
		e.renewed = true
		e.running++
		return e.addAttempt(t.account, now)
	}
	return nil
}

// leaveTier begins an attempt in a later tier when the time of those that were
// asked is over, or returns nil. It is not for names that are slow: then those
// that were asked answer other questions meanwhile. Without hedges one of the same
// tier will do. The caller holds the lock.
func (e *exchange) leaveTier(now time.Time, left time.Duration) *attempt {
	if now.Before(e.tierEnds) {
		return nil
	}
	e.tierEnds = now.Add(left / 2) // of the later one
	for _, t := range e.attempts {
		if !t.over && t.account.responses.Load() != t.responses {
			return nil
		}
	}
	from := e.tier() + 1
	if e.pool.hedge <= 0 {
		from = firstTier
	}
	a := e.pool.pick(e.lookup.tried, from, lastTier, now)
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

// hedgeTier is the tier up to which upstreams are asked beside others: the one of
// those that were asked, or any if these seem to be down, so that the trial after
// a cooldown costs no client its answer. The caller holds the lock.
func (e *exchange) hedgeTier() int {
	for _, t := range e.attempts {
		if t.account.unanswered.Load() < silenceForTier && !t.account.onTrial() {
			return e.tier()
		}
	}
	return lastTier
}
