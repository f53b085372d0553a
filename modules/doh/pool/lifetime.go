package pool

import (
	"context"
	"time"
)

// lifetime is the context of an exchange's attempts: it ends when the channel is
// closed, for which Ask waits anyway. One of package context would cost several
// allocations more for each query.
type lifetime chan struct{}

// Deadline implements context.Context: the exchange has a timer of its own.
func (lifetime) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done implements context.Context.
func (l lifetime) Done() <-chan struct{} { return l }

// Err implements context.Context.
func (l lifetime) Err() error {
	select {
	case <-l:
		return context.Canceled
	default:
		return nil
	}
}

// Value implements context.Context: there are none.
func (lifetime) Value(any) any { return nil }

// Interface guards
var _ context.Context = lifetime(nil)
