package cooldown

import (
	"slices"
	"strings"
	"time"
)

// State is a cooldown for the admin API and the status page.
type State struct {
	Name    string
	Until   time.Time
	Guessed bool // whether Until is a guess and not stated by the provider or the user
	Reason  string
}

// List returns the cooldowns that have not ended, ordered by name.
func (b *Breaker) List(now time.Time) []State {
	if !b.active.Load() {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(now)
	var list []State
	for name, e := range b.entries {
		if e.Until.After(now) {
			list = append(list, State{Name: name, Until: e.Until, Guessed: e.guessed, Reason: e.Reason})
		}
	}
	slices.SortFunc(list, func(a, b State) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Any reports whether any name is in cooldown.
func (b *Breaker) Any(now time.Time) bool {
	if !b.active.Load() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.entries {
		if e.Until.After(now) {
			return true
		}
	}
	return false
}
