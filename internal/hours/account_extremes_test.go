package hours

import (
	"math"
	"testing"
	"time"
)

// extremeMeter counts what somebody with access to the storage has written.
type extremeMeter struct{ used, limit int64 }

func (m extremeMeter) Add(int64)    {}
func (m extremeMeter) Used() int64  { return m.used }
func (m extremeMeter) Limit() int64 { return m.limit }

func (m extremeMeter) Window() (from, until time.Time) {
	return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
}

// The largest count of a ledger, in seconds, is more than a time.Duration has
// room for. It is used up all the same.
func TestExtremeCounts(t *testing.T) {
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	for _, used := range []int64{1e10, 1e12, 1e13 + 7, 1e15, math.MaxInt64} {
		a := NewAccount(extremeMeter{used, 2_700_000})
		if got := a.Used(now); got < a.Limit() {
			t.Errorf("used are %d s, which is taken for %v", used, got)
		}
		if got := NewAccount(extremeMeter{5, used}).Limit(); got < 100*365*24*time.Hour/2 {
			t.Errorf("a limit of %d s is taken for %v", used, got)
		}
	}
}
