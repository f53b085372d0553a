package hours

import (
	"sync"
	"time"
)

// Tracker records when one instance is awake: from each request until sleepsAfter
// later.
type Tracker struct {
	mu     sync.Mutex    // guards the fields below
	sleeps time.Duration // after the last request
	seen   Memory        // observed by this process; only its spans are used
	memory Memory        // of all processes, as last synchronised
	met    int           // cold starts of users' requests
	spared int           // cold starts that pings have avoided
}

// NewTracker returns a tracker of an instance that falls asleep after a time
// without a request.
func NewTracker(sleepsAfter time.Duration) *Tracker { return &Tracker{sleeps: sleepsAfter} }

// Resize changes the time after which the instance falls asleep.
func (t *Tracker) Resize(sleepsAfter time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sleeps = sleepsAfter
}

func (t *Tracker) sleepsAfter() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sleeps
}

// Ping records a ping.
func (t *Tracker) Ping(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.awake(at)
}

// Traffic records a user's request, and reports whether the instance was asleep.
// Before anything is known about the instance it reports false.
func (t *Tracker) Traffic(at time.Time) (cold bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	awake := t.seen.Awake.Union(t.memory.Awake)
	cold = len(awake) > 0 && !awake.Covers(at)
	switch {
	case cold:
		t.met++
	case len(awake) > 0 && !t.seen.Traffic.Union(t.memory.Traffic).Covers(at):
		t.spared++
	}
	t.awake(at)
	t.seen.Traffic = t.seen.Traffic.Add(at, at.Add(t.sleeps)).Since(at.Add(-remembered))
	return cold
}

// awake records a request of any kind. The caller holds the lock.
func (t *Tracker) awake(at time.Time) {
	t.seen.Awake = t.seen.Awake.Add(at, at.Add(t.sleeps)).Since(at.Add(-remembered))
}

// Met returns how many users' requests found the instance asleep.
func (t *Tracker) Met() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.met
}

// Spared returns how many users' requests found the instance awake that would have
// found it asleep without pings.
func (t *Tracker) Spared() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.spared
}

// AwakeUntil returns when the instance falls asleep, as far as is known.
func (t *Tracker) AwakeUntil() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	mine, theirs := t.seen.Awake.End(), t.memory.Awake.End()
	if mine.After(theirs) {
		return mine
	}
	return theirs
}

// pending returns the awake time that is not in the quota's count yet: until now, and
// from now to the end of the period.
func (t *Tracker) pending(began, end, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	to := t.seen.Awake.Union(t.memory.Awake).Within(now, end)
	return t.memory.uncounted(&t.seen, began, now) + to
}

// demand returns a copy of the demand.
func (t *Tracker) demand() *Demand {
	t.mu.Lock()
	defer t.mu.Unlock()
	demand := t.memory.Demand
	return &demand
}

// Sync merges what this process has observed into the stored state, adds new awake
// time to the quota's count, and returns the state to store. It does not modify
// stored.
func (m *Member) Sync(stored Memory, now time.Time) Memory {
	began, _ := m.account.meter.Window()
	m.mu.Lock()
	stored.absorb(&m.memory)
	fresh := stored.merge(&m.seen, m.zone, began, now)
	learned := stored.Learned != m.memory.Learned
	m.memory = stored
	m.account.meter.Add(int64(fresh / time.Second))
	m.mu.Unlock()
	if learned {
		m.account.replan()
	}
	return stored
}
