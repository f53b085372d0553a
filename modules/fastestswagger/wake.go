package fastestswagger

import (
	"context"
)

// wish asks for a member to be woken up in the background: a request went
// elsewhere only because it sleeps. Within a lap one wish is enough.
func (s *Selection) wish(m *member) {
	if m.wished.Load() || m.wished.Swap(true) {
		return
	}
	select {
	case s.wishes <- m:
	default:
	}
}

// rouse wakes a member up, if it sleeps, and lets requests go to it then. A
// request that has nowhere else to go waits for that: what it would get before
// is the platform's waking-up page.
func (s *Selection) rouse(ctx context.Context, m *member) {
	if !s.wakeUp(ctx, m.name) {
		return
	}
	s.refresh()
	if m.page != nil {
		m.page.hasten()
	}
}

// wakeUp wakes an upstream up and waits for the end of that. It returns false
// when there was nothing to wait for, or ctx has ended.
func (s *Selection) wakeUp(ctx context.Context, upstream string) bool {
	done := s.awake.Wake(upstream)
	if done == nil {
		return false
	}
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}
