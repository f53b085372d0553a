package keepalive

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-freetier/caddy-freetier/internal/hours"
	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
)

// states holds a *state for each thing that is pinged, by the identity of its
// target. A state outlives a reload that keeps the target.
var states = caddy.NewUsagePool()

// state is what is known of a target, its schedule's progress and the ping
// under way. While two configurations overlap both have started the same
// target; it is pinged by the later one, and by the former again if the later
// one fails to start.
type state struct {
	name   string
	ctx    context.Context // of pings: ends with the last configuration that has the target
	cancel context.CancelFunc

	sharing chan struct{} // holds a token while the stored record is edited

	mu     sync.Mutex
	owners []*pinger // that have started and not stopped
	timer  clockwork.Timer
	armed  int // counts timers: one that fires while it is replaced does nothing

	scheduled string    // the id of the schedule that tick is of
	last      time.Time // tick that came last
	tick      time.Time // tick that comes next; zero: never
	due       time.Time // when that tick's ping is sent
	retry     time.Time // when a failed ping is tried again; zero: not before the tick

	running *run      // nil: no ping is under way
	touched time.Time // when we last touched the upstream ourselves; later traffic is that of users
	health  health

	tracker *hours.Tracker
	traffic time.Time // the latest that the tracker has recorded
	shared  time.Time // when instances last exchanged what they know
	storage safestore.Health
	woken   time.Time // when it was last woken for a user
	waking  atomic.Bool
}

// health is what pings have shown.
type health struct {
	pings      int
	latest     result
	failures   int       // in a row
	since      time.Time // the first of them
	down       bool      // whether they were enough to be reported
	coldStarts int
	skipped    string // why the last tick brought no ping
}

const (
	skippedUnderWay = "the ping before is still under way"
	skippedTraffic  = "traffic keeps it awake until "
	skippedOther    = "another instance of Caddy has pinged it"
	skippedUsedUp   = "the requests of its account are used up until "
)

func newState(name string) *state {
	s := &state{name: name, sharing: make(chan struct{}, 1), tracker: hours.NewTracker(0)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Destruct ends the ping under way when no configuration has the target any more.
func (s *state) Destruct() error {
	s.cancel()
	forgetMetrics(s.name)
	return nil
}

// start makes p the one that pings.
func (s *state) start(p *pinger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owners = append(s.owners, p)
	s.adopt(p)
}

// stop makes p ping no more.
func (s *state) stop(p *pinger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owners = slices.DeleteFunc(s.owners, func(owner *pinger) bool { return owner == p })
	s.disarm()
	if owner := s.owner(); owner != nil {
		s.adopt(owner)
	}
}

// begun reports whether a ping was ever due.
func (s *state) begun() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.last.IsZero()
}

// started reports whether a configuration pings the target.
func (s *state) started() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.owner() != nil
}

// owner returns the target of the latest configuration, nil if all have stopped.
func (s *state) owner() *pinger {
	if len(s.owners) == 0 {
		return nil
	}
	return s.owners[len(s.owners)-1]
}

// adopt goes on with p's schedule. What is due stays due if only the jitter
// is another. It is called under the lock.
func (s *state) adopt(p *pinger) {
	now := p.app.clock.Now()
	switch id := p.schedule.id(); {
	case s.scheduled == "":
		s.plan(p, p.schedule.first(now))
		s.hasten(p, now)
	case s.scheduled != id:
		s.plan(p, p.schedule.resume(s.last, now))
		s.hasten(p, now)
	}
	s.arm(p)
}

// plan sets the tick that comes next.
func (s *state) plan(p *pinger, tick time.Time) {
	s.scheduled, s.tick, s.due = p.schedule.id(), tick, time.Time{}
	if !tick.IsZero() {
		s.due = p.schedule.spread(tick)
	}
}

// hasten brings the ping of a tick that is now within a minute, whatever the
// jitter: the jitter of a long interval is hours.
func (s *state) hasten(p *pinger, now time.Time) {
	if s.tick.Equal(now) {
		s.due = p.schedule.spreadWithin(s.tick, firstPing)
	}
}

// next returns when a ping is sent next, the zero time for never.
func (s *state) next() time.Time {
	if s.due.IsZero() || (!s.retry.IsZero() && s.retry.Before(s.due)) {
		return s.retry
	}
	return s.due
}

// maxWait is after how long the clock is looked at again: what the clock on
// the wall shows can be corrected meanwhile.
const maxWait = 10 * time.Minute

// firstPing is within which time of the start a target is pinged first.
const firstPing = time.Minute

// firstRetry is after which time a failed ping is tried again. The time doubles
// with each further failure, up to the interval.
const firstRetry = 30 * time.Second

// planRetry plans to try again after a failure, unless the next tick comes
// first: one failed ping must not let an instance sleep.
func (s *state) planRetry(p *pinger) {
	s.retry = time.Time{}
	if failures := s.health.failures; failures > 0 {
		at := p.app.clock.Now().Add(firstRetry << min(failures-1, 20))
		if s.due.IsZero() || at.Before(s.due) {
			s.retry = at
		}
	}
	s.arm(p)
}

// arm sets the timer for the ping that is due.
func (s *state) arm(p *pinger) {
	s.disarm()
	next := s.next()
	if next.IsZero() {
		return
	}
	armed := s.armed
	wait := min(next.Sub(p.app.clock.Now()), maxWait)
	s.timer = p.app.clock.AfterFunc(wait, func() { s.fire(armed) })
}

func (s *state) disarm() {
	s.armed++
	if s.timer != nil {
		s.timer.Stop()
	}
}

// fire does what a tick asks for and plans the next. The timer calls it on a goroutine of
// its own. armed is the number of the timer: one that was replaced while its call waited
// for the lock does nothing.
//
// It also fires when nothing is due: every ten minutes, to look at a clock that may have
// been corrected, and when a failed ping is to be tried again.
func (s *state) fire(armed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.owner()
	if p == nil || armed != s.armed {
		return
	}
	now := p.app.clock.Now()
	if s.due.IsZero() || s.due.After(now) {
		retry := !s.retry.IsZero() && !s.retry.After(now)
		if retry {
			s.retry = time.Time{}
		}
		s.arm(p)
		if retry && p.target.Window.contains(now) && s.needless(p, p.hours.verdict(now)) == "" {
			s.launch(p, time.Time{})
		}
		return
	}
	s.retry = time.Time{}
	tick, verdict := s.tick, p.hours.verdict(now)
	s.last = tick
	s.plan(p, p.schedule.following(tick, now, verdict))
	s.arm(p)

	if reason := s.needless(p, verdict); reason != "" {
		s.skip(p, reason)
		return
	}
	s.launch(p, tick)
}

// needless says why the ping that has come due is not sent, "" if it is. The text is
// shown by the admin API and the status page. What does not need the target's health
// comes first; traffic counts only after a ping that was answered as expected, since
// requests may also be answered by a platform in place of the instance.
func (s *state) needless(p *pinger, verdict hours.Verdict) string {
	if s.running != nil {
		return skippedUnderWay
	}
	if !verdict.Keep {
		return verdict.Because
	}
	if p.pings != nil && !p.pings.May(1) {
		return skippedUsedUp + p.pings.Renews().UTC().Format(time.RFC3339)
	}
	h := &s.health
	if p.target.SleepsAfter == 0 || s.due.IsZero() || h.latest.at.IsZero() || h.latest.err != nil {
		return ""
	}
	seen := p.app.awake.LastOther(p.upstream)
	if !seen.After(s.touched) || !hours.Spared(seen, s.due, time.Duration(p.target.SleepsAfter)) {
		return ""
	}
	return skippedTraffic + seen.Add(time.Duration(p.target.SleepsAfter)).UTC().Format(time.RFC3339)
}

func (s *state) skip(p *pinger, reason string) {
	s.health.skipped = reason
	collectors.pings.WithLabelValues(s.name, resultSkipped).Inc()
	if c := p.app.logger.Check(zapcore.DebugLevel, "skipped a ping"); c != nil {
		c.Write(zap.String("target", s.name), zap.String("because", reason))
	}
}

// share returns what other instances may know of the latest ping, nil before
// the first. It goes to the storage, so it has no URL, header or body.
func (s *state) share() *sharedResult {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.health.latest
	if r.at.IsZero() {
		return nil
	}
	shared := &sharedResult{
		At: r.at, Answered: r.answered, Latency: r.latency, Status: r.status,
		Failures: s.health.failures, Since: s.health.since, Down: s.health.down,
	}
	if r.err != nil {
		shared.Error = r.err.Error()
	}
	return shared
}

// merge takes over what another instance knows. It has reported it already.
func (s *state) merge(shared *sharedResult) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if shared == nil || !shared.At.After(s.health.latest.at) {
		return
	}
	s.health.failures, s.health.since, s.health.down = shared.Failures, shared.Since, shared.Down
	s.health.latest = result{at: shared.At, answered: shared.Answered, latency: shared.Latency, status: shared.Status}
	if shared.Error != "" {
		s.health.latest.err = errors.New(shared.Error)
	}
}

// restore takes over what was known of the target before a restart, so that what
// was reported is not reported again, and that it is up again is.
func (s *state) restore(shared *sharedResult) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if shared != nil && s.health.latest.at.IsZero() {
		s.health.failures, s.health.since, s.health.down = shared.Failures, shared.Since, shared.Down
	}
}
