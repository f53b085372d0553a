package doh

import (
	"errors"
	"sync"
)

// flights are the questions under way, so that identical ones share one
// exchange.
type flights struct {
	mu    sync.Mutex
	byKey map[string]*flight
}

// flight is a question under way. Its answer is read after done.
type flight struct {
	key    string
	done   chan struct{}
	answer *answer
	err    error
}

var errGrounded = errors.New("the exchange ended early")

// join returns the flight of a question, and whether it is new: then the
// caller must see it through to end.
func (fs *flights) join(key []byte) (f *flight, first bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f := fs.byKey[string(key)]; f != nil {
		return f, false
	}
	f = &flight{key: string(key), done: make(chan struct{}), err: errGrounded}
	if fs.byKey == nil {
		fs.byKey = make(map[string]*flight)
	}
	fs.byKey[f.key] = f
	return f, true
}

// end lets those who wait for the answer have it.
func (fs *flights) end(f *flight) {
	fs.mu.Lock()
	delete(fs.byKey, f.key)
	fs.mu.Unlock()
	close(f.done)
}
