// Package slots limits how many requests use something at once. Those for which
// there is no slot queue, and get one in the order in which they came.
//
//	s := new(slots.Slots) // outlives a reload
//	…
//	if !s.TryAcquire(name, limit) {
//		w := slots.NewWaiter()
//		w.Queue(s, name, limit) // and in other queues
//		queue, ok := w.Wait(ctx, timeout)
//	}
//	defer s.Release(name)
//
// The limit comes with each request, so that a reload may change it: no request
// begins while as many are under way as its own limit allows, whoever they are of.
// Whoever waits is in a queue that no reload replaces.
//
// In a queue there is nobody who could have a slot: whenever one becomes free, the
// first one gets it whose limit allows it. So who comes later overtakes nobody.
package slots

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Slots are those of one thing, such as a key, by a name, such as that of a model.
// The zero value is ready for use. It is safe for concurrent use.
type Slots struct {
	mu    sync.Mutex
	lines map[string]*line // those that are in use
}

// line is the slots of a name.
type line struct {
	used  int
	queue list.List // of *ticket
}

// ticket is the place of a waiter in a queue.
type ticket struct {
	waiter  *Waiter
	slots   *Slots
	name    string
	limit   int
	element *list.Element
}

// line returns the line of a name. The caller holds mu and calls tidy in the end.
func (s *Slots) line(name string) *line {
	l := s.lines[name]
	if l == nil {
		l = new(line)
		if s.lines == nil {
			s.lines = make(map[string]*line)
		}
		s.lines[name] = l
	}
	return l
}

// tidy drops a line that nobody uses.
func (s *Slots) tidy(name string) {
	if l := s.lines[name]; l != nil && l.used == 0 && l.queue.Len() == 0 {
		delete(s.lines, name)
	}
}

// TryAcquire takes a slot, unless limit of them are taken, and reports whether it
// has.
func (s *Slots) TryAcquire(name string, limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.lines[name]; l != nil && l.used >= limit {
		return false
	}
	s.line(name).used++
	return true
}

// Release gives a slot back.
func (s *Slots) Release(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.line(name)
	l.used--
	l.grant()
	s.tidy(name)
}

// grant gives free slots to the first waiters whose limits allow it.
func (l *line) grant() {
	for e := l.queue.Front(); e != nil; {
		next, t := e.Next(), e.Value.(*ticket)
		if l.used < t.limit {
			l.queue.Remove(e)
			t.element = nil
			if t.waiter.state.CompareAndSwap(waiting, granted) {
				l.used++
				t.waiter.ready <- t
			}
		}
		e = next
	}
}

// Used returns how many slots of a name are taken, and how many wait for one.
func (s *Slots) Used(name string) (used, waiting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lines[name]
	if l == nil {
		return 0, 0
	}
	return l.used, l.queue.Len()
}

// Total returns how many slots are taken, and how many places in queues.
func (s *Slots) Total() (used, waiting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lines {
		used += l.used
		waiting += l.queue.Len()
	}
	return used, waiting
}

// States of a waiter.
const (
	waiting = iota
	granted
	left
)

// Waiter waits for the first slot that becomes free in any of several queues. It
// is used once, by one goroutine.
type Waiter struct {
	state   atomic.Int32
	ready   chan *ticket // has room for the one that is granted
	tickets []*ticket
}

// NewWaiter returns a Waiter that is in no queue.
func NewWaiter() *Waiter { return &Waiter{ready: make(chan *ticket, 1)} }

// Queue goes to the end of a queue, or takes a slot that is free. After that Wait
// returns at once.
func (w *Waiter) Queue(s *Slots, name string, limit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.line(name)
	t := &ticket{waiter: w, slots: s, name: name, limit: limit}
	t.element = l.queue.PushBack(t)
	w.tickets = append(w.tickets, t)
	l.grant()
	s.tidy(name)
}

// Wait waits for a slot and returns whose it is: the number of its call of Queue.
// It gives up when timeout has something to say or the context is done, and leaves
// all queues.
func (w *Waiter) Wait(ctx context.Context, timeout <-chan time.Time) (queue int, ok bool) {
	defer w.leave()
	select {
	case t := <-w.ready:
		return w.number(t), true
	case <-timeout:
	case <-ctx.Done():
	}
	if w.state.CompareAndSwap(waiting, left) {
		return 0, false
	}
	t := <-w.ready // it was granted at the same moment
	if ctx.Err() != nil {
		t.slots.Release(t.name)
		return 0, false
	}
	return w.number(t), true
}

func (w *Waiter) number(t *ticket) int {
	for i, other := range w.tickets {
		if other == t {
			return i
		}
	}
	return -1 // it is one of them
}

// leave leaves all queues.
func (w *Waiter) leave() {
	for _, t := range w.tickets {
		t.slots.remove(t)
	}
}

func (s *Slots) remove(t *ticket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.element != nil {
		s.lines[t.name].queue.Remove(t.element)
		t.element = nil
		s.tidy(t.name)
	}
}
