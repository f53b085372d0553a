package keepalive

import (
	"context"
	"time"
)

// run is a ping under way. Whoever needs its outcome waits for done: a person who runs
// `caddy freetier ping`, or a request that waits for the instance.
type run struct {
	done     chan struct{}
	tick     time.Time // zero: it is sent whatever other instances do
	finished bool      // and not cut short; read it after done
	yielded  bool      // to another instance; read it after done

	urgent  chan struct{} // closed when somebody waits for the ping
	hurried bool          // whether urgent is closed; guarded by the state's lock
}

// wait waits for the ping and reports whether it is done with.
func (r *run) wait(ctx context.Context) bool {
	select {
	case <-r.done:
		return true
	case <-ctx.Done():
		return false
	}
}

// ping pings now, unless a ping is under way, which it returns then. Somebody
// waits for it.
func (s *state) ping(p *pinger) *run {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hurry(s.launch(p, time.Time{}))
}

// hurry makes a ping wait for nothing: neither for a place among the pings under
// way nor for the storage.
func (s *state) hurry(r *run) *run {
	if !r.hurried {
		r.hurried = true
		close(r.urgent)
	}
	return r
}

// patience returns a context that ends with ctx or when the ping is urgent.
func (r *run) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	patient, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-r.urgent:
			cancel()
		case <-patient.Done():
		}
	}()
	return patient, cancel
}

// launch starts a ping, the only one at a time. One of a tick is left to
// another instance that has sent it. It is called under the lock, and the goroutine that
// it starts ends with the ping or with the state.
func (s *state) launch(p *pinger, tick time.Time) *run {
	if s.running != nil {
		return s.running
	}
	r := &run{done: make(chan struct{}), urgent: make(chan struct{}), tick: tick}
	s.running = r
	s.waking.Store(p.asleep(p.app.clock.Now()))
	go s.run(p, r)
	return r
}

// run performs the ping and reports state changes, in order.
func (s *state) run(p *pinger, r *run) {
	defer close(r.done)
	patient, cancel := r.patience(s.ctx)
	defer cancel()
	if owner := s.acquire(patient, p, r.tick); !owner.mine {
		s.yield(p, owner)
		r.yielded, r.finished = true, true
	} else if outcome, ok := p.ping(s.ctx, patient); ok {
		s.record(p, outcome)
		r.finished = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = nil
	s.waking.Store(false)
}

// acquire acquires the lease of a tick. A ping without one is always ours: somebody has
// asked for it, or it repeats one that has failed. The first one reads what was known
// before a restart.
func (s *state) acquire(ctx context.Context, p *pinger, tick time.Time) holder {
	before := s.share()
	h := holder{mine: true}
	switch {
	case !tick.IsZero():
		h = p.lease.acquire(ctx, tick, before)
	case before == nil:
		h.result = p.lease.read(s.ctx)
	}
	if h.mine {
		s.restore(h.result)
	} else {
		s.merge(h.result)
	}
	return h
}

// yield goes on at the ticks of the instance that has pinged, so that instances whose
// intervals began at different times do not each send a ping of their own. Cron
// expressions give all of them the same ticks anyway.
func (s *state) yield(p *pinger, other holder) {
	theirs := other.tick
	if other.result == nil || other.result.Answered {
		p.app.awake.Ping(p.upstream, p.app.clock.Now())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skip(p, skippedOther)
	owner := s.owner()
	if owner == nil || owner.schedule.cron != nil {
		return
	}
	s.last = theirs
	s.plan(owner, owner.schedule.next(theirs, owner.app.clock.Now()))
	s.arm(owner)
}

// record records the result of a ping that p has sent, and reports what has
// changed.
func (s *state) record(p *pinger, r result) {
	s.mu.Lock()
	h := &s.health
	before := *h
	owner := s.owner()
	h.count(r, owner)
	turned := h.down != before.down
	failures, since := h.failures, before.since
	if owner != nil {
		s.planRetry(owner)
	}
	s.mu.Unlock()

	collectors.observe(s.name, r)
	if owner == nil {
		return
	}
	owner.report.ping(r)
	if r.cold {
		owner.report.coldStart(r)
	}
	switch {
	case turned && r.err == nil:
		owner.report.up(r, before.failures, r.at.Sub(since))
	case turned:
		owner.report.down(r, failures)
	}
	if turned {
		owner.lease.publish(s.ctx, s.share())
	}
}

// count counts the result of a ping. A target is down after as many failures in
// a row as its owner says.
func (h *health) count(r result, owner *pinger) {
	h.pings++
	h.latest, h.skipped = r, ""
	if r.cold {
		h.coldStarts++
	}
	if r.err == nil {
		h.failures, h.down, h.since = 0, false, time.Time{}
		return
	}
	if h.failures == 0 {
		h.since = r.at
	}
	h.failures++
	if owner != nil && h.failures >= owner.target.Failures {
		h.down = true
	}
}

// touch records that a request of ours has reached the upstream.
func (s *state) touch(p *pinger, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.app.awake.Ping(p.upstream, at)
	s.touched = at
	p.hours.ping(at)
}
