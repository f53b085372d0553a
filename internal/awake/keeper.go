package awake

import (
	"maps"
	"slices"
	"sync"
)

// Condition is whether an instance is awake, as far as it is known.
//
//	Asleep ── a request ──▶ Waking ── it answers ──▶ Awake ── no request for a while ──▶ Asleep
type Condition int

// The conditions.
const (
	Unknown Condition = iota // it has no keeper, or no known time after which it sleeps
	Asleep
	Waking // a request that wakes it up was sent and is not answered
	Awake
)

// String returns the name of the condition in lower case.
func (c Condition) String() string {
	return [...]string{"unknown", "asleep", "waking", "awake"}[c]
}

// Keeper keeps an upstream awake. The app `keepalive` has one for each target. Its
// methods are called while a request is served, so they must not block.
type Keeper interface {
	Condition() Condition

	// Wake wakes the instance up in the background, unless it is awake or must
	// not be woken up. If it is waking up, done is closed when that has ended,
	// successfully or not; otherwise done is nil.
	Wake() (done <-chan struct{})

	// Spare reports whether the instance should sleep now, so that it should get
	// no requests except those of users.
	Spare() bool
}

// Keep registers k as the keeper of upstream until release is called. If there are
// several, as during a reload, the one registered last is asked. release may be
// called more than once.
func (t *Tracker) Keep(upstream string, k Keeper) (release func()) {
	t.change(upstream, func(all []Keeper) []Keeper { return append(slices.Clip(all), k) })
	return sync.OnceFunc(func() {
		t.change(upstream, func(all []Keeper) []Keeper {
			i := slices.Index(all, k)
			return slices.Concat(all[:i], all[i+1:])
		})
	})
}

// change replaces the map of keepers by a copy in which those of upstream are
// changed by how, which must not modify its argument.
func (t *Tracker) change(upstream string, how func([]Keeper) []Keeper) {
	t.changing.Lock()
	defer t.changing.Unlock()
	next := make(map[string][]Keeper)
	if all := t.keepers.Load(); all != nil {
		next = maps.Clone(*all)
	}
	if next[upstream] = how(next[upstream]); len(next[upstream]) == 0 {
		delete(next, upstream)
	}
	t.keepers.Store(&next)
}

// State returns the condition of upstream. It takes no lock and allocates nothing.
func (t *Tracker) State(upstream string) Condition {
	if k := t.keeperOf(upstream); k != nil {
		return k.Condition()
	}
	return Unknown
}

// Sleeps reports whether a request to upstream would have to wait until the
// instance has woken up.
func (t *Tracker) Sleeps(upstream string) bool {
	c := t.State(upstream)
	return c == Asleep || c == Waking
}

// Wake wakes upstream up in the background if it sleeps and has a keeper. It is for
// the first sign of a user, and for a request that had to be sent elsewhere. It
// may be called for every request. See [Keeper.Wake] for done.
func (t *Tracker) Wake(upstream string) (done <-chan struct{}) {
	if k := t.keeperOf(upstream); k != nil {
		return k.Wake()
	}
	return nil
}

// Spare reports whether upstream should get no requests except those of users,
// because the hours of its account are saved for another time.
func (t *Tracker) Spare(upstream string) bool {
	k := t.keeperOf(upstream)
	return k != nil && k.Spare()
}

func (t *Tracker) keeperOf(upstream string) Keeper {
	all := t.keepers.Load()
	if all == nil {
		return nil
	}
	if of := (*all)[upstream]; len(of) > 0 {
		return of[len(of)-1]
	}
	return nil
}
