package quota

import (
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
)

// Meter counts against one quota. Its methods are safe for concurrent use and
// as cheap as looking at the clock.
type Meter struct {
	counter *ledger.Counter
	limit   int64
}

// May reports whether n more are allowed now. It counts nothing.
func (m *Meter) May(n int64) bool { return m.counter.Sum() <= m.limit-n }

// Take counts n and reports true, or, if that would pass the limit, counts
// nothing and reports false. This process alone never passes the limit; other
// processes on the same storage pass it by what they count within one write
// interval of the ledger.
func (m *Meter) Take(n int64) bool { return m.counter.Take(n, m.limit) }

// Add counts n that have been used already, beyond the limit if need be: the
// tokens of an answer are known only after it.
func (m *Meter) Add(n int64) { m.counter.Add(n) }

// Used returns how much of the current period's quota is spent. It can be more
// than the limit.
func (m *Meter) Used() int64 { return m.counter.Sum() }

// Left returns how much is left of it, and never less than 0.
func (m *Meter) Left() int64 { return max(0, m.limit-m.counter.Sum()) }

// Limit returns the quota of a whole period.
func (m *Meter) Limit() int64 { return m.limit }

// Renews returns when the count begins anew.
func (m *Meter) Renews() time.Time {
	_, until := m.counter.Window()
	return until
}

// Window returns the first moment of the current period and the first after it.
func (m *Meter) Window() (from, until time.Time) { return m.counter.Window() }

// Meters are several limits that hold together, such as one for each minute
// and one for each day.
type Meters []*Meter

// Take counts n with each meter if all of them allow it. Otherwise it returns
// one that does not: of those, the one that renews last, which says when to
// come again. Under concurrency a refused n can be counted with some of the
// meters, but no limit is passed.
func (ms Meters) Take(n int64) (spent *Meter) {
	if spent = ms.Spent(n); spent != nil {
		return spent
	}
	for _, m := range ms {
		if !m.Take(n) {
			return m
		}
	}
	return nil
}

// Spent returns, of the meters that do not allow n more, the one that renews
// last, and nil when all allow it.
func (ms Meters) Spent(n int64) (spent *Meter) {
	for _, m := range ms {
		if !m.May(n) && (spent == nil || m.Renews().After(spent.Renews())) {
			spent = m
		}
	}
	return spent
}
