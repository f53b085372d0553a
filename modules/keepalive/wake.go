package keepalive

import (
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
)

// wakeAgain is after how long a target that did not wake up is tried again.
const wakeAgain = time.Minute

// asleep reports whether the instance has had the time to fall asleep since
// the last request that is known of.
func (p *pinger) asleep(now time.Time) bool {
	return p.target.SleepsAfter > 0 && !now.Before(p.awakeUntil())
}

// awakeUntil returns until when the instance is awake, as far as is known.
func (p *pinger) awakeUntil() time.Time {
	until := p.app.awake.LastSeen(p.upstream).Add(time.Duration(p.target.SleepsAfter))
	if shared := p.hours.awakeUntil(); shared.After(until) { // by another instance of Caddy
		return shared
	}
	return until
}

// Condition implements awake.Keeper.
func (p *pinger) Condition() awake.Condition {
	switch {
	case p.state.waking.Load():
		return awake.Waking
	case p.target.SleepsAfter == 0:
		return awake.Unknown
	case p.asleep(p.app.clock.Now()):
		return awake.Asleep
	}
	return awake.Awake
}

// Wake implements awake.Keeper: it pings a target that sleeps, once, whatever
// its schedule.
func (p *pinger) Wake() (done <-chan struct{}) {
	switch p.Condition() {
	case awake.Waking:
		return p.state.underWay()
	case awake.Asleep:
		return p.state.wake(p)
	}
	return nil
}

// Spare implements awake.Keeper: what lets the target sleep now is its window,
// or that its hours are saved.
func (p *pinger) Spare() bool {
	if p.target.SleepsAfter == 0 {
		return false
	}
	now := p.app.clock.Now()
	return !p.target.Window.contains(now) || !p.hours.verdict(now).Keep
}

// underWay returns the end of the ping under way, nil if there is none. A user
// waits for it, so it no longer waits for its turn.
func (s *state) underWay() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return nil
	}
	return s.hurry(s.running).done
}

// wake pings unless it has been tried just now, or the hours or requests of the
// account are used up.
func (s *state) wake(p *pinger) <-chan struct{} {
	now := p.app.clock.Now()
	if p.hours.exhausted(now) {
		return nil
	}
	if p.pings != nil && !p.pings.May(1) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil && now.Sub(s.woken) < wakeAgain {
		return nil
	}
	s.woken = now
	return s.hurry(s.launch(p, time.Time{})).done
}

// Interface guards
var _ awake.Keeper = (*pinger)(nil)
