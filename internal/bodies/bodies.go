// Package bodies bounds the memory, the disk space and the decoders for request
// bodies of all handlers of the process together.
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
	// defaultMemory is the memory for bodies, in bytes, if the process has no
	// memory limit. With a limit it is a quarter, within the other two.
	defaultMemory = 256 << 20
	leastMemory   = 32 << 20
	mostMemory    = 1 << 30

	// filesPerMemory is the space for bodies in files, in multiples of memory.
	filesPerMemory = 16

	// mostDecoders bounds how many bodies are decoded at a time. Each decoder may
	// have a window of 8 MB (zstd) or 16 MB (brotli).
	mostDecoders = 8
)

// Shared are the bounds of the process.
type Shared struct {
	// Budget is the memory and file space for all bodies. Its memory is a quarter
	// of the process's limit, which Caddy sets to nine tenths of the memory of the
	// machine or the container.
	Budget *reqbody.Budget

	decoders *semaphore.Weighted
}

// New returns bounds with a budget. Outside tests use Acquire.
func New(budget *reqbody.Budget) *Shared {
	return &Shared{budget, semaphore.NewWeighted(int64(min(max(2, runtime.GOMAXPROCS(0)), mostDecoders)))}
}

// Decode calls decode as soon as fewer than the allowed number of decoders run, and
// returns its error, or the error of ctx if that is done first. decode must not
// wait for a client: a slow one would keep a decoder from the others.
func (s *Shared) Decode(ctx context.Context, decode func() error) error {
	if err := s.decoders.Acquire(ctx, 1); err != nil {
		return err
	}
	defer s.decoders.Release(1)
	return decode()
}

// pool has the one Shared of the process, so that it outlives reloads.
var pool = caddy.NewUsagePool()

type poolKey struct{}

// Acquire returns the bounds of the process. Each call must be followed by one of
// Release.
func Acquire() *Shared {
	shared, _ := pool.LoadOrStore(poolKey{}, New(reqbody.NewBudget(memory(), filesPerMemory*memory())))
	return shared.(*Shared)
}

// Release ends the use that Acquire began.
func Release() { _, _ = pool.Delete(poolKey{}) }

// memory returns the memory for bodies, in bytes.
func memory() int64 {
	limit := debug.SetMemoryLimit(-1) // a negative value reads the limit
	if limit == math.MaxInt64 {
		return defaultMemory
	}
	return min(max(limit/4, leastMemory), mostMemory)
}
