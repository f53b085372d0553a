package pool

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// Exchange asks upstreams until there is a usable response; see Ask.
func (p *Pool) Exchange(q *dnsmsg.Outgoing) (*dnsmsg.Response, error) {
	e := &exchange{pool: p}
	e.own.Query = q
	e.lookup = &e.own
	return e.ask(nil)
}

// Ask asks one upstream after the other until there is a usable response. Whenever
// `hedge` has passed, it asks another upstream of the same tier at the same time.
// If no other is left, it sends the query once more over another connection. When
// half of the timeout has passed without a response, it asks the next tier.
//
// Ask begins with first, or with an account of its choice if first is nil. If once
// is set, it does not go on to the next account after a failure; the caller does.
//
// Attempts are not canceled when the client leaves, since their connections carry
// other queries as well and their outcome is worth recording. They end by the
// timeout.
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
		first = p.selector.pick(l.tried, firstTier, lastTier, now)
	} else {
		// The caller has chosen. If a cooldown has just ended, this is the trial.
		first.acquire(now)
	}
	if first == nil {
		return nil, p.selector.whyNone(now)
	}
	e.over = make(lifetime)
	e.attempts = e.slots[:0]
	if l.tried == nil {
		l.tried = l.slots[:0]
	}
	e.mu.Lock()
	begun := e.begin(first, now)
	e.tierEnds = now.Add(max(left/2, p.patience))
	e.timer = p.clock.AfterFunc(min(p.patience, left), e.tick)
	e.mu.Unlock()
	defer e.timer.Stop()
	e.run(begun)
	<-e.over
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.response, e.err
}

// exchange is the attempts of one call of Ask. A runner makes one attempt after
// the other. The first runner is the goroutine of Ask, since most often there is
// no other; each hedge and each later tier adds one.
type exchange struct {
	pool   *Pool
	lookup *Lookup
	once   bool

	mu       sync.Mutex // guards everything below, and the lookup
	timer    clockwork.Timer
	attempts []*attempt
	hedges   int       // attempts that were begun beside others
	renewed  bool      // whether a second connection was tried
	tierEnds time.Time // when another tier is asked as well
	running  int       // runners that may still bring a response
	done     bool      // whether the outcome is final
	over     lifetime  // closed when done
	response *dnsmsg.Response
	winner   *Account // whose response it is, if it is usable
	err      error    // of the latest failure, as long as there is no response

	// Memory for what most exchanges need, so that all of it is one allocation.
	own   Lookup
	first attempt
	slots [2]*attempt
}

// begin adds an attempt for a runner. The caller holds the lock.
func (e *exchange) begin(a *Account, now time.Time) *attempt {
	e.running++
	return e.add(a, now)
}

// add adds an attempt for a runner that exists already. The caller holds the lock.
func (e *exchange) add(a *Account, now time.Time) *attempt {
	e.lookup.tried = append(e.lookup.tried, a)
	return e.addAttempt(a, now)
}

// addAttempt adds an attempt without marking its account as tried. The caller holds
// the lock.
func (e *exchange) addAttempt(a *Account, now time.Time) *attempt {
	t := &e.first
	if len(e.attempts) > 0 {
		t = new(attempt)
	}
	t.account, t.began, t.responses = a, now, a.responses.Load()
	e.attempts = append(e.attempts, t)
	return t
}

// run makes an attempt, and after a failure the next one, until none is left or
// the exchange is done. t may be nil.
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
	a := e.pool.selector.pick(e.lookup.tried, firstTier, lastTier, now)
	if a == nil {
		return nil
	}
	return e.add(a, now)
}

// judge records the outcome of an attempt, and returns the next attempt of its
// runner, or nil.
//
//	usable response                  done: the response
//	REFUSED about the name           done: the response, as filters mean it
//	a second upstream agrees         done: the response; the name is the cause
//	any other response, or a failure the next upstream, unless once is set
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
		e.pool.recorder.success(a, now.Sub(t.began), now)
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
		e.pool.recorder.success(a, now.Sub(t.began), now)
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

// fail records a failed attempt. A timeout counts as the upstream's failure only if
// another upstream answers: for some names no resolver gets an answer in time.
// The caller holds the lock.
func (e *exchange) fail(a *Account, f *Failure) {
	if f.kind != failTimeout {
		e.pool.recorder.failure(a, f)
		return
	}
	a.recordSilence()
	e.lookup.suspects = append(e.lookup.suspects, suspect{a, f})
}

// blame records the failures of the accounts without a usable response, now that
// another one has given one. The caller holds the lock.
func (e *exchange) blame() {
	for _, s := range e.lookup.suspects {
		e.pool.recorder.failure(s.account, s.failure)
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

// late records an attempt that ended after the exchange. It is a failure if another
// upstream answered and this one had at least patience, which is the time that
// the first one is given; unless its connection was the cause. The caller holds
// the lock.
func (e *exchange) late(t *attempt, resp *dnsmsg.Response, err error, now time.Time) {
	a, took := t.account, now.Sub(t.began)
	switch {
	case err == nil && usable(resp):
		e.pool.recorder.success(a, took, now)
	case err == nil:
		a.recordResponse()
	case !errors.Is(err, context.Canceled):
		if f := asFailure(err); f.kind != failTimeout {
			e.pool.recorder.failure(a, f)
		}
	case e.winner == nil:
		a.recordSilence()
	case took >= e.pool.patience && e.winner != a:
		a.recordSilence()
		excused := t.network.Excused()
		t.network.Doubt()
		if !excused {
			e.pool.recorder.failure(a, &Failure{failSlow, errNoResponse})
		}
	}
}
