package keepalive

import (
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
)

// wakeAgain is after how long a target that did not wake up is tried again.
const wakeAgain = time.Minute

// asleep reports whether the instance has had the time to fall asleep since
// the last request that is known of.
func (t *Target) asleep(now time.Time) bool {
	return t.SleepsAfter > 0 && !now.Before(t.awakeUntil())
}

// awakeUntil returns until when the instance is awake, as far as is known.
func (t *Target) awakeUntil() time.Time {
	until := t.app.awake.LastSeen(t.upstream).Add(time.Duration(t.SleepsAfter))
	if t.member != nil {
		if shared := t.member.AwakeUntil(); shared.After(until) { // by another instance of Caddy
			return shared
		}
	}
	return until
}

// Condition implements awake.Keeper.
func (t *Target) Condition() awake.Condition {
	switch {
	case t.state.waking.Load():
		return awake.Waking
	case t.SleepsAfter == 0:
		return awake.Unknown
	case t.asleep(t.app.clock.Now()):
		return awake.Asleep
	}
	return awake.Awake
}

// Wake implements awake.Keeper: it pings a target that sleeps, once, whatever
// its schedule.
func (t *Target) Wake() (done <-chan struct{}) {
	switch t.Condition() {
	case awake.Waking:
		return t.state.underWay()
	case awake.Asleep:
		return t.state.wake(t)
	}
	return nil
}

// Spare implements awake.Keeper: what lets the target sleep now is its window,
// or that its hours are saved.
func (t *Target) Spare() bool {
	if t.SleepsAfter == 0 {
		return false
	}
	now := t.app.clock.Now()
	return !t.Window.contains(now) || !t.verdict(now).Keep
}

// underWay returns the end of the ping under way, nil if there is none.
func (s *state) underWay() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight == nil {
		return nil
	}
	return s.flight.done
}

// wake pings unless it has been tried just now, or the hours or requests of the
// account are used up.
func (s *state) wake(t *Target) <-chan struct{} {
	now := t.app.clock.Now()
	if t.member != nil && t.account.Used(now) >= t.account.Limit() {
		return nil
	}
	if t.pings != nil && !t.pings.May(1) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight == nil && now.Sub(s.woken) < wakeAgain {
		return nil
	}
	s.woken = now
	return s.launch(t, time.Time{}).done
}

// Interface guards
var _ awake.Keeper = (*Target)(nil)
