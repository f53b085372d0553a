package doh

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// lookup is a query and what came of it so far. It lives on over the tries of
// a reverse_proxy.
type lookup struct {
	query    *query
	tried    []*upstream
	servfail *answer // waiting for a second opinion
	until    time.Time
}

var (
	errNoUpstreams = errors.New("there is no upstream left to ask")
	errTimeIsUp    = error(&failure{failTimeout, errors.New("the time for the query is up")})
)

// ask asks one upstream after the other, and the next one beside it whenever
// `hedge` has passed, until there is a valid answer. It begins with first, or
// with one of its choice if that is nil. If once is set, it does not go on
// after a failure: the caller does.
//
// The exchanges do not end with the client: theirs is a connection that others
// use as well. They end with the timeout.
func (p *Pool) ask(l *lookup, first *upstream, once bool) (*answer, error) {
	if l.until.IsZero() {
		l.until = p.clock.Now().Add(time.Duration(p.Timeout))
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
	l.query.compose()

	r := &race{pool: p, lookup: l, once: once, running: 1, live: 1, over: make(chan struct{})}
	r.ctx, r.stop = context.WithCancel(context.Background())
	r.mu.Lock()
	r.timer = p.clock.AfterFunc(r.wait(left), r.tick)
	r.mu.Unlock()
	defer r.timer.Stop()
	r.run(first)
	<-r.over
	r.mu.Lock()
	defer r.mu.Unlock()
	l.query.busy = l.query.busy || r.live > 0
	return r.answer, r.err
}

// race is the upstreams that are being asked for one lookup. The first runner
// runs in the goroutine of ask, since most often there is no other.
type race struct {
	pool   *Pool
	lookup *lookup
	once   bool
	ctx    context.Context
	stop   context.CancelFunc

	mu      sync.Mutex
	timer   clockwork.Timer
	running int // runners that may still bring an answer
	live    int // runners that have not returned
	done    bool
	over    chan struct{} // closed when done
	answer  *answer
	err     error
	suspect *upstream // the one that answered SERVFAIL
}

// run asks u, and after a failure the next.
func (r *race) run(u *upstream) {
	for u != nil {
		start := r.pool.clock.Now()
		a, err := u.exchange(r.ctx, r.lookup.query)
		u = r.judge(u, a, err, r.pool.clock.Since(start))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live--
}

// wait is how long to wait for those who were asked.
func (r *race) wait(left time.Duration) time.Duration {
	if hedge := time.Duration(r.pool.Hedge); hedge > 0 {
		return min(hedge, left)
	}
	return left
}

// tick starts another runner, because the others take long, or ends the race
// without an answer.
func (r *race) tick() {
	r.mu.Lock()
	left := r.pool.clock.Until(r.lookup.until)
	if r.done || left <= 0 {
		r.timeIsUp()
		r.mu.Unlock()
		return
	}
	u := r.next()
	if u != nil {
		r.running++
		r.live++
		r.timer.Reset(r.wait(left))
	} else {
		r.timer.Reset(left)
	}
	r.mu.Unlock()
	if u != nil {
		r.run(u)
	}
}

// timeIsUp ends the race unless it is over. The caller holds the lock.
func (r *race) timeIsUp() {
	if !r.done {
		r.err = errTimeIsUp
		r.finish(r.lookup.servfail)
	}
}

// next returns the upstream to ask next, or nil. The caller holds the lock.
func (r *race) next() *upstream {
	u := r.pool.pick(r.lookup.tried)
	if u != nil {
		r.lookup.tried = append(r.lookup.tried, u)
	}
	return u
}

// judge takes the outcome of an exchange and returns the upstream that its
// runner shall ask next, or nil.
func (r *race) judge(u *upstream, a *answer, err error, took time.Duration) *upstream {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done {
		r.beaten(u, err, took)
		return nil
	}
	switch {
	case err != nil:
		r.pool.failed(u, err)
		r.err = err
	case !a.servfail():
		r.pool.answered(u, took)
		if r.suspect != nil {
			r.pool.failed(r.suspect, &failure{failServfail, errServfail})
		}
		r.finish(a)
		return nil
	case r.lookup.servfail != nil:
		// Two agree: it is the name, and no fault of theirs.
		r.pool.answered(u, took)
		r.finish(a)
		return nil
	default:
		r.lookup.servfail, r.suspect = a, u
	}
	if err == nil || !r.once {
		if next := r.next(); next != nil {
			return next
		}
	}
	if r.running--; r.running == 0 {
		r.finish(r.lookup.servfail)
	}
	return nil
}

var errServfail = errors.New("the server answered SERVFAIL")

// finish ends the race, with an answer or nil. The caller holds the lock.
func (r *race) finish(a *answer) {
	if a != nil {
		r.answer, r.err = a, nil
	}
	r.done = true
	r.stop()
	close(r.over)
}

// beaten notes an exchange that came too late. It is a failure if it had all
// the time that we give to the first.
func (r *race) beaten(u *upstream, err error, took time.Duration) {
	switch {
	case err == nil:
		r.pool.answered(u, took)
	case !errors.Is(err, context.Canceled):
		r.pool.failed(u, err)
	case r.err == errTimeIsUp:
		r.pool.failed(u, errTimeIsUp)
	case r.pool.Hedge > 0 && took >= time.Duration(r.pool.Hedge):
		r.pool.failed(u, &failure{failSlow, err})
	}
}

func (p *Pool) answered(u *upstream, took time.Duration) {
	u.watch(u.name, p.logger)
	if u.recordSuccess(took, p.clock.Now()) {
		p.logger.Info("upstream works again", zap.String("upstream", u.name))
	}
}

func (p *Pool) failed(u *upstream, err error) {
	f := asFailure(err)
	u.watch(u.name, p.logger)
	if f.kind == failQuota {
		return // that is no fault
	}
	if u.recordFailure(f, p.clock.Now(), time.Duration(p.Timeout)) {
		p.logger.Info("upstream in cooldown", zap.String("upstream", u.name), zap.Error(f))
	} else if c := p.logger.Check(zapcore.DebugLevel, "exchange failed"); c != nil {
		c.Write(zap.String("upstream", u.name), zap.Error(f))
	}
}
