package safestore

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/zap"
)

// One that hangs keeps all others out until it ends, and nobody waits for it.
func TestGuard(t *testing.T) {
	g := NewGuard()
	failed := errors.New("failed")
	if err := g.Do(t.Context(), time.Minute, func(context.Context) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("got %v, want the function's error", err)
	}
	release, ended := make(chan struct{}), make(chan struct{})
	impatient, giveUp := context.WithCancel(t.Context())
	err := g.Do(impatient, time.Minute, func(context.Context) error {
		giveUp()
		<-release
		close(ended)
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was given up", err)
	}
	if g.Hangs() {
		t.Error("it hangs, but the storage has not been reported as unavailable")
	}
	g.Report(zap.NewNop(), err, "unavailable", "recovered")
	if !g.Hangs() {
		t.Error("it does not hang")
	}
	never := func(context.Context) error { t.Error("it is called beside another one"); return nil }
	if err := g.Do(impatient, time.Minute, never); !errors.Is(err, errBusy) {
		t.Errorf("got %v, want %v", err, errBusy)
	}
	close(release)
	if err := g.Do(t.Context(), time.Minute, func(context.Context) error { <-ended; return nil }); err != nil {
		t.Errorf("after it has ended: %v", err)
	}
	if err := g.Do(t.Context(), time.Minute, func(context.Context) error { panic("driver") }); err == nil {
		t.Error("a panic is no error")
	}
	if err := g.Do(t.Context(), time.Minute, func(context.Context) error { return nil }); err != nil {
		t.Errorf("after a panic: %v", err)
	}
}
