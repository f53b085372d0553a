package hours

import (
	"sync"
	"time"
)

// Tracker follows when one instance is awake.
type Tracker struct {
	sleeps time.Duration

	mu     sync.Mutex
	seen   Memory // by this process; only its spans are used
	memory Memory // what all processes know, as last shared
	met    int    // cold starts that users have met
	spared int    // those that they would have met without pings
}

// NewTracker returns a tracker of an instance that falls asleep after a time
// without a request.
func NewTracker(sleepsAfter time.Duration) *Tracker { return &Tracker{sleeps: sleepsAfter} }

// Resize changes after which time the instance falls asleep.
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

// Ping notes a request of ours.
func (t *Tracker) Ping(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.awake(at)
}

// Traffic notes a request of a user and reports whether it met the instance
// asleep.
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

func (t *Tracker) awake(at time.Time) {
	t.seen.Awake = t.seen.Awake.Add(at, at.Add(t.sleeps)).Since(at.Add(-remembered))
}

// Met returns how many cold starts users have met.
func (t *Tracker) Met() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.met
}

// Spared returns how many requests of users found the instance awake although
// traffic alone would have let it sleep.
func (t *Tracker) Spared() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.spared
}

// AwakeUntil returns until when the instance is awake, as far as is known.
func (t *Tracker) AwakeUntil() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	mine, theirs := t.seen.Awake.End(), t.memory.Awake.End()
	if mine.After(theirs) {
		return mine
	}
	return theirs
}

// pending returns what is not counted yet: the awake time until now, and that
// which is to come within the period.
func (t *Tracker) pending(began, end, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	to := t.seen.Awake.Union(t.memory.Awake).Within(now, end)
	return t.memory.uncounted(&t.seen, began, now) + to
}

// demand returns a copy of what has been learned.
func (t *Tracker) demand() *Demand {
	t.mu.Lock()
	defer t.mu.Unlock()
	demand := t.memory.Demand
	return &demand
}

// Sync merges what this process has seen into what is stored, counts what is
// new, and returns what is to be stored now. It changes nothing in stored.
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
