package quota

import (
	"slices"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
)

// Meter counts against one quota. Its methods are safe for concurrent use and
// as cheap as looking at the clock.
type Meter struct {
	counter *ledger.Counter
	limit   int64 // 1 to maxAmount
	period  ledger.Period
}

// May reports whether n more are allowed now. It counts nothing.
func (m *Meter) May(n int64) bool { return n >= 0 && n <= m.limit && m.counter.Sum() <= m.limit-n }

// Take counts n and reports true, or, if that would pass the limit, counts
// nothing and reports false. This process alone never passes the limit; other
// processes on the same storage pass it by what they count within one write
// interval of the ledger.
func (m *Meter) Take(n int64) bool { return m.counter.Take(n, m.limit) }

// Add counts n that have been used already, beyond the limit if need be: the
// tokens of an answer are known only after it.
func (m *Meter) Add(n int64) { m.counter.Add(n) }

// Used returns how much of the current period's quota is used. It can be more
// than the limit.
func (m *Meter) Used() int64 { return m.counter.Sum() }

// Left returns how much is left of it, and never less than 0.
func (m *Meter) Left() int64 { return max(0, m.limit-m.counter.Sum()) }

// Limit returns the quota of a whole period.
func (m *Meter) Limit() int64 { return m.limit }

// Period returns the period of the quota.
func (m *Meter) Period() ledger.Period { return m.period }

// Count identifies what the meter counts: it is the same for those that count
// together, such as the meters of two keys of one account.
func (m *Meter) Count() any { return m.counter }

// Renews returns when the count begins anew.
func (m *Meter) Renews() time.Time {
	_, until := m.counter.Window()
	return until
}

// Window returns the first moment of the current period and the first after it.
func (m *Meter) Window() (from, until time.Time) { return m.counter.Window() }

// Meters are several limits that hold together, such as one for each minute
// and one for each day. Build them with With.
type Meters []*Meter

// With returns the meters and one more, in the order in which Take counts: the
// shortest period first. So what is refused by one that renews soon is never
// counted by one that does not.
func (ms Meters) With(m *Meter) Meters {
	longer := func(other *Meter) bool { return other.period.LongerThan(m.period) }
	at := slices.IndexFunc(ms, longer)
	if at < 0 {
		at = len(ms)
	}
	return slices.Insert(ms, at, m)
}

// Take counts n with each meter if all of them allow it. Otherwise it returns
// one that does not: of those, the one that renews last, which says when to
// come again. Under concurrency a refused n can be counted by meters that renew
// no later than the one that refuses it, but no limit is passed.
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

// Exhausted returns, of the meters that do not allow n more, the one that
// renews last, and nil when all allow it.
func (ms Meters) Exhausted(n int64) (exhausted *Meter) {
	for _, m := range ms {
		if !m.May(n) && (exhausted == nil || m.Renews().After(exhausted.Renews())) {
			exhausted = m
		}
	}
	return exhausted
}
