package cooldown

import (
	"cmp"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// Lasting is the length above which a cooldown is stored, counted from its
	// decision. A shorter one is over before another process would read it.
	Lasting = time.Minute

	// Longest bounds the end of a cooldown from another process.
	Longest = 366 * 24 * time.Hour

	// longestSkew is how far ahead the clock of another process may be.
	longestSkew = 10 * time.Minute

	// liftCovers is how long an explicit lift also ends earlier cooldowns of other
	// processes that this one has not heard of yet.
	liftCovers = time.Hour

	// maxNames is how many names a Breaker may have before decisions from other
	// processes no longer add names.
	maxNames = 1024

	// maxReason is the maximum length of a reason from another process, in bytes.
	maxReason = 200
)

// Decision is the state of a name since a time: until when it is not used. If Until
// is not after DecidedAt, the decision lifts the name's cooldown.
type Decision struct {
	Name string

	// Everything reports whether the cooldowns of all names are lifted.
	Everything bool

	// Until is the end of the cooldown, and DecidedAt when that was decided. Both
	// are wall clock times, without a monotonic part.
	Until, DecidedAt time.Time

	// Covers is until when an earlier decision that this one replaces could
	// arrive from another process. This one must be stored until then.
	Covers time.Time

	Reason    string
	Guessed   bool          // whether Until is a guess
	Length    time.Duration // of the last guess; zero: there was none
	Requested bool          // whether the name comes from a request
}

// lifts reports whether the decision lifts a cooldown.
func (d Decision) lifts() bool { return d.Everything || !d.Until.After(d.DecidedAt) }

// ends returns until when the decision has an effect.
func (d Decision) ends() time.Time { return later(d.Until, d.Covers) }

// possible reports whether the decision can be from a process whose clock is about
// right. A decision far in the future would win over all others.
func (d Decision) possible(now time.Time) bool {
	return len(d.Name) <= MaxNameLength && !d.DecidedAt.IsZero() && !d.DecidedAt.After(now.Add(longestSkew)) &&
		!d.Until.After(now.Add(Longest)) && !d.Covers.After(now.Add(Longest))
}

// compare orders decisions about one name, of which the greatest one counts. It is
// a total order over all fields, so that all processes choose the same decision. Of
// two with the same time the one that ends earlier is greater, which is a lift if
// one of them is.
func (d Decision) compare(other Decision) int {
	return cmp.Or(
		d.DecidedAt.Compare(other.DecidedAt),
		other.Until.Compare(d.Until),
		cmp.Compare(d.Length, other.Length),
		compareBool(other.Guessed, d.Guessed),
		compareBool(d.Requested, other.Requested),
		strings.Compare(d.Reason, other.Reason),
	)
}

// compareBool orders false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// origin is when and where a decision was made.
type origin struct {
	decided   time.Time // wall clock
	covers    time.Time // see Decision.Covers
	elsewhere bool      // by another process, which stores it
}

// lasts reports whether a decision must be stored.
func (o origin) lasts(until time.Time) bool { return later(until, o.covers).Sub(o.decided) > Lasting }

// lift is the decision that a name is in use.
type lift struct{ origin }

func (l lift) decision(name string) Decision {
	return Decision{Name: name, Until: l.decided, DecidedAt: l.decided, Covers: l.covers}
}

func (e *entry) decision(name string) Decision {
	return Decision{
		Name: name, Until: e.Until.Round(0), DecidedAt: e.decided, Covers: e.covers,
		Reason: e.Reason, Guessed: e.guessed, Length: e.length, Requested: e.Requested,
	}
}

// known returns the latest decision about a name, if there is one.
func (b *Breaker) known(name string) (Decision, bool) {
	if e, ok := b.entries[name]; ok {
		return e.decision(name), true
	}
	if l, ok := b.lifts[name]; ok {
		return l.decision(name), true
	}
	return Decision{}, false
}

// decide returns the origin of a decision that this process makes now. It is later
// than every known decision about the name, even if the clock of another process is
// ahead.
func (b *Breaker) decide(name string, now time.Time) origin {
	at := now.Round(0)
	earlier, _ := b.known(name)
	for _, known := range [...]time.Time{earlier.DecidedAt, b.everything.decided} {
		if !at.After(known) {
			at = known.Add(1)
		}
	}
	return origin{decided: at, covers: earlier.ends()}
}

// enter replaces the state of a name by an entry.
func (b *Breaker) enter(name string, e *entry) {
	if b.entries == nil {
		b.entries = make(map[string]*entry)
	}
	delete(b.lifts, name)
	b.entries[name] = e
	b.active.Store(true)
}

// enterLift replaces the state of a name by a lift. One that covers nothing is the
// same as no state, and is not stored.
func (b *Breaker) enterLift(name string, l lift, now time.Time) {
	delete(b.entries, name)
	b.active.Store(len(b.entries) > 0)
	if !l.covers.After(now) {
		delete(b.lifts, name)
		return
	}
	if b.lifts == nil {
		b.lifts = make(map[string]lift)
	}
	if _, known := b.lifts[name]; !known && len(b.lifts) >= MaxRequested {
		b.forgetLift()
	}
	b.lifts[name] = l
}

// forgetLift removes the lift that has an effect for the shortest time.
func (b *Breaker) forgetLift() {
	first, found := "", false
	for name, l := range b.lifts {
		if !found || l.covers.Before(b.lifts[first].covers) {
			first, found = name, true
		}
	}
	delete(b.lifts, first)
}

// record notifies of a decision that this process has made, if it must be stored.
func (b *Breaker) record(lasting bool) {
	if !lasting {
		return
	}
	b.lasting.Store(true)
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// end ends a name's cooldown and reports whether there was one.
func (b *Breaker) end(name string, now time.Time) bool {
	if _, ok := b.entries[name]; !ok {
		return false
	}
	origin := b.decide(name, now)
	b.enterLift(strings.Clone(name), lift{origin}, now)
	b.record(origin.lasts(time.Time{}))
	return true
}

// Lift ends the cooldown of one name, in this process and, through Decisions, in all
// others. It returns how many there were here, 0 or 1.
func (b *Breaker) Lift(name string, now time.Time) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	lifted := 0
	if e, ok := b.entries[name]; ok && e.Until.After(now) {
		lifted = 1
	}
	if name == All {
		b.failures.Store(0)
	}
	origin := b.decide(name, now)
	origin.covers = later(origin.covers, origin.decided.Add(liftCovers))
	b.enterLift(strings.Clone(name), lift{origin}, now)
	b.record(true)
	return lifted
}

// LiftEverything is Lift for all names. It returns how many cooldowns there were
// here.
func (b *Breaker) LiftEverything(now time.Time) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures.Store(0)
	origin := b.decide(All, now)
	origin.covers = later(later(origin.covers, b.everything.covers), origin.decided.Add(liftCovers))
	lifted := 0
	for _, e := range b.entries {
		if e.Until.After(now) {
			lifted++
		}
		if !origin.decided.After(e.decided) {
			origin.decided = e.decided.Add(1)
		}
	}
	for _, l := range b.lifts {
		if !origin.decided.After(l.decided) {
			origin.decided = l.decided.Add(1)
		}
	}
	b.liftBefore(origin)
	b.record(true)
	return lifted
}

// liftBefore removes all decisions that are not later than a lift of everything. The
// lift is remembered as long as any of them could arrive again.
func (b *Breaker) liftBefore(o origin) {
	for name, e := range b.entries {
		if !e.decided.After(o.decided) {
			o.covers = later(o.covers, e.decision(name).ends())
			delete(b.entries, name)
		}
	}
	for name, l := range b.lifts {
		if !l.decided.After(o.decided) {
			o.covers = later(o.covers, l.covers)
			delete(b.lifts, name)
		}
	}
	b.active.Store(len(b.entries) > 0)
	b.everything = lift{o}
}

// Apply merges a decision from another process, and reports whether it changes
// anything. A decision is dropped if a later one is known, so decisions can be
// applied in any order and more than once. own makes this process store it from now
// on, since the process that made it has ended.
func (b *Breaker) Apply(d Decision, own bool, now time.Time) bool {
	if !d.possible(now) || !d.ends().After(now) {
		return false
	}
	d.Until, d.DecidedAt, d.Covers = d.Until.Round(0), d.DecidedAt.Round(0), d.Covers.Round(0)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(now)
	if own {
		b.lasting.Store(true)
	}
	switch {
	case d.Everything:
		return b.applyEverything(d, own)
	case !d.DecidedAt.After(b.everything.decided):
		b.everything.covers = later(b.everything.covers, d.ends())
		return false
	}
	known, ok := b.known(d.Name)
	if ok {
		switch order := d.compare(known); {
		case order < 0:
			b.cover(d.Name, d.ends())
			return false
		case order == 0:
			b.cover(d.Name, d.Covers)
			if own {
				b.own(d.Name)
			}
			return false
		}
	}
	return b.replace(d, origin{decided: d.DecidedAt, covers: later(d.Covers, known.ends()), elsewhere: !own}, now)
}

// replace replaces the state of a name by a decision from another process.
func (b *Breaker) replace(d Decision, o origin, now time.Time) bool {
	if d.lifts() {
		b.enterLift(d.Name, lift{o}, now)
		return true
	}
	if _, known := b.entries[d.Name]; !known {
		if len(b.entries) >= maxNames {
			return false
		}
		if d.Requested {
			b.makeRoom()
		}
	}
	b.enter(d.Name, &entry{
		Cooldown: Cooldown{Reason: shorten(d.Reason), Until: d.Until, Requested: d.Requested},
		origin:   o,
		guessed:  d.Guessed,
		length:   min(max(d.Length, 0), Longest),
		asked:    d.DecidedAt,
	})
	return true
}

// applyEverything merges a lift of everything.
func (b *Breaker) applyEverything(d Decision, own bool) bool {
	o := origin{decided: d.DecidedAt, covers: d.Covers, elsewhere: !own}
	switch d.DecidedAt.Compare(b.everything.decided) {
	case -1:
		b.everything.covers = later(b.everything.covers, d.Covers)
		return false
	case 0:
		b.everything.covers = later(b.everything.covers, d.Covers)
		b.everything.elsewhere = b.everything.elsewhere && !own
		return false
	}
	o.covers = later(o.covers, b.everything.covers)
	b.liftBefore(o)
	return true
}

// cover records that an earlier decision about a name could arrive until a time.
func (b *Breaker) cover(name string, until time.Time) {
	if e, ok := b.entries[name]; ok {
		e.covers = later(e.covers, until)
		return
	}
	l := b.lifts[name]
	l.covers = later(l.covers, until)
	b.lifts[name] = l
}

// own makes this process store the decision about a name.
func (b *Breaker) own(name string) {
	if e, ok := b.entries[name]; ok {
		e.elsewhere = false
		return
	}
	l := b.lifts[name]
	l.elsewhere = false
	b.lifts[name] = l
}

// Decisions returns the decisions that this process must store, in no order. While
// there are none it costs an atomic load.
func (b *Breaker) Decisions(now time.Time) []Decision {
	if !b.lasting.Load() {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(now)
	var list []Decision
	add := func(d Decision, o origin) {
		if !o.elsewhere && d.ends().After(now) && o.lasts(d.Until) {
			list = append(list, d)
		}
	}
	if e := b.everything; !e.decided.IsZero() {
		d := e.decision(All)
		d.Everything = true
		add(d, e.origin)
	}
	for name, l := range b.lifts {
		add(l.decision(name), l.origin)
	}
	for name, e := range b.entries {
		if len(name) <= MaxNameLength {
			add(e.decision(name), e.origin)
		}
	}
	b.lasting.Store(len(list) > 0)
	return list
}

// forget removes cooldowns that ended long ago, and lifts that cover nothing any
// more.
func (b *Breaker) forget(now time.Time) {
	for name, e := range b.entries {
		if now.Sub(later(e.Until, e.covers)) > forgetAfter && !e.trial.After(now) {
			delete(b.entries, name)
		}
	}
	b.active.Store(len(b.entries) > 0)
	for name, l := range b.lifts {
		if !l.covers.After(now) {
			delete(b.lifts, name)
		}
	}
	if !b.everything.covers.After(now) {
		b.everything = lift{}
	}
}

// shorten truncates a reason to maxReason bytes of valid UTF-8.
func shorten(reason string) string {
	if len(reason) <= maxReason {
		return reason
	}
	reason = reason[:maxReason]
	for len(reason) > 0 {
		if r, size := utf8.DecodeLastRuneInString(reason); r != utf8.RuneError || size != 1 {
			break
		}
		reason = reason[:len(reason)-1]
	}
	return reason
}
