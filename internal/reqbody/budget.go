package reqbody

import (
	"errors"
	"io"
	"sync/atomic"
)

// ErrExhausted says that the bodies under way leave no memory or space on disk for
// another one. It is temporary: the gateway answers 503, and the request may be sent
// again.
var ErrExhausted = errors.New("the memory for request bodies is exhausted")

// Budget bounds what the bodies of many requests use together, from their
// first byte until their last reader is closed. Once half of the memory is in
// use, bodies of more than one chunk lie in files.
//
// A share of a budget has a bound of its own below that of the whole, so that
// no single user can exhaust it for the others.
//
// The process has one whole budget and each client of a gateway a share of it, see
// internal/bodies. A reservation of a share is counted in the share and in the whole,
// and taken back from the share where the whole refuses. The counters are atomic and
// there is no lock, so that a refused reservation may for a moment make another one
// fail that would have fitted; nothing is ever admitted beyond the limits.
type Budget struct {
	// whole is the budget that this is a share of. One that is no share is its own
	// whole, which spares a nil check in each method.
	whole  *Budget
	memory resource
	files  resource
}

// resource counts the bytes in use of memory or of disk. limit never changes.
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
//
// The parts are bounds and no reservations: shares may add up to more than the whole.
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
//
// Who gets a body calls Release on it. An error of r or of sink is returned as it is,
// and the memory is given back before the call returns.
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
//
// The gateway reserves for the translated body of a request here, which lives beside
// the client's.
func (b *Budget) Reserve(n int64) bool { return b.reserveMemory(n) }

// Release gives back what Reserve has reserved.
func (b *Budget) Release(n int64) { b.releaseMemory(n) }

// reserve counts n bytes if no more than limit are in use then. It adds first and looks
// afterwards: with a look before, two requests could both see the last free bytes.
func (r *resource) reserve(n, limit int64) bool {
	if r.used.Add(n) > limit {
		r.used.Add(-n)
		return false
	}
	return true
}

// isScarce reports whether more than half is in use. It says nothing about what a
// reservation will find; it only chooses between memory and a file.
func (r *resource) isScarce() bool { return r.used.Load() > r.limit/2 }

// reserveMemory reserves memory for a piece of a body. Pieces of large bodies
// leave an eighth of it to small ones.
//
// So a few uploads of many megabytes cannot make chats of a few kilobytes fail, which
// are the most frequent requests by far.
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

// releaseMemory gives back what reserveMemory has counted. It must be called with the
// same total, in whatever pieces; a counter below 0 would admit more than the limit.
func (b *Budget) releaseMemory(n int64) {
	b.memory.used.Add(-n)
	if b.whole != b {
		b.whole.memory.used.Add(-n)
	}
}

// reserveFile reserves space on disk. No part of it is kept for small bodies, which
// never lie in files.
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
//
// A share that is half full counts as well as the whole: it moves its own client's
// bodies to disk before that client meets its bound.
func (b *Budget) isScarce() bool { return b.memory.isScarce() || b.whole.memory.isScarce() }
