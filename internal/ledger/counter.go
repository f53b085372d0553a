package ledger

import (
	"sync"
	"sync/atomic"
	"time"
)

// maxCount is where a count stops: no quota is larger, and sums of two stay far
// from an overflow.
const maxCount = int64(1e15)

// shortCells is how many past seconds or minutes a counter remembers, for a
// clock that is put back.
const shortCells = 64

// Counter counts one thing in one kind of period. All its methods are safe for
// concurrent use and, except at the beginning of a period, take no lock.
type Counter struct {
	ledger *Ledger
	key    string
	period Period
	zone   *time.Location

	current atomic.Pointer[cell]

	mu    sync.Mutex
	cells map[instant]*cell
	order []instant // of short periods: oldest first
}

// cell is the count of one period.
type cell struct {
	from, until instant
	own         atomic.Int64 // counted by this process, 0 to maxCount
	others      atomic.Int64 // counted by all others, as far as is known, 0 to maxCount

	// compacted is the part of own that others have already taken over into the
	// common file. Only the pass that holds Ledger.busy touches it.
	compacted int64
}

// Add counts n in the current period. A count never goes backwards: n below
// zero is ignored. It stops at 10^15.
func (c *Counter) Add(n int64) {
	if n <= 0 {
		return
	}
	cell := c.now()
	for {
		own := cell.own.Load()
		if cell.own.CompareAndSwap(own, saturated(own, n)) {
			return
		}
	}
}

// Sum returns the count of the current period: that of this process, and that
// of all others as last read from storage. It is 0 to 10^15.
func (c *Counter) Sum() int64 { return c.now().sum() }

// Take counts n if the sum stays within limit and reports whether it did.
// Checking and counting are one step, so this process alone never passes the
// limit.
//
// With other processes the limit may be passed by what they count within an interval; a
// quota that must hold exactly is the provider's to enforce.
func (c *Counter) Take(n, limit int64) bool {
	limit = min(limit, maxCount)
	if n < 0 || n > limit {
		return false
	}
	cell := c.now()
	for {
		own := cell.own.Load()
		if own+cell.others.Load() > limit-n {
			return false
		}
		if cell.own.CompareAndSwap(own, own+n) {
			return true
		}
	}
}

// Window returns the current period: its first moment and the first after it,
// when the count begins anew.
func (c *Counter) Window() (from, until time.Time) {
	cell := c.now()
	return cell.from.time().In(c.zone), cell.until.time().In(c.zone)
}

func (c *cell) sum() int64 { return saturated(c.own.Load(), c.others.Load()) }

// saturated returns the sum of two counts, at most maxCount.
func saturated(a, b int64) int64 { return min(a, maxCount) + min(b, maxCount-min(a, maxCount)) }

// now returns the cell of the current period. The clock on the wall decides,
// so a period also ends while the process sleeps.
func (c *Counter) now() *cell {
	now := c.ledger.now()
	if cell := c.current.Load(); cell != nil && cell.from <= now && now < cell.until {
		return cell
	}
	return c.turn(now)
}

// turn makes the cell of another period the current one. That can be one that
// has been current before, when the clock was put back.
func (c *Counter) turn(now instant) *cell {
	from, until := c.period.Bounds(now.time().In(c.zone))
	start := instant(from.Unix())
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.cells[start]
	if !ok {
		at = &cell{from: start, until: instant(until.Unix())}
		c.cells[start] = at
		if c.period.short() {
			c.forget(start)
		} else {
			at.others.Store(c.ledger.othersOf(c.key, start))
		}
	}
	c.current.Store(at)
	return at
}

// forget drops the oldest of many short periods.
func (c *Counter) forget(newest instant) {
	c.order = append(c.order, newest)
	if len(c.order) > shortCells {
		delete(c.cells, c.order[0])
		c.order = append(c.order[:0], c.order[1:]...)
	}
}
