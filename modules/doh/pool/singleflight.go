package pool

import (
	"errors"
	"sync"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// singleflight lets identical questions that are asked at the same time share
// one exchange.
type singleflight struct {
	mu    sync.Mutex
	byKey map[string]*call
}

// call is a question that is being asked. Its response is read after done.
type call struct {
	key      string
	done     chan struct{}
	response *dnsmsg.Response
	err      error
}

var errEndedEarly = errors.New("the exchange ended early")

// join returns the call for a question, and whether it is new: then the caller
// must see it through to end.
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

// end lets those who wait for the response have it.
func (s *singleflight) end(c *call) {
	s.mu.Lock()
	delete(s.byKey, c.key)
	s.mu.Unlock()
	close(c.done)
}
