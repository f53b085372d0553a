package pool

import (
	"errors"
	"sync"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// singleflight makes identical questions at the same time share one exchange. It
// differs from golang.org/x/sync/singleflight in that callers with a key of bytes
// allocate nothing when they join, and may wait for a limited time.
type singleflight struct {
	mu    sync.Mutex
	byKey map[string]*call // guarded by mu
}

// call is an exchange that answers a question. response and err may be read once
// done is closed.
type call struct {
	key      string
	done     chan struct{}
	response *dnsmsg.Response
	err      error
}

// errEndedEarly is the error of a call whose exchange did not come to its end, by a
// panic.
var errEndedEarly = errors.New("the exchange ended early")

// join returns the call for a question, and whether it is new. The caller of a new
// one must call end.
func (s *singleflight) join(key []byte) (c *call, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.byKey[string(key)]; c != nil {
		return c, false
	}
	c = &call{key: string(key), done: make(chan struct{}), err: errEndedEarly}
	if s.byKey == nil {
		s.byKey = make(map[string]*call)
	}
	s.byKey[c.key] = c
	return c, true
}

// end publishes the call's response. Later questions make a new call.
func (s *singleflight) end(c *call) {
	s.mu.Lock()
	delete(s.byKey, c.key)
	s.mu.Unlock()
	close(c.done)
}
