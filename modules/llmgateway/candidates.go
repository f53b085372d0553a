package llmgateway

import (
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/capability"
)

// candidates are what could answer a request. They are made one at a time, when they
// are needed, in the order of the plan's steps: in each step one channel after the
// other, and of a channel one key after the other. Which of equals comes first is
// the policy's choice. They belong to the request's goroutine.
type candidates struct {
	plan      *plan
	auxiliary bool // the request only counts tokens
	choice    choice
	needs     capability.Needs // of the request, if the plan is limited

	next int // the step that comes next
	step step
	legs legWalk
	leg  *leg // whose keys are looked at; unset between channels
	keys keyWalk

	tried    []candidate
	excluded []exclusion
	failing  []*Channel // have failed in this request: only when nothing else is left
	sleeper  *Channel   // the first one that was passed over since it sleeps
	peeking  bool       // nothing is claimed

	// wider says that models with a larger context than widerThan are asked first.
	wider     bool
	widerThan int64

	room [2]candidate
}

// begin starts with the first candidate of a plan.
func (c *candidates) begin(p *plan, ch choice, needs capability.Needs, auxiliary bool) {
	c.plan, c.choice, c.needs, c.auxiliary = p, ch, needs, auxiliary
	c.tried = c.room[:0]
}

// restart begins anew, with what is excluded and tried left out.
func (c *candidates) restart() {
	c.next, c.legs, c.leg = 0, legWalk{}, nil
}

// hasNext reports whether there is another candidate that may be used now, without
// claiming it.
//
// It works on a copy in which nothing is claimed and the policy sets no cookie. Its
// answer decides whether the first output of a stream has a deadline where
// first_byte_timeout is not set: that of the last candidate has none.
func (c *candidates) hasNext(now time.Time) bool {
	if c.plan.isLone() {
		return false
	}
	ahead := *c
	ahead.peeking = true
	ahead.choice = choice{policy: c.choice.policy, identity: c.choice.identity, random: c.choice.random, balancer: noBalancer, peeking: true}
	ahead.restart()
	_, ok := ahead.claim(now)
	return ok
}

// isLone reports whether there is one candidate only.
func (p *plan) isLone() bool { return len(p.legs) == 1 && p.legs[0].keySet().len() == 1 }

// claim returns the next candidate that may be used, and false when none is left.
// What is in cooldown is passed over.
func (c *candidates) claim(now time.Time) (found *candidate, ok bool) {
	for {
		if c.leg != nil {
			if found, ok := c.claimKey(now); ok {
				return found, true
			}
			c.leg = nil
		}
		if c.nextLeg(now) || c.nextStep(now) {
			continue
		}
		if !c.wider {
			return nil, false
		}
		c.wider = false
		c.restart()
	}
}

// nextStep goes on to the channels of the next step. A conversation does not spare
// keys that are beyond their pace: it would leave one with each turn and come back
// later, while its cached prompt is worth more than an even use.
func (c *candidates) nextStep(now time.Time) bool {
	for c.next < len(c.plan.steps) && c.plan.steps[c.next].demand == demandPaced && c.choice.belongs() {
		c.next++
	}
	if c.next >= len(c.plan.steps) {
		return false
	}
	c.step = c.plan.steps[c.next]
	c.next++
	c.legs = c.choice.walk(c.step, now)
	return true
}

// nextLeg goes on to the keys of the next channel that meets the step's demand.
func (c *candidates) nextLeg(now time.Time) bool {
	for {
		l, ok := c.legs.next(&c.choice)
		if !ok {
			return false
		}
		if c.excludes(l) {
			continue
		}
		if c.failsDemand(l, now) {
			c.legs.block()
			continue
		}
		c.leg = l
		c.keys = c.choice.walkKeys(l, c.step.demand == demandPaced, now)
		return true
	}
}

// failsDemand reports whether a channel may not be used in this step, whatever the
// key.
func (c *candidates) failsDemand(l *leg, now time.Time) bool {
	of := c.of(l, nil)
	name, _ := of.cooldownName()
	switch {
	case c.step.demand < demandAny && !l.channel.cooldowns.Until(cooldown.All, now).IsZero():
		return true
	case c.step.demand < demandWorking && l.channel.sleeps():
		if c.sleeper == nil {
			c.sleeper = l.channel
		}
		return true
	}
	return !l.channel.cooldowns.BlockOfName(name, now).Until.IsZero()
}

// of returns the candidate of a channel's key.
func (c *candidates) of(l *leg, k *key) candidate {
	return candidate{channel: l.channel, key: k, model: l.model, measures: l.measures, auxiliary: c.auxiliary}
}

// claimKey claims the next key of the channel.
func (c *candidates) claimKey(now time.Time) (*candidate, bool) {
	for !c.excludes(c.leg) {
		i, ok := c.keys.walk.Next()
		if !ok {
			if c.keys.useless {
				c.legs.block()
			}
			return nil, false
		}
		next := c.of(c.leg, c.keys.set.at(i))
		switch {
		case c.excludesKey(&next):
			c.keys.useless = false // that is of this request
		case next.isBusy():
			c.keys.useless = false // that may end at any moment
		case c.spares(&next, now), !c.acquire(&next, now):
			c.keys.walk.Block()
		default:
			c.keys.useless = false
			return c.record(next), true
		}
	}
	return nil, false
}

// spares reports whether a key is left for later, since it is beyond its pace.
func (c *candidates) spares(next *candidate, now time.Time) bool {
	return c.step.demand == demandPaced && next.channel.keyPolicy == KeyPolicyAffinity && next.isBeyondPace(now)
}

// acquire acquires a candidate, if it is not just looked for, and reports whether it
// may be used.
func (c *candidates) acquire(next *candidate, now time.Time) bool {
	if c.peeking {
		return next.mayBeUsed(now)
	}
	return next.acquire(now)
}

// record records that a candidate is tried.
func (c *candidates) record(next candidate) *candidate {
	if c.peeking {
		return &next
	}
	c.tried = append(c.tried, next)
	return &c.tried[len(c.tried)-1]
}
