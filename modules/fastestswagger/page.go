package fastestswagger

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// halfLife is after how many intervals a load time counts half.
const halfLife = 3

// spread is the share by which waits between loads vary, so that the loads of
// many upstreams and servers do not fall together.
const spread = 0.1

// pages holds a *page for each pageKey. It outlives reloads, and policies
// that would load the same page in the same way share it.
var pages = caddy.NewUsagePool()

// pageKey is all that gives a score its meaning.
type pageKey struct {
	network, address, transport, host string
	path, contains, expect            string
	maxSize                           int64
	interval, timeout                 time.Duration
}

// page is what is known about an upstream's page.
type page struct {
	interval time.Duration

	mu       sync.Mutex
	users    map[*Selection]int
	due      time.Time
	loading  bool
	released chan struct{}
	record   record

	// The score is a mean of load times in which each counts less with age.
	sum, weight float64
	sampledAt   time.Time

	savedAt, savedSample time.Time // when the score was stored, and what was its last load
}

// record is what loads have found.
type record struct {
	score    float64 // seconds; meaningless without samples
	samples  int     // load times in the score
	passes   int     // loads that passed, in the score or not
	failures int
	inARow   int // failures since the last load that passed
	lastLoad time.Duration
	lastAt   time.Time
	lastErr  string
	wonAt    time.Time // when it last was the winner
	spared   bool      // it was not loaded when that was due, to let it sleep
}

// measured tells whether there is a score.
func (r *record) measured() bool { return r.samples > 0 }

// failing tells whether the last load failed.
func (r *record) failing() bool { return r.inARow > 0 }

// waking tells whether the last load found the platform waking it up.
func (r *record) waking() bool { return r.lastErr == errWaking.Error() }

// takePage returns the page of a key and notes that s wants to know of its loads.
func takePage(key pageKey, s *Selection) *page {
	value, _ := pages.LoadOrStore(key, &page{
		interval: key.interval,
		users:    make(map[*Selection]int),
		released: make(chan struct{}, 1),
	})
	p := value.(*page)
	p.mu.Lock()
	p.users[s]++
	p.mu.Unlock()
	return p
}

// drop undoes takePage.
func (p *page) drop(key pageKey, s *Selection) {
	p.mu.Lock()
	if p.users[s]--; p.users[s] == 0 {
		delete(p.users, s)
	}
	p.mu.Unlock()
	_, _ = pages.Delete(key) // a page has no destructor that could fail
}

// claim returns 0 when the caller is to load the page now, or else how long
// to wait before asking again. Only one caller loads at a time, also while
// two configurations overlap.
func (p *page) claim(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if wait := p.due.Sub(now); wait > 0 {
		return wait
	}
	wait := time.Duration(float64(p.interval) * (1 - spread + 2*spread*rand.Float64()))
	p.due = now.Add(wait)
	if p.loading {
		return wait
	}
	p.loading = true
	return 0
}

// release gives back a claim whose load was abandoned, and lets another
// caller load at once.
func (p *page) release() {
	p.mu.Lock()
	p.loading = false
	p.due = time.Time{}
	p.mu.Unlock()
	p.nudge()
}

// passed notes a load that passed. The first one after a failure may have
// woken the upstream up: it proves that the upstream answers and says nothing
// about how fast it is. It returns the record before and after.
func (p *page) passed(at time.Time, took time.Duration) (before, after record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before = p.record
	p.loading, p.record.spared = false, false
	if !before.failing() {
		p.sample(at, took.Seconds())
	}
	p.record.passes++
	p.record.inARow = 0
	p.record.lastErr = ""
	p.record.lastLoad = took
	p.record.lastAt = at
	return before, p.record
}

// sample enters a load time into the score.
func (p *page) sample(at time.Time, seconds float64) {
	age := max(0, at.Sub(p.sampledAt).Seconds()/p.interval.Seconds())
	fade := math.Exp2(-age / halfLife)
	if p.record.samples == 0 {
		fade = 0
	}
	p.sum = p.sum*fade + seconds
	p.weight = p.weight*fade + 1
	p.sampledAt = at
	p.record.score = p.sum / p.weight
	p.record.samples++
}

// failed notes a load that failed. How long it took does not matter: a
// refused connection is not a fast answer.
func (p *page) failed(at time.Time, err error) (before, after record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before = p.record
	p.loading, p.record.spared = false, false
	p.record.failures++
	p.record.inARow++
	p.record.lastErr = err.Error()
	p.record.lastAt = at
	return before, p.record
}

// spare gives back a claim whose load is left out, until the next is due.
func (p *page) spare() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loading, p.record.spared = false, true
}

// hasten makes a load due now: the upstream has just woken up.
func (p *page) hasten() {
	p.mu.Lock()
	p.due = time.Time{}
	p.mu.Unlock()
	p.nudge()
}

// nudge makes whoever waits for the next load look again.
func (p *page) nudge() {
	select {
	case p.released <- struct{}{}:
	default:
	}
}

// won notes that the page's upstream is the winner now.
func (p *page) won(at time.Time) {
	p.mu.Lock()
	p.record.wonAt = at
	p.mu.Unlock()
}

// look returns what is known.
func (p *page) look() record {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.record
}

// tell makes the policies that use the page rank their pools anew.
func (p *page) tell() {
	p.mu.Lock()
	users := make([]*Selection, 0, len(p.users))
	for s := range p.users {
		users = append(users, s)
	}
	p.mu.Unlock()
	for _, s := range users {
		s.refresh()
	}
}
