package safestore

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestWithin(t *testing.T) {
	ctx := t.Context()
	if got, err := Within(ctx, time.Minute, func(context.Context) (int, error) { return 1, nil }); got != 1 || err != nil {
		t.Errorf("got %d, %v, want 1", got, err)
	}
	failure := errors.New("failure")
	if _, err := Within(ctx, time.Minute, func(context.Context) (int, error) { return 0, failure }); !errors.Is(err, failure) {
		t.Errorf("got %v, want %v", err, failure)
	}
	if _, err := Within(ctx, time.Minute, func(context.Context) (int, error) { panic("no disk") }); err == nil || err.Error() != "panic: no disk" {
		t.Errorf("got %v, want the panic", err)
	}
	release := make(chan struct{})
	ended := make(chan struct{})
	_, err := Within(ctx, time.Millisecond, func(context.Context) (int, error) {
		defer close(ended)
		<-release // it ignores its context
		return 1, nil
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v from a storage that hangs, want a deadline", err)
	}
	close(release)
	<-ended
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Within(canceled, time.Minute, func(ctx context.Context) (int, error) { return 0, ctx.Err() }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the cancellation", err)
	}
}

func TestHealth(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	var h Health
	for _, err := range []error{nil, errors.New("gone"), errors.New("gone"), nil, nil, errors.New("gone again")} {
		h.Report(zap.New(core), err, "storage unavailable", "storage recovered", zap.String("target", "a"))
		if got := h.Unavailable(); got != (err != nil) {
			t.Errorf("after %v unavailable is %v", err, got)
		}
	}
	var got []string
	for _, entry := range logs.All() {
		got = append(got, entry.Level.String()+" "+entry.Message)
		if entry.ContextMap()["target"] != "a" {
			t.Errorf("the entry has no target: %v", entry.ContextMap())
		}
	}
	want := []string{"warn storage unavailable", "info storage recovered", "warn storage unavailable"}
	if len(got) != len(want) {
		t.Fatalf("logged %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("entry %d: got %q, want %q", i, got[i], want[i])
		}
	}
}
