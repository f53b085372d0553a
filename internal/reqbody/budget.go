package reqbody

import (
	"errors"
	"io"
	"sync/atomic"
)

// ErrExhausted says that the bodies under way leave no memory or space on disk
// for another one.
var ErrExhausted = errors.New("the memory for request bodies is exhausted")

// Budget bounds what the bodies of many requests use together, from their
// first byte until their last reader is closed. Once half of the memory is in
// use, bodies of more than one chunk lie in files.
//
// A share of a budget has a bound of its own below that of the whole, so that
// no single user can exhaust it for the others.
type Budget struct {
	whole  *Budget // of which this is a share; a budget that is none is its own whole
	memory resource
	files  resource
}

// resource counts the bytes in use.
type resource struct {
	limit int64
	used  atomic.Int64
}

// NewBudget returns a budget of so many bytes in memory and in temporary files.
func NewBudget(memory, files int64) *Budget {
	b := new(Budget)
	b.whole, b.memory.limit, b.files.limit = b, memory, files
	return b
}

// Share returns a share that may use the nth part of the budget.
func (b *Budget) Share(n int64) *Budget {
	share := NewBudget(b.memory.limit/n, b.files.limit/n)
	share.whole = b
	return share
}

// Used returns how many bytes are in use, in memory and in temporary files.
func (b *Budget) Used() (memory, files int64) { return b.memory.used.Load(), b.files.used.Load() }

// Read reads r to its end. size is the length if it is known (the
// Content-Length), else -1. A body of more than limit bytes is ErrTooLarge, and
// one for which the budget has no room left ErrExhausted. Each piece goes to
// sink as it arrives; its error ends the reading and is returned. sink may be
// nil.
func (b *Budget) Read(r io.Reader, size, limit int64, sink io.Writer) (*Body, error) {
	if size > limit {
		return nil, ErrTooLarge
	}
	body := &Body{budget: b}
	body.refs.Store(1)
	if err := body.read(r, size, limit, sink); err != nil {
		body.Release()
		return nil, err
	}
	return body, nil
}

// Reserve reserves memory for what is made of a body, until Release. It reports
// whether there is room for it.
func (b *Budget) Reserve(n int64) bool { return b.reserveMemory(n) }

// Release gives back what Reserve has reserved.
func (b *Budget) Release(n int64) { b.releaseMemory(n) }

// reserve counts n bytes if no more than limit are in use then.
func (r *resource) reserve(n, limit int64) bool {
	if r.used.Add(n) > limit {
		r.used.Add(-n)
		return false
	}
	return true
}

func (r *resource) isScarce() bool { return r.used.Load() > r.limit/2 }

// reserveMemory reserves memory for a piece of a body. Pieces of large bodies
// leave an eighth of it to small ones.
func (b *Budget) reserveMemory(n int64) bool {
	mayUse := func(limit int64) int64 {
		if n >= chunkSize {
			return limit - limit/8
		}
		return limit
	}
	if !b.memory.reserve(n, mayUse(b.memory.limit)) {
		return false
	}
	if b.whole != b && !b.whole.memory.reserve(n, mayUse(b.whole.memory.limit)) {
		b.memory.used.Add(-n)
		return false
	}
	return true
}

func (b *Budget) releaseMemory(n int64) {
	b.memory.used.Add(-n)
	if b.whole != b {
		b.whole.memory.used.Add(-n)
	}
}

func (b *Budget) reserveFile(n int64) bool {
	if !b.files.reserve(n, b.files.limit) {
		return false
	}
	if b.whole != b && !b.whole.files.reserve(n, b.whole.files.limit) {
		b.files.used.Add(-n)
		return false
	}
	return true
}

func (b *Budget) releaseFile(n int64) {
	b.files.used.Add(-n)
	if b.whole != b {
		b.whole.files.used.Add(-n)
	}
}

// isScarce reports whether bodies should lie in files early.
func (b *Budget) isScarce() bool { return b.memory.isScarce() || b.whole.memory.isScarce() }
