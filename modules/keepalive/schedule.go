package keepalive

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/hours"
)

// schedule says when a target is pinged. Its ticks stand on a fixed grid, so
// that neither jitter nor a late ping makes them drift; the jitter delays each
// ping within the wait that its tick begins.
type schedule struct {
	every  time.Duration // 0 with cron
	cron   *Cron
	window *Window // nil: all day
	jitter float64 // share of a wait
}

// maxSearch bounds the days on which a cron's tick in the window is looked for.
const maxSearch = 1500

// id names all that decides on the ticks.
func (s *schedule) id() string {
	id := s.every.String()
	if s.cron != nil {
		id = fmt.Sprintf("%s %s", s.cron.Expression, s.cron.Zone)
	}
	if s.window != nil {
		id += fmt.Sprintf(" %s-%s %s", s.window.From, s.window.To, s.window.Zone)
	}
	return id
}

// first returns the first tick of a target that starts now: at once, but a
// cron waits for its time. Like next it returns the zero time for never.
func (s *schedule) first(now time.Time) time.Time {
	if s.cron != nil {
		return s.next(now, now)
	}
	if !s.window.contains(now) {
		return s.window.opening(now)
	}
	return now
}

// next returns the tick that follows a tick and is still to come. When that
// falls out of the window, the window's opening is a tick.
func (s *schedule) next(tick, now time.Time) time.Time {
	if s.cron != nil {
		return s.nextCron(now)
	}
	missed := int64(now.Sub(tick) / s.every)
	at := tick.Add(time.Duration(missed+1) * s.every)
	if !s.window.contains(at) {
		return s.window.opening(at)
	}
	return at
}

func (s *schedule) nextCron(after time.Time) time.Time {
	for range maxSearch {
		at, err := s.cron.next(after)
		if err != nil {
			return time.Time{}
		}
		if s.window.contains(at) {
			return at
		}
		after = s.window.opening(at).Add(-time.Second)
	}
	return time.Time{}
}

// following returns the tick that follows one. When the hours are saved, it is
// the time to ask for them again.
func (s *schedule) following(tick, now time.Time, verdict hours.Verdict) time.Time {
	if verdict.Keep || s.cron != nil {
		return s.next(tick, now)
	}
	if !s.window.contains(verdict.Until) {
		return s.window.opening(verdict.Until)
	}
	return verdict.Until
}

// resume returns the tick that follows the last one of another schedule.
func (s *schedule) resume(last, now time.Time) time.Time {
	if s.cron == nil && !last.IsZero() {
		if at := last.Add(s.every); at.After(now) && s.window.contains(at) {
			return at
		}
	}
	return s.first(now)
}

// covers reports whether another instance that has pinged at its tick has done
// so for ours. A tick that lies ahead comes from a clock that is wrong.
func (s *schedule) covers(theirs, ours, now time.Time) bool {
	return ours.Sub(theirs) < max(s.every, 1) && !theirs.After(now.Add(s.every))
}

// number is the same for ticks that stand for each other, and another for the
// next one.
func (s *schedule) number(tick time.Time) int64 {
	if s.cron != nil {
		return tick.Unix()
	}
	return tick.UnixNano() / int64(s.every)
}

// spread returns when the ping of a tick is sent.
func (s *schedule) spread(tick time.Time) time.Time { return s.spreadWithin(tick, math.MaxInt64) }

// spreadWithin is spread with a bound of the delay.
func (s *schedule) spreadWithin(tick time.Time, most time.Duration) time.Time {
	wait := s.every
	if s.cron != nil && s.jitter > 0 {
		if following := s.next(tick, tick); !following.IsZero() {
			wait = following.Sub(tick)
		}
	}
	delay := rand.Float64() * min(s.jitter*float64(wait), float64(most))
	at := tick.Add(time.Duration(delay))
	if !s.window.contains(at) {
		return tick
	}
	return at
}
