package awake

import (
	"maps"
	"slices"
	"sync"
)

// Condition is what is known of an instance.
type Condition int

// The conditions.
const (
	Unknown Condition = iota // nobody looks after it, or when it sleeps is not known
	Asleep
	Waking // a request that wakes it up is under way
	Awake
)

// String returns a word for the condition.
func (c Condition) String() string {
	return [...]string{"unknown", "asleep", "waking", "awake"}[c]
}

// Keeper looks after an upstream. The app `keepalive` has one for each target.
// Its methods are called while a request is served and return at once.
type Keeper interface {
	Condition() Condition

	// Wake wakes the instance up in the background, unless that is needless or
	// not allowed. While it is waking up, the channel is closed at the end of
	// that, however it ends; else it is nil.
	Wake() (done <-chan struct{})

	// Spare reports whether the instance is to sleep now, so that it is to be
	// spared all requests but those of users.
	Spare() bool
}

// Keep makes k the one to ask about upstream until release is called. Of
// several, as there are during a reload, the last one is asked.
func (t *Tracker) Keep(upstream string, k Keeper) (release func()) {
	t.change(upstream, func(all []Keeper) []Keeper { return append(slices.Clip(all), k) })
	return sync.OnceFunc(func() {
		t.change(upstream, func(all []Keeper) []Keeper {
			i := slices.Index(all, k)
			return slices.Concat(all[:i], all[i+1:])
		})
	})
}

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

// State returns what is known of upstream. It takes no lock and allocates
// nothing.
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

// Wake wakes upstream up in the background if it sleeps and somebody looks
// after it. It is for the first sign of a user, and for a request that had to
// be sent elsewhere; call it as often as you like. While the instance is waking
// up, it returns a channel that is closed at the end of that, else nil.
func (t *Tracker) Wake(upstream string) (done <-chan struct{}) {
	if k := t.keeperOf(upstream); k != nil {
		return k.Wake()
	}
	return nil
}

// Spare reports whether upstream is to be spared all requests but those of
// users: the hours of its account are saved for another time.
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
