package fastestswagger

import (
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// halfLife is after how many intervals a load time counts half.
const halfLife = 3

// spread is the share by which waits between loads vary, so that the loads of
// many upstreams and servers do not coincide.
const spread = 0.1

// scores holds a *score for each scoreKey. It outlives reloads, and policies
// that load the same page in the same way share it.
var scores = caddy.NewUsagePool()

// scoreKey is all that gives a score its meaning.
type scoreKey struct {
	network, address, transport, host, header string
	path, contains, expect                    string
	maxSize                                   int64
	interval, timeout                         time.Duration
}

// score is what is known about an upstream's page.
type score struct {
	interval time.Duration

	mu          sync.Mutex
	subscribers map[*scoreboard]int // rank anew after each load
	due         time.Time
	loading     bool
	changed     chan struct{} // wakes a watcher that waits until due
	record      record

	// The mean is one of load times in which each counts less with age.
	sum, weight float64
	sampledAt   time.Time

	savedAt     time.Time // when the mean was stored
	savedSample time.Time // the time of its last load then
}

// record is what loads have found.
type record struct {
	mean     float64 // seconds; meaningless without samples
	samples  int     // load times in the mean
	passes   int     // loads that passed, in the mean or not
	failures int
	inARow   int // failures since the last load that passed
	lastLoad time.Duration
	lastAt   time.Time
	lastErr  error     // of the last load; nil: it passed
	wonAt    time.Time // when it was last the winner
	skipped  bool      // it was not loaded when that was due, to let it sleep
	warned   bool      // that no upstream has the page, since one last had it
}

// measured reports whether there is a mean.
func (r *record) measured() bool { return r.samples > 0 }

// failing reports whether the last load failed.
func (r *record) failing() bool { return r.inARow > 0 }

// waking reports whether the last load found the platform waking it up.
func (r *record) waking() bool { return errors.Is(r.lastErr, errWaking) }

// missing reports whether the last load found that there is no such page.
func (r *record) missing() bool {
	_, ok := r.lastErr.(missingPageError)
	return ok
}

// acquireScore returns the score of a key and subscribes a scoreboard to it.
func acquireScore(key scoreKey, board *scoreboard) *score {
	value, _ := scores.LoadOrStore(key, &score{
		interval:    key.interval,
		subscribers: make(map[*scoreboard]int),
		changed:     make(chan struct{}, 1),
	})
	sc := value.(*score)
	sc.mu.Lock()
	sc.subscribers[board]++
	sc.mu.Unlock()
	return sc
}

// release undoes acquireScore.
func (sc *score) release(key scoreKey, board *scoreboard) {
	sc.mu.Lock()
	sc.subscribers[board]--
	if sc.subscribers[board] == 0 {
		delete(sc.subscribers, board)
	}
	sc.mu.Unlock()
	_, _ = scores.Delete(key) // a score has no destructor that could fail
}

// beginLoad returns 0 when the caller is to load the page now, or else how long
// to wait before asking again. Only one caller loads at a time, also while
// two configurations overlap.
func (sc *score) beginLoad(now time.Time) time.Duration {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if wait := sc.due.Sub(now); wait > 0 {
		return wait
	}
	wait := time.Duration(float64(sc.interval) * (1 - spread + 2*spread*rand.Float64()))
	sc.due = now.Add(wait)
	if sc.loading {
		return wait
	}
	sc.loading = true
	return 0
}

// abandonLoad ends a load without an outcome, and lets another caller load at
// once.
func (sc *score) abandonLoad() {
	sc.mu.Lock()
	sc.loading = false
	sc.due = time.Time{}
	sc.mu.Unlock()
	sc.wakeWatcher()
}

// skipLoad ends a load that is left out, until the next is due.
func (sc *score) skipLoad() {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	sc.loading, sc.record.skipped = false, true
}

// recordPass records a load that passed. The first one after a failure may have
// woken the upstream up: it proves that the upstream responds and says nothing
// about how fast it is. It returns the record before and after.
func (sc *score) recordPass(at time.Time, took time.Duration) (before, after record) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	before = sc.record
	sc.loading, sc.record.skipped = false, false
	if !before.failing() {
		sc.addSample(at, took.Seconds())
	}
	sc.record.passes++
	sc.record.inARow = 0
	sc.record.lastErr = nil
	sc.record.lastLoad = took
	sc.record.lastAt = at
	sc.record.warned = false
	return before, sc.record
}

// addSample adds a load time to the mean.
func (sc *score) addSample(at time.Time, seconds float64) {
	age := max(0, at.Sub(sc.sampledAt).Seconds()/sc.interval.Seconds())
	fade := math.Exp2(-age / halfLife)
	if sc.record.samples == 0 {
		fade = 0
	}
	sc.sum = sc.sum*fade + seconds
	sc.weight = sc.weight*fade + 1
	sc.sampledAt = at
	sc.record.mean = sc.sum / sc.weight
	sc.record.samples++
}

// recordFailure records a load that failed. How long it took does not matter: a
// refused connection is not a fast response.
func (sc *score) recordFailure(at time.Time, err error) (before, after record) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	before = sc.record
	sc.loading, sc.record.skipped = false, false
	sc.record.failures++
	sc.record.inARow++
	sc.record.lastErr = err
	sc.record.lastAt = at
	return before, sc.record
}

// makeDue makes a load due now: the upstream has just woken up.
func (sc *score) makeDue() {
	sc.mu.Lock()
	sc.due = time.Time{}
	sc.mu.Unlock()
	sc.wakeWatcher()
}

// wakeWatcher makes a watcher that waits for the next load look again.
func (sc *score) wakeWatcher() {
	select {
	case sc.changed <- struct{}{}:
	default:
	}
}

// recordWin records that the page's upstream is the winner now.
func (sc *score) recordWin(at time.Time) {
	sc.mu.Lock()
	sc.record.wonAt = at
	sc.mu.Unlock()
}

// recordWarning records that somebody was warned of a page that no upstream
// has. It reports whether that is new.
func (sc *score) recordWarning() bool {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	warned := sc.record.warned
	sc.record.warned = true
	return !warned
}

// snapshot returns what is known.
func (sc *score) snapshot() record {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	return sc.record
}

// publish makes the policies that use the score rank their pools anew.
func (sc *score) publish() {
	sc.mu.Lock()
	boards := make([]*scoreboard, 0, len(sc.subscribers))
	for board := range sc.subscribers {
		boards = append(boards, board)
	}
	sc.mu.Unlock()
	for _, board := range boards {
		board.refresh()
	}
}
