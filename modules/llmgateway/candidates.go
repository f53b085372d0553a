package llmgateway

import "time"

// candidate is a key of a channel, and the model to ask it for.
type candidate struct {
	channel  *Channel
	key      *key      // unset for auth none
	model    string    // the channel's own name
	measures *measures // of the channel's model
	tried    bool
	last     bool // the channel has failed: only when nothing else is left
}

// candidates are what could answer a request, in order.
type candidates struct {
	list []candidate
	few  [2]candidate // room for the usual number of them
}

// claim returns the first candidate that was not tried, those of channels that
// have failed coming last, and nil when none is left. One that is in cooldown
// meanwhile is passed over.
func (c *candidates) claim(now time.Time) *candidate {
	for {
		next := c.peek()
		if next == nil {
			return nil
		}
		next.tried = true
		if next.acquire(now) {
			return next
		}
	}
}

// peek returns the next candidate that was not tried, nil for none.
func (c *candidates) peek() *candidate {
	var last *candidate
	for i := range c.list {
		next := &c.list[i]
		switch {
		case next.tried:
		case !next.last:
			return next
		case last == nil:
			last = next
		}
	}
	return last
}

// putLast puts the candidate behind those of channels that have not failed.
func (c *candidate) putLast() { c.last = true }

// putLast puts the keys of a channel that has failed behind all others.
func (c *candidates) putLast(channel *Channel) {
	for i := range c.list {
		if c.list[i].channel == channel {
			c.list[i].putLast()
		}
	}
}

// skip takes the keys of a channel out for one model.
func (c *candidates) skip(channel *Channel, model string) {
	for i := range c.list {
		if other := &c.list[i]; other.channel == channel && other.model == model {
			other.tried = true
		}
	}
}
