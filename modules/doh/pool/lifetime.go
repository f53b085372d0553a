package pool

import (
	"context"
	"time"
)

// lifetime is the context of an exchange's attempts. It is done when the channel is
// closed, which Ask waits for anyway. A context from package context would cost
// several more allocations per query.
type lifetime chan struct{}

// Deadline implements context.Context. There is none, since the exchange has its
// own timer.
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

// Value implements context.Context. There are no values.
func (lifetime) Value(any) any { return nil }

// Interface guards
var _ context.Context = lifetime(nil)
