package llmgateway

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/conversation"
	"github.com/caddy-freetier/caddy-freetier/internal/ring"
)

// KeyPolicy says which of a channel's keys comes first.
type KeyPolicy string

// The policies that key_policy takes.
const (
	// KeyPolicyAffinity keeps a conversation with its key, for the provider's cache
	// of prompts. Requests that belong to no conversation take turns.
	KeyPolicyAffinity KeyPolicy = "affinity"

	// KeyPolicyQuota chooses by what is left of each quota for the time that is left
	// of its period, so that all of them end together. Keys without quotas take turns.
	KeyPolicyQuota KeyPolicy = "quota"

	// KeyPolicyRoundRobin takes turns.
	KeyPolicyRoundRobin KeyPolicy = "round_robin"
)

var keyPolicies = []string{string(KeyPolicyAffinity), string(KeyPolicyQuota), string(KeyPolicyRoundRobin)}

// check reports what is wrong with the policy. It may be left out.
func (p KeyPolicy) check() error {
	if p == "" || slices.Contains(keyPolicies, string(p)) {
		return nil
	}
	return fmt.Errorf("key_policy is one of %s", strings.Join(keyPolicies, ", "))
}

// choice says which of equals a request asks first.
type choice struct {
	policy   KeyPolicy // among channels
	identity conversation.Identity
	random   uint64 // leads to a channel where there is no conversation
	balancer *balancer
	r        *http.Request
	w        http.ResponseWriter
	turns    []turn // that the request has taken
	peeking  bool   // it takes none
}

// turn is that of a request at a channel. It keeps it to its end.
type turn struct {
	channel *Channel
	first   int
}

// newChoice returns the choice of a request that belongs to no conversation. The
// policy of lb_policy may set a cookie in w.
func newChoice(policy KeyPolicy, b *balancer, r *http.Request, w http.ResponseWriter) choice {
	return choice{policy: policy, random: rand.Uint64(), balancer: b, r: r, w: w}
}

// belongs reports whether the request is part of a conversation.
func (ch *choice) belongs() bool { return ch.identity.Kind != conversation.None }

// noBalancer leaves the choice of a channel to the request.
var noBalancer = new(balancer)

// legWalk goes through the channels of a step.
type legWalk struct {
	group  *group
	walk   ring.Walk
	policy bool   // lb_policy chooses of those that are left
	left   []*leg // that meet the step's demand
}

// keyWalk goes through the keys of a channel.
type keyWalk struct {
	set     *legKeys
	walk    ring.Walk
	useless bool // none of them may be used now, by any request
}

// walk returns the channels of a step, the first one first.
func (ch *choice) walk(s step, now time.Time) legWalk {
	blocked := &s.blocked[s.demand]
	switch {
	case ch.balancer.policy != nil && len(s.legs) > 1:
		return legWalk{group: s.group, policy: true, left: slices.Clone(s.legs)}
	case ch.policy == KeyPolicyAffinity && ch.belongs():
		return legWalk{group: s.group, walk: s.ring.Walk(ch.identity.Hash, blocked, now)}
	case ch.policy == KeyPolicyQuota && len(s.legs) > 1:
		first, _ := s.legShares(now).pick()
		return legWalk{group: s.group, walk: s.ring.WalkFrom(first, blocked, now)}
	}
	return legWalk{group: s.group, walk: s.ring.Walk(ch.random, blocked, now)}
}

// next returns the next channel.
func (lw *legWalk) next(ch *choice) (*leg, bool) {
	switch {
	case lw.group == nil:
		return nil, false
	case lw.policy:
		return lw.choose(ch)
	}
	i, ok := lw.walk.Next()
	if !ok {
		return nil, false
	}
	return lw.group.legs[i], true
}

// choose returns the channel that lb_policy chooses of those that are left.
func (lw *legWalk) choose(ch *choice) (*leg, bool) {
	if len(lw.left) == 0 {
		return nil, false
	}
	channels := make([]*Channel, len(lw.left))
	for i, l := range lw.left {
		channels[i] = l.channel
	}
	i := ch.balancer.choose(channels, ch.r, ch.w)
	ch.w = discardHeader{} // a cookie is for the first choice
	chosen := lw.left[i]
	lw.left = slices.Delete(lw.left, i, i+1)
	return chosen, true
}

// block leaves the last channel out for a moment: it does not meet the demand.
func (lw *legWalk) block() {
	if !lw.policy {
		lw.walk.Block()
	}
}

// walkKeys returns the keys of a channel, the first one first.
func (ch *choice) walkKeys(l *leg, paced bool, now time.Time) keyWalk {
	set, pace := l.keySet(), 0
	if paced {
		pace = 1
	}
	kw := keyWalk{set: set, useless: true}
	if l.channel.keyPolicy == KeyPolicyAffinity && ch.belongs() {
		kw.walk = set.keySet.ring().Walk(ring.Mix(ch.identity.Hash), &set.ring[pace], now)
		return kw
	}
	first, ok := 0, false
	if l.channel.keyPolicy == KeyPolicyQuota && set.len() > 1 && l.hasQuota() {
		first, ok = l.keyShares(now).pick()
	}
	if !ok {
		first = ch.turn(l.channel, set.len())
	}
	kw.walk = set.keySet.circle.WalkFrom(first, &set.circle[pace], now)
	return kw
}

// turn returns the key whose turn it is.
func (ch *choice) turn(channel *Channel, keys int) int {
	if keys == 1 || ch.peeking {
		return 0
	}
	for _, t := range ch.turns {
		if t.channel == channel {
			return t.first % keys
		}
	}
	first := int((channel.turn.Add(1) - 1) % uint32(keys))
	ch.turns = append(ch.turns, turn{channel, first})
	return first
}
