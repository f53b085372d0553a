package quota

import (
	"slices"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
)

// Meter counts against one quota. Its methods are safe for concurrent use, take no
// lock, and cost about as much as reading the clock.
type Meter struct {
	counter *ledger.Counter
	limit   int64 // 1 to maxAmount
	period  ledger.Period
}

// May reports whether n more are allowed now, without counting them.
func (m *Meter) May(n int64) bool { return n >= 0 && n <= m.limit && m.counter.Sum() <= m.limit-n }

// Take counts n and returns true. If that would exceed the limit, it counts nothing
// and returns false. One process never exceeds the limit; several on the same
// storage exceed it by at most what they count within one write interval of the
// ledger.
func (m *Meter) Take(n int64) bool { return m.counter.Take(n, m.limit) }

// Add counts n that are used already, even beyond the limit: the tokens of a
// response are known only at its end.
func (m *Meter) Add(n int64) { m.counter.Add(n) }

// Used returns how much of the current period's quota is used. It can be more
// than the limit.
func (m *Meter) Used() int64 { return m.counter.Sum() }

// Left returns how much of it remains, at least 0.
func (m *Meter) Left() int64 { return max(0, m.limit-m.counter.Sum()) }

// Limit returns the quota of a whole period.
func (m *Meter) Limit() int64 { return m.limit }

// Period returns the period of the quota.
func (m *Meter) Period() ledger.Period { return m.period }

// Count identifies the count. It is the same value for meters that share one, such
// as those of two keys of an account.
func (m *Meter) Count() any { return m.counter }

// Renews returns when the next period begins.
func (m *Meter) Renews() time.Time {
	_, until := m.counter.Window()
	return until
}

// Window returns the first moment of the current period and the first after it.
func (m *Meter) Window() (from, until time.Time) { return m.counter.Window() }

// Meters are limits that all apply, such as one per minute and one per day, ordered
// by period. They are built with With.
type Meters []*Meter

// With returns the meters and one more, with the shortest period first. Take counts
// in this order, so that nothing which a limit of a minute refuses is counted
// against one of a day.
func (ms Meters) With(m *Meter) Meters {
	longer := func(other *Meter) bool { return other.period.LongerThan(m.period) }
	at := slices.IndexFunc(ms, longer)
	if at < 0 {
		at = len(ms)
	}
	return slices.Insert(ms, at, m)
}

// Take counts n with each meter, and returns nil. If some of them do not allow it, it
// returns the one of these that renews last, whose Renews is when to try again.
// Under concurrency a refused n can be counted by meters with a shorter period than
// the one that refuses it, but no limit is exceeded.
func (ms Meters) Take(n int64) (exhausted *Meter) {
	if exhausted = ms.Exhausted(n); exhausted != nil {
		return exhausted
	}
	for _, m := range ms {
		if !m.Take(n) {
			return m
		}
	}
	return nil
}

// Exhausted returns the one of the meters that do not allow n more which renews
// last, and nil if all allow it.
func (ms Meters) Exhausted(n int64) (exhausted *Meter) {
	for _, m := range ms {
		if !m.May(n) && (exhausted == nil || m.Renews().After(exhausted.Renews())) {
			exhausted = m
		}
	}
	return exhausted
}
