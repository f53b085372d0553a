package llmgateway

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/caddy-freetier/caddy-freetier/internal/ring"
)

// tiers are the channels by tier, the first asked first.
type tiers [][]*Channel

// newTiers groups the channels by tier, the first asked coming first.
func newTiers(channels []*Channel) (all tiers) {
	sorted := slices.Clone(channels)
	slices.SortStableFunc(sorted, func(a, b *Channel) int { return cmp.Compare(a.Tier, b.Tier) })
	for _, c := range sorted {
		if n := len(all); n > 0 && all[n-1][0].Tier == c.Tier {
			all[n-1] = append(all[n-1], c)
			continue
		}
		all = append(all, []*Channel{c})
	}
	return all
}

// plan is what could answer requests for a model, and in which order: that of its
// steps. It is made for the first of them and kept. But for hints about what may
// not be used now, it does not change.
//
//	model      tier 1: within their pace, all keys    tier 2: …    channels that sleep
//	fallback   the same
//	…          channels that fail, in the same order
//
// Plans are shared by all requests for the same models and belong to one configuration.
// A request keeps its position among the steps itself (candidates), so that walking a
// plan needs no lock.
type plan struct {
	steps     []step
	legs      []*leg
	surveyors [2]surveyor // of requests, and of those that only count tokens

	// limited says that a model has limits that a request may not fit. leastContext is
	// the smallest context of them, in tokens, 0 if none is known.
	limited      bool
	leastContext int64
}

// step is a part of a plan: the channels of one tier for one model, as far as they
// meet a demand.
//
// Each group occurs in several steps, with weaker demands the later they come: only a
// request that finds nothing better gets to a channel that has to wake up or fails, or
// to a key that is beyond its pace.
type step struct {
	*group
	demand demand
}

// demand is what a step asks of channels and keys. Each one includes those after it.
type demand int

const (
	demandPaced   demand = iota // the channel is awake and works, the key is within its pace
	demandAwake                 // the channel is awake and works
	demandWorking               // the channel works
	demandAny
	demands
)

// group is the channels of one tier that have a model.
//
// ring has the legs by their index, and blocked, for each demand, which of them failed
// it within the last second. The latter are hints that save checks of many members: a
// leg is checked again before it is used.
type group struct {
	legs    []*leg
	ring    *ring.Ring
	blocked [demands]ring.Blocked
	shares  sharer
}

// leg is a channel and its own name for a model.
//
// keys is replaced when the channel's keys were read again, which shows as another
// keySet of the channel. Two requests may do that at the same time; whichever is stored
// last remains, and only hints of the other are lost.
type leg struct {
	channel  *Channel
	model    string
	measures *measures // of the channel's model
	keys     atomic.Pointer[legKeys]
	pinned   bool // to these keys
}

// legKeys is what has been seen of the keys of a leg.
type legKeys struct {
	*keySet
	// Those that may not be used for the leg's model, and those that are beyond
	// their pace besides: on the circle and on the ring.
	circle, ring [2]ring.Blocked
	shares       sharer
}

// keySet returns the leg's keys as they are now.
func (l *leg) keySet() *legKeys {
	known := l.keys.Load()
	if l.pinned {
		return known
	}
	set := l.channel.keySet()
	if known == nil || known.keySet != set {
		known = &legKeys{keySet: set}
		l.keys.Store(known)
	}
	return known
}

// planKey says what a plan is for: a model and those that stand in for it.
type planKey struct {
	model     string // "" for requests without one
	fallbacks string // their names come from the configuration
	strict    bool   // the first of a channel's own names is asked for, and no other
}

// What is kept of plans is bounded, since clients can ask a channel with a pattern for
// any number of names. Sizes are in units of about 300 bytes.
const (
	// Both limits guard memory against clients that invent names: a channel with
	// `models *` has a plan for each name that it is asked for.
	mostKept = 1 << 17
	// planSize is that of a plan, smallLeg and largeLeg those of its legs. A leg of
	// many keys keeps hints about each of them.
	planSize = 8
	smallLeg = 1
	largeLeg = 32
)

// planner makes and keeps the plans of a gateway.
type planner struct {
	gateway *gateway

	mu    sync.RWMutex
	known map[planKey]*plan
	rings map[string]*ring.Ring // of channels, by their numbers; shared by plans
	size  int                   // of all plans
}

func newPlanner(g *gateway) *planner {
	p := &planner{gateway: g}
	p.reset()
	return p
}

// reset drops all plans.
func (p *planner) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known, p.rings, p.size = make(map[planKey]*plan), make(map[string]*ring.Ring), 0
}

// of returns the plan for models, the first of which is asked first. For requests
// without one that is "".
func (p *planner) of(models []string, strict bool) *plan {
	key := planKey{models[0], strings.Join(models[1:], "\x00"), strict}
	p.mu.RLock()
	known := p.known[key]
	p.mu.RUnlock()
	if known != nil {
		return known
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.known[key]; known != nil {
		return known
	}
	made := p.plan(models, strict)
	if len(made.legs) == 0 || len(key.model) > longestModel {
		return made // clients could fill the memory with names
	}
	size := made.size()
	if p.size += size; p.size > mostKept {
		clear(p.known)
		clear(p.rings)
		p.size = size
	}
	key.model = strings.Clone(key.model) // the request it is part of is not kept
	p.known[key] = made
	return made
}

// plan makes the plan for models. The caller holds mu.
func (p *planner) plan(models []string, strict bool) *plan {
	made := new(plan)
	var all []*group
	for _, model := range models {
		groups := p.groups(model, strict)
		for _, g := range groups {
			made.add(g)
			if p.keepsPace(g) {
				made.steps = append(made.steps, step{g, demandPaced})
			}
			made.steps = append(made.steps, step{g, demandAwake})
		}
		for _, g := range groups {
			made.steps = append(made.steps, step{g, demandWorking})
		}
		all = append(all, groups...)
	}
	for _, g := range all {
		made.steps = append(made.steps, step{g, demandAny})
	}
	return made
}

// size returns about how much memory the plan takes.
func (p *plan) size() int {
	size := planSize
	for _, l := range p.legs {
		if l.keySet().keySet.circle.UsesBlocked() {
			size += largeLeg
		} else {
			size += smallLeg
		}
	}
	return size
}

// keepsPace reports whether keys of a group are spared that are beyond their pace.
// The policy quota has its own way.
func (p *planner) keepsPace(g *group) bool {
	return slices.ContainsFunc(g.legs, func(l *leg) bool { return l.channel.keyPolicy == KeyPolicyAffinity && l.hasPace() })
}

// pinnedPlan is the plan of a request that one key only can answer.
func pinnedPlan(c *Channel, k *key, model string, m *measures) *plan {
	l := &leg{channel: c, model: model, measures: m, pinned: true}
	l.keys.Store(&legKeys{keySet: newKeySet(c.Name, []*key{k})})
	return &plan{steps: []step{{&group{legs: []*leg{l}, ring: lone}, demandAny}}, legs: []*leg{l}}
}

// add adds the legs of a group.
func (p *plan) add(g *group) {
	p.legs = append(p.legs, g.legs...)
	for _, l := range g.legs {
		limits := l.measures.limits()
		p.limited = p.limited || limits.Any()
		if c := limits.Context; c > 0 && (p.leastContext == 0 || c < p.leastContext) {
			p.leastContext = c
		}
	}
}

// groups returns the channels that have a model, by tier, and in a tier by the rank
// of their own names for it.
func (p *planner) groups(model string, strict bool) (groups []*group) {
	if model == "" {
		unnamed := []*leg{{channel: p.gateway.unnamed}}
		return []*group{{legs: unnamed, ring: p.ring(unnamed)}}
	}
	for _, tier := range p.gateway.tiers {
		for rank := 0; ; rank++ {
			g := p.group(tier, model, rank)
			if len(g.legs) == 0 || strict && rank > 0 {
				break
			}
			groups = append(groups, g)
		}
	}
	return groups
}

// group returns the channels of a tier that have a name of a rank for a model.
func (p *planner) group(tier []*Channel, model string, rank int) *group {
	g := new(group)
	for _, channel := range tier {
		if sent, measures := channel.sentOf(model, rank); sent != "" {
			g.legs = append(g.legs, &leg{channel: channel, model: sent, measures: measures})
		}
	}
	if len(g.legs) > 0 {
		g.ring = p.ring(g.legs)
	}
	return g
}

// ring returns the ring of the legs' channels, by their weights.
func (p *planner) ring(legs []*leg) *ring.Ring {
	switch {
	case len(legs) == 1:
		return lone
	case p.gateway.keyPolicy == KeyPolicyQuota:
		return ring.NewCircle(len(legs)) // the weights are in the shares
	}
	var id []byte
	members := make([]ring.Member, len(legs))
	for i, l := range legs {
		members[i] = ring.Member{Name: l.channel.Name, Weight: int64(l.channel.Weight)}
		id = strconv.AppendInt(append(id, l.channel.Name...), members[i].Weight, 10)
		id = append(id, 0)
	}
	if p.rings[string(id)] == nil {
		p.rings[string(id)] = ring.New(members)
	}
	return p.rings[string(id)]
}

// lone is the ring of one member.
var lone = ring.NewCircle(1)
