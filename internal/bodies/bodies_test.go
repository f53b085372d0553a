package bodies

import (
	"context"
	"errors"
	"math"
	"runtime/debug"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

func TestMemory(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	for limit, want := range map[int64]int64{
		math.MaxInt64: 256 << 20, 400 << 20: 100 << 20, 10 << 20: 32 << 20, 64 << 30: 1 << 30,
	} {
		debug.SetMemoryLimit(limit)
		if got := memory(); got != want {
			t.Errorf("of %d bytes %d are for bodies, want %d", limit, got, want)
		}
	}
}

// The bounds outlive a reload, which provisions the new configuration before it
// cleans the old one up.
func TestShared(t *testing.T) {
	first := Acquire()
	second := Acquire()
	Release()
	if third := Acquire(); third != first || second != first {
		t.Error("a reload has new bounds")
	}
	Release()
	Release()
}

func TestDecode(t *testing.T) {
	s := New(reqbody.NewBudget(1<<20, 1<<20))
	ctx, cancel := context.WithCancel(t.Context())
	running := make(chan struct{})
	end := make(chan struct{})
	n := 0
	for ; s.decoders.TryAcquire(1); n++ {
	}
	s.decoders.Release(int64(n))
	for range n {
		go func() {
			_ = s.Decode(t.Context(), func() error {
				running <- struct{}{}
				<-end
				return nil
			})
		}()
	}
	for range n {
		<-running
	}
	cancel()
	if err := s.Decode(ctx, func() error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("a client that has left got %v", err)
	}
	close(end)
	failed := errors.New("failed")
	if err := s.Decode(t.Context(), func() error { return failed }); !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
}
