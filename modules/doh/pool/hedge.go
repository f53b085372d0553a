package pool

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// Exchange asks one upstream after the other until there is a usable response.
func (p *Pool) Exchange(q *dnsmsg.Outgoing) (*dnsmsg.Response, error) {
	return p.Ask(&Lookup{Query: q}, nil, false)
}

// Ask asks one upstream after the other, and the next one beside it whenever
// `hedge` has passed, until there is a usable response. It begins with first, or
// with one of its choice if that is nil. If once is set, it does not go on
// after a failure: the caller does.
//
// The attempts do not end with the client: theirs is a connection that others
// use as well. They end with the timeout.
func (p *Pool) Ask(l *Lookup, first *Account, once bool) (*dnsmsg.Response, error) {
	if l.until.IsZero() {
		l.until = p.clock.Now().Add(p.timeout)
	}
	left := p.clock.Until(l.until)
	if left <= 0 {
		return nil, errTimeIsUp
	}
	if first == nil {
		first = p.pick(l.tried)
	} else {
		// The caller's choice stands. It may be the trial after a cooldown.
		first.acquire(p.clock.Now())
	}
	if first == nil && p.exhausted() {
		return nil, errExhausted
	}
	if first == nil {
		return nil, errNoUpstreams
	}
	l.tried = append(l.tried, first)

	e := &exchange{pool: p, lookup: l, once: once, running: 1, over: make(chan struct{})}
	e.ctx, e.stop = context.WithCancel(context.Background())
	e.mu.Lock()
	e.timer = p.clock.AfterFunc(e.wait(left), e.tick)
	e.mu.Unlock()
	defer e.timer.Stop()
	e.run(first)
	<-e.over
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.response, e.err
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
	running  int // runners that may still bring a response
	done     bool
	over     chan struct{} // closed when done
	response *dnsmsg.Response
	err      error
}

// run asks a, and after a failure the next.
func (e *exchange) run(a *Account) {
	for a != nil {
		start := e.pool.clock.Now()
		resp, err := a.attempt(e.ctx, e.lookup.Query)
		a = e.judge(a, resp, err, e.pool.clock.Since(start))
	}
}

// wait is how long to wait for those who were asked.
func (e *exchange) wait(left time.Duration) time.Duration {
	if e.pool.hedge > 0 {
		return min(e.pool.hedge, left)
	}
	return left
}

// tick starts another runner, because the others take long, or ends the
// exchange without a response.
func (e *exchange) tick() {
	e.mu.Lock()
	left := e.pool.clock.Until(e.lookup.until)
	if e.done || left <= 0 {
		e.timeIsUp()
		e.mu.Unlock()
		return
	}
	a := e.next()
	if a != nil {
		e.running++
		e.timer.Reset(e.wait(left))
	} else {
		e.timer.Reset(left)
	}
	e.mu.Unlock()
	if a != nil {
		e.run(a)
	}
}

// timeIsUp ends the exchange unless it is over. The caller holds the lock.
func (e *exchange) timeIsUp() {
	if !e.done {
		e.err = errTimeIsUp
		e.finish(e.lookup.opinion)
	}
}

// next returns the upstream to ask next, or nil. The caller holds the lock.
func (e *exchange) next() *Account {
	a := e.pool.pick(e.lookup.tried)
	if a != nil {
		e.lookup.tried = append(e.lookup.tried, a)
	}
	return a
}

// judge takes the outcome of an attempt and returns the upstream that its
// runner shall ask next, or nil.
func (e *exchange) judge(a *Account, resp *dnsmsg.Response, err error, took time.Duration) *Account {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.done {
		e.late(a, err, took)
		return nil
	}
	l := e.lookup
	switch {
	case err != nil:
		e.pool.recordFailure(a, err)
		e.err = err
	case usable(resp):
		e.pool.recordSuccess(a, took)
		for _, s := range l.suspects {
			e.pool.recordFailure(s.account, s.failure)
		}
		e.finish(resp)
		return nil
	case l.opinion != nil:
		// Two agree: it is the name, and no fault of theirs.
		e.pool.recordSuccess(a, took)
		e.finish(resp)
		return nil
	default:
		l.opinion = resp
		l.suspects = append(l.suspects, suspect{a, &Failure{failServfail, errServfail}})
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

// finish ends the exchange, with a response or nil. The caller holds the lock.
func (e *exchange) finish(resp *dnsmsg.Response) {
	if resp != nil {
		e.response, e.err = resp, nil
	}
	e.done = true
	e.stop()
	close(e.over)
}

// late records an attempt that ended after the exchange. It is a failure if it
// had all the time that we give to the first.
func (e *exchange) late(a *Account, err error, took time.Duration) {
	switch {
	case err == nil:
		e.pool.recordSuccess(a, took)
	case !errors.Is(err, context.Canceled):
		e.pool.recordFailure(a, err)
	case e.err == errTimeIsUp:
		e.pool.recordFailure(a, errTimeIsUp)
	case e.pool.hedge > 0 && took >= e.pool.hedge:
		e.pool.recordFailure(a, &Failure{failSlow, err})
	}
}

func (p *Pool) recordSuccess(a *Account, took time.Duration) {
	a.warn(a.name, p.logger)
	if a.recordSuccess(took, p.clock.Now()) {
		p.logger.Info("upstream works again", zap.String("upstream", a.name))
	}
}

func (p *Pool) recordFailure(a *Account, err error) {
	f := asFailure(err)
	a.warn(a.name, p.logger)
	if f.kind == failQuota {
		return // that is no fault
	}
	if a.recordFailure(f, p.clock.Now(), p.timeout) {
		p.logger.Info("upstream in cooldown", zap.String("upstream", a.name), zap.Error(f))
	} else if c := p.logger.Check(zapcore.DebugLevel, "attempt failed"); c != nil {
		c.Write(zap.String("upstream", a.name), zap.Error(f))
	}
}
