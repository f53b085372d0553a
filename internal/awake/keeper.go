package awake

import (
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
	// not allowed, and reports whether it is waking up.
	Wake() bool
}

var keepers = struct {
	sync.RWMutex
	of map[string][]Keeper
}{of: make(map[string][]Keeper)}

// Keep makes k the one to ask about upstream until release is called. Of
// several, as there are during a reload, the last one is asked.
func Keep(upstream string, k Keeper) (release func()) {
	keepers.Lock()
	defer keepers.Unlock()
	keepers.of[upstream] = append(keepers.of[upstream], k)
	return sync.OnceFunc(func() {
		keepers.Lock()
		defer keepers.Unlock()
		left := slices.Clone(keepers.of[upstream])
		if i := slices.Index(left, k); i >= 0 {
			left = slices.Delete(left, i, i+1)
		}
		if keepers.of[upstream] = left; len(left) == 0 {
			delete(keepers.of, upstream)
		}
	})
}

// State returns what is known of upstream. It allocates nothing.
func State(upstream string) Condition {
	if k := keeperOf(upstream); k != nil {
		return k.Condition()
	}
	return Unknown
}

// Wake wakes upstream up in the background if it sleeps and somebody looks
// after it. It is for the first sign of a user, and for a request that had to
// be sent elsewhere; call it as often as you like. It reports whether the
// instance is waking up.
func Wake(upstream string) bool {
	k := keeperOf(upstream)
	return k != nil && k.Wake()
}

func keeperOf(upstream string) Keeper {
	keepers.RLock()
	defer keepers.RUnlock()
	if all := keepers.of[upstream]; len(all) > 0 {
		return all[len(all)-1]
	}
	return nil
}
