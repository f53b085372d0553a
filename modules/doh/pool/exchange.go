package pool

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// Exchange asks one upstream after the other until there is a usable response.
func (p *Pool) Exchange(q *dnsmsg.Outgoing) (*dnsmsg.Response, error) {
	e := &exchange{pool: p}
	e.own.Query = q
	e.lookup = &e.own
	return e.ask(nil)
}

// Ask asks one upstream after the other, and another one of the same tier beside
// it whenever `hedge` has passed, until there is a usable response. When nobody is
// left for that, the query is sent once more over another connection if the first
// is silent. When half of the time has passed without a response, the next tier
// is asked. It begins with first, or with one of its choice if that is nil. If
// once is set, it does not go on after a failure: the caller does.
//
// The attempts do not end with the client: theirs is a connection that others
// use as well. They end with the timeout.
func (p *Pool) Ask(l *Lookup, first *Account, once bool) (*dnsmsg.Response, error) {
	return (&exchange{pool: p, lookup: l, once: once}).ask(first)
}

func (e *exchange) ask(first *Account) (*dnsmsg.Response, error) {
	p, l := e.pool, e.lookup
	now := p.clock.Now()
	if l.until.IsZero() {
		l.until = now.Add(p.timeout)
	}
	left := l.until.Sub(now)
	if left <= 0 {
		return nil, errTimeIsUp
	}
	if first == nil {
		first = p.pick(l.tried, firstTier, lastTier, now)
	} else {
		// The caller's choice stands. It may be the trial after a cooldown.
		first.acquire(now)
	}
	if first == nil {
		return nil, p.whyNone(now)
	}
	e.over = make(lifetime)
	e.attempts = e.slots[:0]
	if l.tried == nil {
		l.tried = l.slots[:0]
	}
	e.mu.Lock()
	begun := e.begin(first, now)
	e.tierEnds = now.Add(max(left/2, p.patience()))
	e.timer = p.clock.AfterFunc(min(p.patience(), left), e.tick)
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

	mu       sync.Mutex
	timer    clockwork.Timer
	attempts []*attempt
	hedges   int
	renewed  bool
	tierEnds time.Time // when another tier is asked as well
	running  int       // runners that may still bring a response
	done     bool
	over     lifetime // closed when done
	response *dnsmsg.Response
	winner   *Account // whose response it is, if it is usable
	err      error

	// Room for what most exchanges need, so that all of it is one allocation.
	own   Lookup
	first attempt
	slots [2]*attempt
}

// begin adds an attempt for a runner. The caller holds the lock.
func (e *exchange) begin(a *Account, now time.Time) *attempt {
	e.running++
	return e.add(a, now)
}

func (e *exchange) add(a *Account, now time.Time) *attempt {
	e.lookup.tried = append(e.lookup.tried, a)
	return e.addAttempt(a, now)
}

func (e *exchange) addAttempt(a *Account, now time.Time) *attempt {
	t := &e.first
	if len(e.attempts) > 0 {
		t = new(attempt)
	}
	t.account, t.began, t.responses = a, now, a.responses.Load()
	e.attempts = append(e.attempts, t)
	return t
}

// run makes an attempt, and after a failure the next.
func (e *exchange) run(t *attempt) {
	for t != nil {
		resp, err := t.run(e.over, e.lookup.Query)
		t = e.judge(t, resp, err)
	}
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
func (e *exchange) next(now time.Time) *attempt {
	a := e.pool.pick(e.lookup.tried, firstTier, lastTier, now)
	if a == nil {
		return nil
	}
	return e.add(a, now)
}

// judge takes the outcome of an attempt and returns the one that its runner shall
// make next, or nil.
func (e *exchange) judge(t *attempt, resp *dnsmsg.Response, err error) *attempt {
	e.mu.Lock()
	defer e.mu.Unlock()
	t.over = true
	now := e.pool.clock.Now()
	if e.done {
		e.late(t, resp, err, now)
		return nil
	}
	a, l := t.account, e.lookup
	refused := err == nil && resp.Rcode() == dnsmsg.RcodeRefused
	if refused {
		a.recordRefused()
	}
	switch {
	case err != nil:
		e.err = err
		e.fail(a, asFailure(err))
	case usable(resp):
		e.pool.recordSuccess(a, now.Sub(t.began), now)
		e.winner = a
		e.finish(resp)
		e.blame()
		return nil
	case refused && (a.refusesName(now) || l.agree(a, resp)):
		a.recordResponse()
		e.winner = a
		e.finish(resp)
		return nil
	case !refused && l.agree(a, resp):
		e.pool.recordSuccess(a, now.Sub(t.began), now)
		e.finish(resp)
		return nil
	default:
		a.recordResponse()
		l.addOpinion(a, resp)
	}
	if err == nil || !e.once {
		if next := e.next(now); next != nil {
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
	close(e.over)
}

// late records an attempt that ended after the exchange. It is a failure if
// another upstream answered, and this one had all the time that we give to the
// first, unless its connection is to blame.
func (e *exchange) late(t *attempt, resp *dnsmsg.Response, err error, now time.Time) {
	a, took := t.account, now.Sub(t.began)
	switch {
	case err == nil && usable(resp):
		e.pool.recordSuccess(a, took, now)
	case err == nil:
		a.recordResponse()
	case !errors.Is(err, context.Canceled):
		if f := asFailure(err); f.kind != failTimeout {
			e.pool.recordFailure(a, f)
		}
	case e.winner == nil:
		a.recordSilence()
	case took >= e.pool.patience() && e.winner != a:
		a.recordSilence()
		excused := t.network.Excused()
		t.network.Doubt()
		if !excused {
			e.pool.recordFailure(a, &Failure{failSlow, errNoResponse})
		}
	}
}
