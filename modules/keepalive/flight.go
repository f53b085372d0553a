package keepalive

import (
	"context"
	"time"
)

// flight is a ping under way.
type flight struct {
	done     chan struct{}
	tick     time.Time // zero: it is sent whatever other instances do
	finished bool      // and not cut short; read it after done
	yielded  bool      // to another instance; read it after done
}

// wait waits for the ping and reports whether it is done with.
func (f *flight) wait(ctx context.Context) bool {
	select {
	case <-f.done:
		return true
	case <-ctx.Done():
		return false
	}
}

// ping pings now, unless a ping is under way, which it returns then.
func (s *state) ping(t *Target) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.launch(t, time.Time{})
}

// launch starts a ping, the only one at a time. One of a tick is left to
// another instance that has sent it.
func (s *state) launch(t *Target, tick time.Time) *flight {
	if s.flight != nil {
		return s.flight
	}
	f := &flight{done: make(chan struct{}), tick: tick}
	s.flight = f
	s.waking.Store(t.asleep(t.app.clock.Now()))
	go s.fly(t, f)
	return f
}

// fly sees a ping through to the report of what it has changed, so that
// reports come in order.
func (s *state) fly(t *Target, f *flight) {
	defer close(f.done)
	if c := s.claim(t, f); !c.mine {
		s.yield(t, c.tick)
		f.yielded, f.finished = true, true
	} else if r, ok := t.ping(s.ctx); ok {
		s.settle(t, r)
		f.finished = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flight = nil
	s.waking.Store(false)
}

func (s *state) claim(t *Target, f *flight) claim {
	if f.tick.IsZero() {
		return claim{mine: true}
	}
	return t.claim(s.ctx, f.tick)
}

// yield goes on at the ticks of the instance that has pinged.
func (s *state) yield(t *Target, theirs time.Time) {
	t.app.awake.Probe(t.upstream, t.app.clock.Now())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skip(t, skippedOther)
	owner := s.owner()
	if owner == nil || owner.schedule.cron != nil {
		return
	}
	s.last = theirs
	s.plan(owner, owner.schedule.next(theirs, owner.app.clock.Now()))
	s.arm(owner)
}

// settle notes the result of a ping that t has sent.
func (s *state) settle(t *Target, r result) {
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
	owner.logPing(r)
	if r.cold {
		owner.reportColdStart(r)
	}
	if turned {
		owner.reportHealth(r, failures)
	}
}

// touch tells those who follow the upstream of a request of ours.
func (s *state) touch(t *Target, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.app.awake.Probe(t.upstream, at)
	s.touched = at
	if t.member != nil {
		t.member.Ping(at)
	}
}
