package llmgateway

import (
	"cmp"
	"slices"
	"time"
)

// candidate is a key of a channel, and the model to ask it for.
type candidate struct {
	channel   *Channel
	key       *key      // unset for auth none
	model     string    // the channel's own name
	measures  *measures // of the channel's model
	auxiliary bool      // the request only counts tokens
	tried     bool      // or excluded
	last      bool      // the channel has failed: only when nothing else is left
}

// account returns what the candidate's key shares its quotas with: other keys of
// the same account, or nothing but itself.
func (c *candidate) account() string {
	if c.key == nil {
		return ""
	}
	return cmp.Or(c.key.account, c.channel.account, c.key.secret)
}

// isAt reports whether the candidate is a key of the channel for the model.
func (c *candidate) isAt(other *candidate) bool {
	return c.channel == other.channel && c.model == other.model
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

// claimEarly returns, when all candidates are in cooldowns, the one that may be
// tried in spite of it, nil for none. That is one whose key is not in cooldown
// itself, since what one request says about a model must not keep others from it;
// else, if all cooldowns are guesses of ours, the one that ends first.
func (c *candidates) claimEarly(now time.Time) *candidate {
	type blocked struct {
		candidate *candidate
		until     time.Time
	}
	var keys, models []blocked
	guessed := true
	for i := range c.list {
		next := &c.list[i]
		if next.exhausted() {
			continue
		}
		key := next.blockOfKey(now)
		if key.Until.IsZero() {
			models = append(models, blocked{next, next.blockOfModel(now).Until})
			continue
		}
		guessed = guessed && key.Guessed
		keys = append(keys, blocked{next, key.Until})
	}
	if guessed {
		models = append(models, keys...)
	}
	slices.SortStableFunc(models, func(a, b blocked) int { return a.until.Compare(b.until) })
	for _, b := range models {
		if b.candidate.acquireEarly(now) {
			b.candidate.tried = true
			return b.candidate
		}
	}
	return nil
}

// allowAgain lets the candidates be tried that were passed over in cooldowns.
func (c *candidates) allowAgain() {
	for i := range c.list {
		c.list[i].tried = false
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

// each calls f with the candidates that were not tried.
func (c *candidates) each(f func(*candidate)) {
	for i := range c.list {
		if next := &c.list[i]; !next.tried {
			f(next)
		}
	}
}

// exclude takes the candidates out that match, as if they had been tried.
func (c *candidates) exclude(match func(*candidate) bool) {
	c.each(func(next *candidate) { next.tried = match(next) })
}

// putLast puts the keys of a channel behind those of all others.
func (c *candidates) putLast(channel *Channel) {
	c.each(func(next *candidate) { next.last = next.last || next.channel == channel })
}

// any reports whether a candidate that was not tried matches.
func (c *candidates) any(match func(*candidate) bool) bool {
	found := false
	c.each(func(next *candidate) { found = found || match(next) })
	return found
}
