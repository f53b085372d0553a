package ledger

import (
	"fmt"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
)

// A process is suspended in the middle of a pass, before each operation on the
// storage in turn, and goes on after another process has compacted it and
// forgotten that. No count is lost and none is counted again. Only between the
// check and the writing of the own file nothing can help, since storages cannot
// compare and swap.
func TestSuspendedInPass(t *testing.T) {
	for _, silent := range []bool{false, true} {
		for suspendAt, done := 1, false; !done; suspendAt++ {
			t.Run(fmt.Sprintf("silent %v, operation %d", silent, suspendAt), func(t *testing.T) {
				done = suspendInPass(t, suspendAt, silent)
			})
		}
	}
}

// suspendInPass suspends a process before an operation of a pass and reports
// whether the pass has fewer. With silent it has been compacted before that pass.
func suspendInPass(t *testing.T, suspendAt int, silent bool) (done bool) {
	storage := newMemory()
	clock := clockwork.NewFakeClockAt(start)
	suspended, other := newTestProcess(t, storage, clock), newTestProcess(t, storage, clock)
	others := func(passes int) {
		for range passes {
			other.pass()
			clock.Advance(time.Second)
		}
	}
	other.requests("x", Month).Add(5)
	others(3600) // the clock has gone evenly for an hour
	suspended.requests("x", Month).Add(3)
	suspended.pass()
	if silent {
		others(60)
	}

	suspended.requests("x", Month).Add(40)
	operations := 0
	storage.before = func(op, key string) error {
		operations++
		if operations == suspendAt && (op != "store" || key == keyOf(common)) {
			storage.before = nil // the other's operations are not counted
			others(2 * 3600)
		}
		return nil
	}
	suspended.pass()
	done = operations < suspendAt
	storage.before = nil

	for range 3 {
		suspended.pass()
		other.pass()
	}
	for name, p := range map[string]*process{"suspended": suspended, "other": other} {
		total := int64(0)
		for _, n := range p.everything("x") {
			total += n
		}
		want(t, "counted, by the "+name, total, 48)
	}
	return done
}
