// Package cooldown is a circuit breaker: it records what must not be used for a
// while, such as an API key for one model, a failing channel or a DNS upstream, and
// lets one request try whether the cooldown is over.
//
//	           Start                time is over
//	in use ────────────▶ cooldown ────────────────▶ half-open ◀─┐
//	   ▲                    ▲                           │       │
//	   │                    │ Start: twice as long      │ Acquire
//	   │                    │                           ▼       │ Release
//	   └────────────────────┴────────────────────────  trial ───┘
//	          Succeed
//
// A Breaker has a cooldown for each of several names, for example the models of an
// API key, and one for All, which is all of them. A name such as `x:free` also
// belongs to the group `*:free`, which can be in cooldown together. A name without
// a cooldown is in use. The current time is an argument of each call, so that tests
// need no clock.
//
// The state of a name is its latest Decision: a cooldown, or that one was lifted.
// Processes can exchange decisions in any order, since the latest one counts
// (a last-writer-wins register).
package cooldown

import (
	"cmp"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// All is the name whose cooldown applies to every name.
const All = ""

const (
	// MaxRequested is how many names from requests a Breaker has, which bounds its
	// memory.
	MaxRequested = 64
	// MaxNameLength is the maximum length of such a name, in bytes. A longer one
	// is never in cooldown.
	MaxNameLength = 256

	// trialTimeout is the default of Cooldown.TrialTimeout.
	trialTimeout = 5 * time.Minute

	// forgetAfter is how long after its end a cooldown is remembered, so that the
	// next one can be longer.
	forgetAfter = 30 * time.Minute
)

// Cooldown is how long a name must not be used, and why.
type Cooldown struct {
	// Reason is a text for people.
	Reason string

	// Until is the end, if the provider or the user has stated it. Zero: the end
	// is guessed by Length.
	Until time.Time

	// Length is the length of a guessed cooldown. After each failed trial it is
	// doubled, up to MaxLength.
	Length, MaxLength time.Duration

	// Fixed keeps a guess from extending a cooldown that has not ended. It is for
	// things that are used in spite of their cooldown when there is nothing
	// better: otherwise each failure would delay the trial.
	Fixed bool

	// TrialTimeout is how long a trial may last before another one may begin.
	// Default: 5 minutes.
	TrialTimeout time.Duration

	// Requested reports whether the name comes from a request and not from the
	// configuration. A Breaker has at most MaxRequested of such names.
	Requested bool
}

// Breaker is the cooldowns of one thing, such as an API key. It is safe for
// concurrent use, and costs an atomic load while there are none.
type Breaker struct {
	active   atomic.Bool     // whether there are entries
	lasting  atomic.Bool     // whether there may be decisions to store
	failures atomic.Int64    // in a row
	changed  chan<- struct{} // nil: nobody is notified

	mu         sync.Mutex        // guards the fields below
	entries    map[string]*entry // by name
	lifts      map[string]lift   // by name, of names without an entry
	everything lift              // of all names; zero: there is none

	conversation  uint64 // of the last failure in a row
	conversations int    // how many times it has changed
}

// entry is the cooldown of a name: one that has not ended, or one that has ended
// without a success since.
type entry struct {
	Cooldown
	origin
	length  time.Duration // of the last guess
	guessed bool          // whether Until is a guess
	trial   time.Time     // when the current trial times out; zero: there is none
	asked   time.Time     // when the cooldown began, or the last AcquireEarly was
}

// New returns a Breaker without cooldowns.
func New() *Breaker { return new(Breaker) }

// NewNotifying returns a Breaker that sends to changed, without blocking, when this
// process makes a decision that should be stored.
func NewNotifying(changed chan<- struct{}) *Breaker { return &Breaker{changed: changed} }

// Until returns when the name may be used again, and the zero time if it may be
// used now. If now is the zero time, Until also returns an end that has passed, as
// long as there was no success since.
func (b *Breaker) Until(name string, now time.Time) time.Time {
	if !b.active.Load() {
		return time.Time{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var until time.Time
	for _, e := range b.of(name) {
		if e == nil {
			continue
		}
		for _, t := range [...]time.Time{e.Until, e.trial} {
			if t.After(now) && t.After(until) {
				until = t
			}
		}
	}
	return until
}

// Block is the state of a name: until when and why it must not be used.
type Block struct {
	// Until is the end. Zero: the name may be used.
	Until time.Time
	// Guessed reports whether the end is a guess or that of a trial's timeout.
	Guessed bool
	// Reason is the reason of the cooldown that ends last.
	Reason string
}

// Block returns until when and why the name must not be used.
func (b *Breaker) Block(name string, now time.Time) Block {
	if !b.active.Load() {
		return Block{Guessed: true}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return blockOf(b.of(name), now)
}

// BlockOfName is Block without the cooldown of All.
func (b *Breaker) BlockOfName(name string, now time.Time) Block {
	if !b.active.Load() {
		return Block{Guessed: true}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	found := b.of(name)
	found[0] = nil
	return blockOf(found, now)
}

func blockOf(found [3]*entry, now time.Time) Block {
	block := Block{Guessed: true}
	for _, e := range found {
		if e == nil {
			continue
		}
		ends := e.trial
		if e.Until.After(now) {
			ends, block.Guessed = e.Until, block.Guessed && e.guessed
		}
		if ends.After(now) && ends.After(block.Until) {
			block.Until, block.Reason = ends, e.Reason
		}
	}
	return block
}

// AcquireEarly reports whether the name may be tried although it is in cooldown,
// when there is nothing better: if at least interval has passed since its cooldown
// began and since it was last tried in this way.
func (b *Breaker) AcquireEarly(name string, now time.Time, interval time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := b.of(name)
	for _, e := range found {
		if e != nil && now.Sub(e.asked) < interval {
			return false
		}
	}
	for _, e := range found {
		if e != nil {
			e.asked = now
		}
	}
	return true
}

// Acquire reports whether the name may be used now. If its cooldown has ended, the
// caller makes the trial: the name may not be used by others before Succeed, Start
// or Release, or the trial's timeout.
func (b *Breaker) Acquire(name string, now time.Time) bool {
	if !b.active.Load() {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return acquire(b.of(name), now)
}

// AcquireName is Acquire without the cooldown of All: its trial is neither waited
// for nor made.
func (b *Breaker) AcquireName(name string, now time.Time) bool {
	if !b.active.Load() {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	found := b.of(name)
	found[0] = nil
	return acquire(found, now)
}

func acquire(found [3]*entry, now time.Time) bool {
	for _, e := range found {
		if e != nil && (e.Until.After(now) || e.trial.After(now)) {
			return false
		}
	}
	for _, e := range found {
		if e != nil {
			e.trial, e.asked = now.Add(cmp.Or(e.TrialTimeout, trialTimeout)), now
		}
	}
	return true
}

// Release ends a trial without an outcome. The next caller of Acquire makes another
// one.
func (b *Breaker) Release(name string) {
	if !b.active.Load() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.of(name) {
		if e != nil {
			e.trial = time.Time{}
		}
	}
}

// Succeed ends the cooldowns of the name, its group and All, and the failures in a
// row. It reports whether there was a cooldown.
func (b *Breaker) Succeed(name string, now time.Time) bool {
	if !b.active.Load() && b.failures.Load() == 0 {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures.Store(0)
	ended := false
	for _, n := range namesOf(name) {
		ended = b.end(n, now) || ended
	}
	return ended
}

// Start begins a cooldown, and reports whether the name was in use before. A guess
// never shortens a cooldown that has not ended.
func (b *Breaker) Start(name string, c Cooldown, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.start(name, c, now)
}

func (b *Breaker) start(name string, c Cooldown, now time.Time) bool {
	if c.Requested && len(name) > MaxNameLength {
		return false
	}
	b.forget(now)
	e, known := b.entries[name]
	if known && c.Fixed && c.Until.IsZero() && e.trial.IsZero() && e.Until.After(now) {
		return false
	}
	origin := b.decide(name, now)
	if !known {
		if c.Requested {
			b.makeRoom()
		}
		e = new(entry)
		b.enter(strings.Clone(name), e) // a substring would keep the whole request in memory
	}
	until := c.Until
	guessed := until.IsZero()
	if guessed {
		e.length = e.next(c)
		until = now.Add(e.length)
		if known && e.Until.After(until) {
			until, guessed = e.Until, e.guessed
		}
	}
	e.Cooldown, e.trial, e.asked = c, time.Time{}, now
	e.Until, e.guessed, e.origin = until, guessed, origin
	b.record(e.lasts(e.Until))
	return !known
}

// next returns the length of a guessed cooldown.
func (e *entry) next(c Cooldown) time.Duration {
	if e.trial.IsZero() {
		// Not after a trial: the first cooldown, or a failure of a request that
		// was sent before the cooldown began.
		return max(e.length, c.Length)
	}
	return min(max(2*e.length, c.Length), max(c.MaxLength, c.Length))
}

// Fail counts a failure. After inARow failures in a row, or at once after a cooldown,
// it begins a cooldown of All and reports whether All was in use before.
func (b *Breaker) Fail(inARow int, c Cooldown, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	failures := b.failures.Add(1)
	if _, known := b.entries[All]; failures < int64(inARow) && !known {
		return false
	}
	return b.start(All, c, now)
}

// FailConversation is Fail, but begins a cooldown only if the failures in a row come
// from more than one conversation. A request that no backend can process is
// repeated by its client and would otherwise look like an outage.
func (b *Breaker) FailConversation(conversation uint64, inARow int, c Cooldown, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	failures := b.failures.Add(1)
	if failures == 1 {
		b.conversations = 0
	}
	if b.conversations == 0 || conversation != b.conversation {
		b.conversations++
		b.conversation = conversation
	}
	if _, known := b.entries[All]; !known && (failures < int64(inARow) || b.conversations < 2) {
		return false
	}
	return b.start(All, c, now)
}

// ResetFailures ends the failures in a row. Cooldowns stay.
func (b *Breaker) ResetFailures() {
	if b.failures.Load() != 0 {
		b.failures.Store(0)
	}
}

// Failures returns how many failures in a row Fail has counted.
func (b *Breaker) Failures() int { return int(b.failures.Load()) }

// of returns the entries of All, a name and its group, nil for those without one.
// The caller holds the lock.
func (b *Breaker) of(name string) (found [3]*entry) {
	for i, n := range namesOf(name) {
		found[i] = b.entries[n]
	}
	return found
}

// namesOf returns the names whose cooldowns apply to a name: All, itself and its
// group. Without a group it is there twice.
func namesOf(name string) [3]string {
	group := name
	if i := strings.LastIndexByte(name, ':'); i > 0 && name[0] != '*' {
		group = "*" + name[i:]
	}
	return [3]string{All, name, group}
}

// makeRoom removes the name from a request whose cooldown ends first, if there are
// MaxRequested of them.
func (b *Breaker) makeRoom() {
	n, first := 0, ""
	for name, e := range b.entries {
		if !e.Requested {
			continue
		}
		if n++; first == "" || e.Until.Before(b.entries[first].Until) {
			first = name
		}
	}
	if n >= MaxRequested {
		delete(b.entries, first)
	}
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
