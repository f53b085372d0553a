package llmgateway

import (
	"context"
	"io"
	"time"

	"github.com/jonboulle/clockwork"
)

// deadline ends an attempt whose response does not come in time: a stream's first
// output, or the end of a response that is no stream. It cancels the attempt's
// context, which would look like a client that left; cause tells the two apart.
type deadline struct {
	ctx    context.Context //nolint:containedctx // it says why the body broke off
	cancel context.CancelCauseFunc
	timer  clockwork.Timer
	whole  bool // the whole response must come in time
}

// noDeadline is that of an attempt that may take as long as it likes.
var noDeadline = &deadline{}

// newDeadline returns the context of an attempt, which is canceled after the
// timeout.
func newDeadline(ctx context.Context, clock clockwork.Clock, timeout time.Duration) (context.Context, *deadline) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, &deadline{ctx: ctx, cancel: cancel, timer: clock.AfterFunc(timeout, func() { cancel(errSlow) })}
}

// set reports whether there is a deadline.
func (d *deadline) set() bool { return d != noDeadline }

// meet says that the first output has come. What is no stream must still end in
// time.
func (d *deadline) meet() {
	if d.set() && !d.whole {
		d.timer.Stop()
	}
}

// end is for the end of the attempt.
func (d *deadline) end() {
	if d.set() {
		d.timer.Stop()
		d.cancel(nil)
	}
}

// cause maps our own cancellation back to errSlow.
func (d *deadline) cause(err error) error {
	if d.set() && err != nil && err != io.EOF && context.Cause(d.ctx) == errSlow { //nolint:errorlint // bodies return it bare
		return errSlow
	}
	return err
}
