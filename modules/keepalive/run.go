package keepalive

import (
	"context"
	"time"
)

// run is a ping under way.
type run struct {
	done     chan struct{}
	tick     time.Time // zero: it is sent whatever other instances do
	finished bool      // and not cut short; read it after done
	yielded  bool      // to another instance; read it after done
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

// ping pings now, unless a ping is under way, which it returns then.
func (s *state) ping(p *pinger) *run {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.launch(p, time.Time{})
}

// launch starts a ping, the only one at a time. One of a tick is left to
// another instance that has sent it.
func (s *state) launch(p *pinger, tick time.Time) *run {
	if s.running != nil {
		return s.running
	}
	r := &run{done: make(chan struct{}), tick: tick}
	s.running = r
	s.waking.Store(p.asleep(p.app.clock.Now()))
	go s.run(p, r)
	return r
}

// run performs the ping and reports state changes, in order.
func (s *state) run(p *pinger, r *run) {
	defer close(r.done)
	if owner := s.acquire(p, r.tick); !owner.mine {
		s.yield(p, owner.tick)
		r.yielded, r.finished = true, true
	} else if outcome, ok := p.ping(s.ctx); ok {
		s.record(p, outcome)
		r.finished = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = nil
	s.waking.Store(false)
}

// acquire acquires the lease of a tick. A ping without one is always ours.
func (s *state) acquire(p *pinger, tick time.Time) holder {
	if tick.IsZero() {
		return holder{mine: true}
	}
	h := p.lease.acquire(s.ctx, tick, s.share())
	if !h.mine {
		s.merge(h.result)
	}
	return h
}

// yield goes on at the ticks of the instance that has pinged.
func (s *state) yield(p *pinger, theirs time.Time) {
	p.app.awake.Probe(p.upstream, p.app.clock.Now())
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
	turned := (r.err == nil) != (h.latest.err == nil) // unknown counts as healthy
	failures := h.failures + 1
	if r.err == nil {
		h.failures = 0
	} else {
		h.failures = failures
	}
	h.pings++
	h.latest, h.skipped = r, ""
	if r.cold {
		h.coldStarts++
	}
	owner := s.owner()
	s.mu.Unlock()

	collectors.observe(s.name, r)
	if owner == nil {
		return
	}
	owner.report.ping(r)
	if r.cold {
		owner.report.coldStart(r)
	}
	if turned {
		owner.report.health(r, failures)
	}
}

// touch records that a request of ours is sent to the upstream.
func (s *state) touch(p *pinger, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.app.awake.Probe(p.upstream, at)
	s.touched = at
	p.hours.ping(at)
}
