package llmgateway

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/slots"
)

// Concurrency limits how many requests a key answers at once.
type Concurrency struct {
	// How many requests may be under way, streams to their end.
	Requests int `json:"requests"`

	// Count each model by itself, by the name that the channel has for it.
	// Default: false.
	PerModel bool `json:"per_model,omitempty"`
}

// check reports what is wrong with the limit. It may be left out.
func (c *Concurrency) check() error {
	if c != nil && c.Requests < 1 {
		return errors.New("concurrency takes a number of requests, from 1")
	}
	return nil
}

// mostQueues is in how many queues a request waits, those of the keys that it would
// ask first.
const mostQueues = 16

// isLimited reports whether the candidate needs a slot.
func (c *candidate) isLimited() bool { return c.channel.Concurrency != nil && !c.auxiliary }

// slots returns those that the candidate needs one of, and their name.
func (c *candidate) slots() (s *slots.Slots, name string) {
	s = c.channel.slots
	if c.key != nil {
		s = c.key.slots
	}
	if c.channel.Concurrency.PerModel {
		name, _ = c.cooldownName()
	}
	return s, name
}

// isBusy reports whether as many requests are under way as the candidate's key may
// answer at once.
func (c *candidate) isBusy() bool {
	if !c.isLimited() {
		return false
	}
	s, name := c.slots()
	used, _ := s.Used(name)
	return used >= c.channel.Concurrency.Requests
}

// lacksSlotOnly reports whether the candidate may be used as soon as it has a slot.
func (c *candidate) lacksSlotOnly(now time.Time) bool {
	return !c.exhausted() && c.block(now).Until.IsZero()
}

// acquireSlot takes a slot if the candidate needs one, and reports whether the
// candidate may be used.
func (c *candidate) acquireSlot() bool {
	if !c.isLimited() || c.hasSlot {
		return true
	}
	s, name := c.slots()
	c.hasSlot = s.TryAcquire(name, c.channel.Concurrency.Requests)
	return c.hasSlot
}

// releaseSlot gives the candidate's slot back, if it has one.
func (c *candidate) releaseSlot() {
	if c.hasSlot {
		c.hasSlot = false
		s, name := c.slots()
		s.Release(name)
	}
}

// busy returns those of the candidates that only a slot is missing to, as far as
// this request may try them.
func (c *candidates) busy(seen *survey, now time.Time) (busy []candidate) {
	for i := range seen.soonest {
		next := seen.soonest[i].candidate
		// The survey may be of another request, and what it has seen a second old.
		if next.isLimited() && next.lacksSlotOnly(now) && !c.excludesKey(&next) && !slices.Contains(c.failing, next.channel) {
			busy = append(busy, next)
		}
	}
	if n := len(busy); n > mostQueues {
		// Others wait for others.
		from := int(c.choice.random % uint64(n))
		busy = append(busy[from:], busy[:from]...)[:mostQueues]
	}
	return busy
}

// awaitSlot waits until one of the busy candidates has a slot, and claims it. It
// gives up when the time has come or the client has left, and returns false too if
// the candidate may not be used any more.
func (as *attempts) awaitSlot(ctx context.Context, busy []candidate, until time.Time) bool {
	w, clock := slots.NewWaiter(), as.gateway.clock
	for i := range busy {
		s, name := busy[i].slots()
		w.Queue(s, name, busy[i].channel.Concurrency.Requests)
	}
	timer := clock.NewTimer(until.Sub(clock.Now()))
	defer timer.Stop()
	i, ok := w.Wait(ctx, timer.Chan())
	if !ok {
		return false
	}
	busy[i].hasSlot = true
	if !busy[i].acquire(clock.Now()) {
		return false
	}
	as.claimed = as.candidates.record(busy[i])
	return true
}

// claimBusy claims a candidate after an attempt that has failed, when all others
// that may be used are busy.
func (as *attempts) claimBusy(ctx context.Context) bool {
	for as.gateway.limitsConcurrency {
		now := as.gateway.clock.Now()
		busy := as.candidates.busy(as.candidates.survey(now), now)
		if len(busy) == 0 || !now.Before(as.latest) || ctx.Err() != nil {
			return false
		}
		if as.awaitSlot(ctx, busy, as.latest) {
			return true
		}
	}
	return false
}
