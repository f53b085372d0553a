package slots

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
)

// wants checks the numbers of a name.
func (s *Slots) wants(t *testing.T, name string, used, waiting int) {
	t.Helper()
	if u, w := s.Used(name); u != used || w != waiting {
		t.Errorf("%q: %d used and %d waiting, want %d and %d", name, u, w, used, waiting)
	}
}

// queued returns a waiter in a queue, and where what comes of it is told.
func queued(ctx context.Context, timeout <-chan time.Time, limit int, all ...*Slots) <-chan int {
	w := NewWaiter()
	for _, s := range all {
		w.Queue(s, "m", limit)
	}
	done := make(chan int, 1)
	go func() {
		queue, ok := w.Wait(ctx, timeout)
		if !ok {
			queue = -1
		}
		done <- queue
	}()
	return done
}

func TestLimit(t *testing.T) {
	var s Slots
	for i, want := range []bool{true, true, false} {
		if got := s.TryAcquire("m", 2); got != want {
			t.Errorf("acquiring slot %d: %v, want %v", i+1, got, want)
		}
	}
	if !s.TryAcquire("other", 2) {
		t.Error("another name has no slot")
	}
	s.wants(t, "m", 2, 0)
	s.Release("m")
	if !s.TryAcquire("m", 2) {
		t.Error("a slot that was given back is not free")
	}
	s.Release("m")
	s.Release("m")
	s.Release("other")
	if len(s.lines) != 0 {
		t.Errorf("%d lines are left, want none", len(s.lines))
	}
}

// Who waits gets a slot in the order of coming, and nobody overtakes.
func TestOrder(t *testing.T) {
	var s Slots
	s.TryAcquire("m", 1)
	var waiting []<-chan int
	for range 5 {
		waiting = append(waiting, queued(t.Context(), nil, 1, &s))
	}
	for i, done := range waiting {
		s.wants(t, "m", 1, len(waiting)-i)
		s.Release("m")
		if got := <-done; got != 0 {
			t.Errorf("waiter %d got %d, want a slot", i, got)
		}
		if s.TryAcquire("m", 1) {
			t.Error("somebody has overtaken those who wait")
		}
		for j, later := range waiting[i+1:] {
			select {
			case <-later:
				t.Errorf("waiter %d came before its turn", i+1+j)
			default:
			}
		}
	}
	s.Release("m")
	s.wants(t, "m", 0, 0)
}

// Who waits no longer than for a time, or has left, frees the place.
func TestLeaving(t *testing.T) {
	var s Slots
	s.TryAcquire("m", 1)
	clock := clockwork.NewFakeClock()
	timeout := clock.After(30 * time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	late, gone, patient := queued(t.Context(), timeout, 1, &s), queued(ctx, nil, 1, &s), queued(t.Context(), nil, 1, &s)
	clock.Advance(29 * time.Second)
	select {
	case <-late:
		t.Error("it has given up too early")
	default:
	}
	clock.Advance(time.Second)
	if got := <-late; got != -1 {
		t.Errorf("a waiter whose time is over got %d", got)
	}
	cancel()
	if got := <-gone; got != -1 {
		t.Errorf("a waiter that has left got %d", got)
	}
	s.wants(t, "m", 1, 1)
	s.Release("m")
	if got := <-patient; got != 0 {
		t.Errorf("the next one got %d, want a slot", got)
	}
	s.Release("m")
	s.wants(t, "m", 0, 0)
}

// Of several queues the first slot counts, and no other one is lost.
func TestSeveralQueues(t *testing.T) {
	var a, b, c Slots
	for _, s := range []*Slots{&a, &b, &c} {
		s.TryAcquire("m", 1)
	}
	first, second := queued(t.Context(), nil, 1, &a, &b, &c), queued(t.Context(), nil, 1, &b)
	b.Release("m")
	if got := <-first; got != 1 {
		t.Errorf("it got the slot of queue %d, want 1", got)
	}
	for _, s := range []*Slots{&a, &c} {
		for range 1000 { // it leaves them after it was told
			if _, waiting := s.Used("m"); waiting == 0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		s.wants(t, "m", 1, 0)
	}
	b.Release("m")
	if got := <-second; got != 0 {
		t.Errorf("the other one got %d, want a slot", got)
	}
	w := NewWaiter()
	a.Release("m")
	w.Queue(&b, "m", 1)
	w.Queue(&a, "m", 1)
	if got, ok := w.Wait(t.Context(), nil); got != 1 || !ok {
		t.Errorf("with a slot that is free: %d, %v", got, ok)
	}
}

// A reload changes the limit of those who come after it. Neither do both limits
// add up nor does anybody wait behind those of the old one.
func TestChangedLimit(t *testing.T) {
	var s Slots
	s.TryAcquire("m", 1)
	old := queued(t.Context(), nil, 1, &s)
	if !s.TryAcquire("m", 2) {
		t.Error("with a higher limit there is no slot")
	}
	if s.TryAcquire("m", 2) {
		t.Error("the limits add up")
	}
	higher := queued(t.Context(), nil, 2, &s)
	s.Release("m") // one is under way, which is all that the old limit allows
	if got := <-higher; got != 0 {
		t.Errorf("the one with the higher limit got %d", got)
	}
	s.wants(t, "m", 2, 1)
	s.Release("m")
	s.Release("m")
	if got := <-old; got != 0 {
		t.Errorf("the one with the lower limit got %d", got)
	}
	s.Release("m")
	s.wants(t, "m", 0, 0)
}

// However many come and leave, no more than the limit are under way, and in the
// end nothing is left.
func TestLoad(t *testing.T) {
	var all [3]Slots
	var running [3]atomic.Int32
	const limit = 2
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(g), 1))
			for range 300 {
				ctx, cancel := context.WithCancel(t.Context())
				w := NewWaiter()
				from := random.IntN(3)
				for i := range 1 + random.IntN(3) {
					w.Queue(&all[(from+i)%3], "m", limit)
				}
				if random.IntN(3) == 0 {
					go cancel()
				}
				if queue, ok := w.Wait(ctx, nil); ok {
					i := (from + queue) % 3
					if n := running[i].Add(1); n > limit {
						t.Errorf("%d are under way, want at most %d", n, limit)
					}
					running[i].Add(-1)
					all[i].Release("m")
				}
				cancel()
			}
		})
	}
	wg.Wait()
	for i := range all {
		if used, waiting := all[i].Total(); used != 0 || waiting != 0 || len(all[i].lines) != 0 {
			t.Errorf("%d slots and %d places are left", used, waiting)
		}
	}
}
