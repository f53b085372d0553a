package llmgateway

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
)

// longestLearned is how far ahead the end of a day or month is believed that a
// header states.
const longestLearned = 31 * 24 * time.Hour

// learnedLimits are the limits of a key that the headers of responses have stated,
// by model, "" for all of them. Of clients' names only so many are kept as of
// quotas per model.
//
// They belong to the process (history), so that a reload does not forget them, and are
// not saved: after a restart the next response states them again. mu protects shown and
// the replacement of blocked. attempt records, and candidate looks at blocked before
// each attempt.
type learnedLimits struct {
	mu    sync.Mutex
	shown map[string][]learnedLimit

	// blocked says until when nothing is left, copied on write, so that looking
	// costs no lock. Unset while something is left of all limits.
	blocked atomic.Pointer[map[string]time.Time]
}

// learnedLimit is a limit as a header has stated it last.
type learnedLimit struct {
	refusal.Limit
	at time.Time
}

// record keeps what a response of a model has stated.
//
// The time that a header states is believed up to maxCooldown, and for limits of a day
// or month up to longestLearned. A provider whose clock or unit is wrong can thus not
// disable a key for years.
func (l *learnedLimits) record(model string, limits []refusal.Limit, maxCooldown time.Duration, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh := make(map[string][]learnedLimit, 2)
	for _, limit := range limits {
		most := maxCooldown
		if limit.IsLong() {
			most = longestLearned
		}
		if limit.Until.Sub(now) > most {
			limit.Until = now.Add(most)
		}
		name := model
		if limit.AllModels {
			name = ""
		}
		fresh[name] = append(fresh[name], learnedLimit{limit, now})
	}
	for name, limits := range fresh {
		if l.shown[name] == nil && len(l.shown) > mostModels && !l.forgetOldest(now) {
			continue
		}
		if l.shown == nil {
			l.shown = make(map[string][]learnedLimit)
		}
		slices.SortFunc(limits, func(a, b learnedLimit) int { return cmp.Compare(a.Name, b.Name) })
		l.shown[name] = limits
		l.block(name, limits, now)
	}
}

// forgetOldest drops the limits of the model whose limits were stated longest ago, of those of
// which something is left, and reports whether there was one.
func (l *learnedLimits) forgetOldest(now time.Time) bool {
	oldest, found := "", false
	for name, limits := range l.shown {
		if name == "" || !l.until(name, now).IsZero() {
			continue
		}
		if !found || limits[0].at.Before(l.shown[oldest][0].at) {
			oldest, found = name, true
		}
	}
	if found {
		delete(l.shown, oldest)
	}
	return found
}

// block notes until when a model has nothing left, if that has changed.
//
// Most responses change nothing here, and then nothing is copied.
func (l *learnedLimits) block(name string, limits []learnedLimit, now time.Time) {
	var until time.Time
	for _, limit := range limits {
		if limit.Exhausted(now) && limit.Until.After(until) {
			until = limit.Until
		}
	}
	var old map[string]time.Time
	if p := l.blocked.Load(); p != nil {
		old = *p
	}
	if old[name].Equal(until) {
		return
	}
	blocked := maps.Clone(old)
	if blocked == nil {
		blocked = make(map[string]time.Time)
	}
	blocked[name] = until
	maps.DeleteFunc(blocked, func(_ string, until time.Time) bool { return !until.After(now) })
	if len(blocked) == 0 {
		l.blocked.Store(nil)
		return
	}
	l.blocked.Store(&blocked)
}

// until returns when there is more for a model again, zero if something is left.
func (l *learnedLimits) until(model string, now time.Time) time.Time {
	blocked := l.blocked.Load()
	if blocked == nil {
		return time.Time{}
	}
	until := (*blocked)[model]
	if all := (*blocked)[""]; all.After(until) {
		until = all
	}
	if !until.After(now) {
		return time.Time{}
	}
	return until
}

// lift lets a model be asked again, "" for all, and returns how many limits that
// was for. What has been stated is still shown.
func (l *learnedLimits) lift(model string, now time.Time) (lifted int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	blocked := l.blocked.Load()
	if blocked == nil {
		return 0
	}
	left := maps.Clone(*blocked)
	maps.DeleteFunc(left, func(name string, until time.Time) bool {
		if model != "" && name != model {
			return false
		}
		if until.After(now) {
			lifted++
		}
		return true
	})
	l.blocked.Store(&left)
	return lifted
}

// learnedState is a learned limit as the admin API shows it.
type learnedState struct {
	Model     string    `json:"model,omitempty"` // none: of all models
	Name      string    `json:"name"`            // as the header has it
	Limit     int64     `json:"limit,omitempty"`
	Remaining int64     `json:"remaining"`
	Renews    time.Time `json:"renews,omitzero"`
	At        time.Time `json:"at"`
}

// states describes the limits, those of all models first.
func (l *learnedLimits) states() (states []learnedState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, model := range slices.Sorted(maps.Keys(l.shown)) {
		for _, limit := range l.shown[model] {
			states = append(states, learnedState{model, limit.Name, limit.Amount, limit.Remaining, limit.Until, limit.at})
		}
	}
	return states
}
