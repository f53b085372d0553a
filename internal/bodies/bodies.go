// Package bodies holds what all handlers of the process share to keep request
// bodies within bounds.
package bodies

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"

	"github.com/caddyserver/caddy/v2"
	"golang.org/x/sync/semaphore"

	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

const (
	// defaultMemory is for bodies where the process has no memory limit.
	defaultMemory = 256 << 20
	leastMemory   = 32 << 20
	mostMemory    = 1 << 30
	// filesPerMemory is how much more than memory may lie in files.
	filesPerMemory = 16
	// mostDecoders bounds how many bodies are decoded at a time. Each decoder may
	// have a window of 8 MB (zstd) or 16 MB (brotli).
	mostDecoders = 8
)

// Shared are the bounds of the process.
type Shared struct {
	// Budget is for all bodies: a quarter of the memory limit of the process,
	// which Caddy sets to nine tenths of what the machine or the container has.
	Budget *reqbody.Budget

	decoders *semaphore.Weighted
}

// New returns bounds of their own, with a budget.
func New(budget *reqbody.Budget) *Shared {
	return &Shared{budget, semaphore.NewWeighted(int64(min(max(2, runtime.GOMAXPROCS(0)), mostDecoders)))}
}

// Decode calls decode, which does not wait for a client, as soon as few enough
// others are at it. It returns the error of the context if that ends first.
func (s *Shared) Decode(ctx context.Context, decode func() error) error {
	if err := s.decoders.Acquire(ctx, 1); err != nil {
		return err
	}
	defer s.decoders.Release(1)
	return decode()
}

// pool holds the one Shared, so that it outlives reloads.
var pool = caddy.NewUsagePool()

type poolKey struct{}

// Acquire returns the bounds of the process. Each call needs one of Release.
func Acquire() *Shared {
	shared, _ := pool.LoadOrStore(poolKey{}, New(reqbody.NewBudget(memory(), filesPerMemory*memory())))
	return shared.(*Shared)
}

// Release gives back what Acquire has returned.
func Release() { _, _ = pool.Delete(poolKey{}) }

// memory returns the bytes for bodies.
func memory() int64 {
	limit := debug.SetMemoryLimit(-1) // reads it
	if limit == math.MaxInt64 {
		return defaultMemory
	}
	return min(max(limit/4, leastMemory), mostMemory)
}
