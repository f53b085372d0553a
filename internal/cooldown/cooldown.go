// Package cooldown is a circuit breaker: it records what must not be used for a
// while, such as an API key for one model, a failing channel or DNS upstream,
// and lets one request find out when that is over.
//
//	           Start                the time comes
//	in use ────────────▶ cooldown ────────────────▶ half-open ◀─┐
//	   ▲                    ▲                           │       │
//	   │                    │ Start: twice as long      │ Acquire
//	   │                    │                           ▼       │ Release
//	   └────────────────────┴────────────────────────  trial ───┘
//	          Succeed
//
// A Breaker knows several names, for example the models of an API key, and All
// for the whole of it. A name such as `x:free` also belongs to the group
// `*:free`, which can be in cooldown as a whole. Whatever is not known is in
// use. The time is passed in with each call.
//
// What is known of a name is its latest decision (Decision): a cooldown, or that
// one was lifted. Processes can exchange decisions in any order: the latest
// counts.
package cooldown

import (
	"cmp"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// All is the name of the whole: its cooldown is that of every other name too.
const All = ""

const (
	// MaxRequested is how many names that come from requests a Breaker keeps.
	MaxRequested = 64
	// MaxNameLength is how long such a name may be, in bytes. What is longer is
	// never in cooldown.
	MaxNameLength = 256

	// trialTimeout is the default of Cooldown.TrialTimeout.
	trialTimeout = 5 * time.Minute

	// forgetAfter is how long after its end a cooldown is remembered, so that
	// the next one can be longer.
	forgetAfter = 30 * time.Minute
)

// Cooldown says how long a name must not be used, and why.
type Cooldown struct {
	// Reason is for people.
	Reason string

	// Until is when it ends, as somebody who knows has said. Zero: it is a
	// guess.
	Until time.Time

	// Length is how long a guessed one lasts. After each failed trial it is
	// twice the last length, up to MaxLength.
	Length, MaxLength time.Duration

	// Fixed says that a guess leaves the end of a cooldown under way as it is.
	// It is for what is used in spite of its cooldown when there is nothing
	// better: otherwise each failure would put the trial off.
	Fixed bool

	// TrialTimeout is how long the trial may last. After it the next one
	// begins. Default: 5 minutes.
	TrialTimeout time.Duration

	// Requested says that the name comes from a request and not from the
	// configuration. Of such names only MaxRequested are kept.
	Requested bool
}

// Breaker holds the cooldowns of one thing. It is safe for concurrent use, and
// costs an atomic load as long as there are none.
type Breaker struct {
	active   atomic.Bool  // whether there are entries
	lasting  atomic.Bool  // whether there may be decisions that are worth keeping
	failures atomic.Int64 // in a row
	changed  chan<- struct{}

	mu         sync.Mutex
	entries    map[string]*entry
	lifts      map[string]lift // of names without an entry
	everything lift

	conversation  uint64 // of the last failure in a row
	conversations int    // changes of it
}

// entry is a name's cooldown: one under way, or one that has ended and that
// nobody has succeeded after.
type entry struct {
	Cooldown
	origin
	length  time.Duration // of the last guess
	guessed bool          // that Until is
	trial   time.Time     // when the trial under way times out; zero: there is none
	asked   time.Time     // when it began, or was last tried before its end
}

// New returns a Breaker without cooldowns.
func New() *Breaker { return new(Breaker) }

// NewNotifying returns a Breaker that sends to changed, without blocking, when a
// decision that is worth keeping was made here.
func NewNotifying(changed chan<- struct{}) *Breaker { return &Breaker{changed: changed} }

// Until returns when the name may be used again, and the zero time if it may be
// used now. With the zero time for now it also returns a time that has passed,
// as long as nobody has succeeded since.
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

// Block is what keeps a name from being used.
type Block struct {
	// Until is when it ends. Zero: the name may be used.
	Until time.Time
	// Guessed says that nobody has stated the time, or that a trial is under way.
	Guessed bool
	// Reason is that of the cooldown that ends last.
	Reason string
}

// Block returns what keeps the name from being used now.
func (b *Breaker) Block(name string, now time.Time) Block {
	if !b.active.Load() {
		return Block{Guessed: true}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return blockOf(b.of(name), now)
}

// BlockOfName is Block without the cooldown of the whole.
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
// for want of anything better: it is at least so long ago that its cooldown began
// or that it was tried this way.
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

// Acquire reports whether the name may be used now. When its cooldown has just
// ended, the caller makes the trial, and nobody else may use the name before
// Succeed, Start or Release.
func (b *Breaker) Acquire(name string, now time.Time) bool {
	if !b.active.Load() {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return acquire(b.of(name), now)
}

// AcquireName is Acquire without the cooldown of the whole: its trial is not
// waited for, and not made.
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

// Release ends a trial without an outcome: the next caller makes another.
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

// Succeed ends the cooldowns of the name and of the whole, and the failures in
// a row. It reports whether there was a cooldown.
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

// Start begins a cooldown and reports whether the name was in use before. A
// guess never shortens one that is under way.
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
		b.enter(strings.Clone(name), e) // the request it is part of is not kept
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
		// Not after a trial: the first one, or a request that was under way when
		// the cooldown began.
		return max(e.length, c.Length)
	}
	return min(max(2*e.length, c.Length), max(c.MaxLength, c.Length))
}

// Fail counts a failure. After so many in a row, or at once after a cooldown, it
// begins one for All, and reports whether that was in use before.
func (b *Breaker) Fail(inARow int, c Cooldown, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	failures := b.failures.Add(1)
	if _, known := b.entries[All]; failures < int64(inARow) && !known {
		return false
	}
	return b.start(All, c, now)
}

// FailConversation counts a failure as Fail does, but begins a cooldown only when
// the failures in a row come from more than one conversation: a request that no
// backend can process is repeated, by the programs that sent it.
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

// of returns the entries that decide about a name, nil for none.
func (b *Breaker) of(name string) (found [3]*entry) {
	for i, n := range namesOf(name) {
		found[i] = b.entries[n]
	}
	return found
}

// namesOf returns the names whose cooldowns decide about a name. What is not
// there is the name itself again.
func namesOf(name string) [3]string {
	group := name
	if i := strings.LastIndexByte(name, ':'); i > 0 && name[0] != '*' {
		group = "*" + name[i:]
	}
	return [3]string{All, name, group}
}

// makeRoom drops, of many names from requests, the one whose cooldown ends
// first.
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

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
