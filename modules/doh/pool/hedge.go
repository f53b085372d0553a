package pool

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// maxHedges bounds how many upstreams are asked beside the first one: a name whose
// own servers are slow must not use up the quota of all upstreams.
const maxHedges = 2

// silenceForTier is after how many attempts in a row without a response an
// upstream seems to be down, so that another tier is asked before its time is up.
const silenceForTier = 3

// Exchange asks one upstream after the other until there is a usable response.
func (p *Pool) Exchange(q *dnsmsg.Outgoing) (*dnsmsg.Response, error) {
	return p.Ask(&Lookup{Query: q}, nil, false)
}

// Ask asks one upstream after the other, and another one of the same tier beside
// it whenever `hedge` has passed, until there is a usable response. When nobody is
// left for that, the query is sent once more over another connection if the first
// is silent. It begins with first, or with one of its choice if that is nil. If
// once is set, it does not go on after a failure: the caller does.
//
// The attempts do not end with the client: theirs is a connection that others
// use as well. They end with the timeout.
func (p *Pool) Ask(l *Lookup, first *Account, once bool) (*dnsmsg.Response, error) {
	now := p.clock.Now()
	if l.until.IsZero() {
		l.until = now.Add(p.timeout)
	}
	left := l.until.Sub(now)
	if left <= 0 {
		return nil, errTimeIsUp
	}
	if first == nil {
		first = p.pick(l.tried, lastTier)
	} else {
		// The caller's choice stands. It may be the trial after a cooldown.
		first.acquire(now)
	}
	if first == nil {
		return nil, p.whyNone(now)
	}
	e := &exchange{pool: p, lookup: l, once: once, over: make(chan struct{})}
	e.ctx, e.stop = context.WithCancel(context.Background())
	e.mu.Lock()
	begun := e.begin(first, now)
	e.timer = p.clock.AfterFunc(e.wait(left), e.tick)
	e.mu.Unlock()
	defer e.timer.Stop()
	e.run(begun)
	<-e.over
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.response, e.err
}

// whyNone is the error when no upstream may be asked.
func (p *Pool) whyNone(now time.Time) error {
	switch {
	case p.exhausted():
		return errExhausted
	case p.mustWait(now):
		return errMustWait
	}
	return errNoUpstreams
}

// exchange is the attempts that are under way for one lookup. The first runner
// runs in the goroutine of Ask, since most often there is no other.
type exchange struct {
	pool   *Pool
	lookup *Lookup
	once   bool
	ctx    context.Context
	stop   context.CancelFunc

	mu       sync.Mutex
	timer    clockwork.Timer
	attempts []*attempt
	hedges   int
	renewed  bool
	running  int // runners that may still bring a response
	done     bool
	over     chan struct{} // closed when done
	response *dnsmsg.Response
	winner   *Account // whose response it is, if it is usable
	err      error
}

// begin adds an attempt for a runner. The caller holds the lock.
func (e *exchange) begin(a *Account, now time.Time) *attempt {
	e.running++
	return e.add(a, now)
}

func (e *exchange) add(a *Account, now time.Time) *attempt {
	t := &attempt{account: a, began: now}
	e.attempts = append(e.attempts, t)
	e.lookup.tried = append(e.lookup.tried, a)
	return t
}

// run makes an attempt, and after a failure the next.
func (e *exchange) run(t *attempt) {
	for t != nil {
		resp, err := t.run(e.ctx, e.lookup.Query)
		t = e.judge(t, resp, err)
	}
}

// wait is how long to wait for those who were asked.
func (e *exchange) wait(left time.Duration) time.Duration {
	if e.pool.hedge > 0 {
		return min(e.pool.hedge, left)
	}
	return min(defaultHedge, left)
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
	t := e.hedge(now)
	if t != nil {
		e.timer.Reset(e.wait(left))
	} else {
		e.timer.Reset(left)
	}
	e.mu.Unlock()
	e.run(t)
}

// hedge begins another attempt beside those under way, or returns nil. The caller
// holds the lock.
func (e *exchange) hedge(now time.Time) *attempt {
	if e.pool.hedge > 0 && e.hedges < maxHedges {
		if a := e.pool.pick(e.lookup.tried, e.lastTier()); a != nil {
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
		renewal := &attempt{account: t.account, began: now, renewal: true}
		e.attempts = append(e.attempts, renewal)
		e.running++
		return renewal
	}
	return nil
}

// lastTier is the tier up to which upstreams are asked beside others: the one of
// those that were asked, or any if these seem to be down, so that the trial after
// a cooldown costs no client its answer. The caller holds the lock.
func (e *exchange) lastTier() int {
	tier, down := 0, true
	for _, t := range e.attempts {
		tier = max(tier, t.account.tier)
		down = down && (t.account.unanswered.Load() >= silenceForTier || t.account.onTrial())
	}
	if down {
		return lastTier
	}
	return tier
}

// timeIsUp ends the exchange unless it is over. The caller holds the lock.
func (e *exchange) timeIsUp() {
	if !e.done {
		e.err = errTimeIsUp
		e.finish(e.lookup.opinion)
	}
}

// next begins the attempt after one that has failed, or returns nil. The caller
// holds the lock.
func (e *exchange) next() *attempt {
	a := e.pool.pick(e.lookup.tried, lastTier)
	if a == nil {
		return nil
	}
	return e.add(a, e.pool.clock.Now())
}

// judge takes the outcome of an attempt and returns the one that its runner shall
// make next, or nil.
func (e *exchange) judge(t *attempt, resp *dnsmsg.Response, err error) *attempt {
	e.mu.Lock()
	defer e.mu.Unlock()
	t.over = true
	took := e.pool.clock.Since(t.began)
	if e.done {
		e.late(t, resp, err, took)
		return nil
	}
	a, l := t.account, e.lookup
	switch {
	case err != nil:
		e.err = err
		e.fail(a, asFailure(err))
	case usable(resp):
		e.pool.recordSuccess(a, took)
		e.winner = a
		e.finish(resp)
		e.blame()
		return nil
	case l.agree(a, resp):
		e.pool.recordSuccess(a, took)
		e.finish(resp)
		return nil
	default:
		a.recordResponse()
		l.addOpinion(a, resp)
	}
	if err == nil || !e.once {
		if next := e.next(); next != nil {
			return next
		}
	}
	if e.running--; e.running == 0 {
		e.finish(l.opinion)
	}
	return nil
}

// fail records a failed attempt. One without any response is held against the
// upstream only if another one answers: it can be the name that nobody answers.
func (e *exchange) fail(a *Account, f *Failure) {
	if f.kind != failTimeout {
		e.pool.recordFailure(a, f)
		return
	}
	a.recordSilence()
	e.lookup.suspects = append(e.lookup.suspects, suspect{a, f})
}

// blame records the failures of those that had no usable response when another
// one had. The caller holds the lock.
func (e *exchange) blame() {
	for _, s := range e.lookup.suspects {
		e.pool.recordFailure(s.account, s.failure)
	}
	e.lookup.suspects = nil
}

// finish ends the exchange, with a response or nil. The caller holds the lock.
func (e *exchange) finish(resp *dnsmsg.Response) {
	if resp != nil {
		e.response, e.err = resp, nil
	}
	e.done = true
	e.stop()
	close(e.over)
}

// late records an attempt that ended after the exchange. It is a failure if
// another upstream answered, and this one had all the time that we give to the
// first, unless its connection is to blame.
func (e *exchange) late(t *attempt, resp *dnsmsg.Response, err error, took time.Duration) {
	a := t.account
	switch {
	case err == nil && usable(resp):
		e.pool.recordSuccess(a, took)
	case err == nil:
		a.recordResponse()
	case !errors.Is(err, context.Canceled):
		if f := asFailure(err); f.kind != failTimeout {
			e.pool.recordFailure(a, f)
		}
	case e.winner == nil:
		a.recordSilence()
	case e.pool.hedge > 0 && took >= e.pool.hedge && e.winner != a:
		doubtful := t.network.Doubtful()
		t.network.Doubt()
		if !doubtful {
			e.pool.recordFailure(a, &Failure{failSlow, errNoResponse})
		}
	}
}
