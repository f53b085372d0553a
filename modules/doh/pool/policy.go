package pool

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// The names that `policy` takes.
const (
	// PolicyQuota picks by what is left of each quota for the time that is
	// left of its period, so that all of them end together. Without quotas it
	// is PolicyRandom.
	PolicyQuota = "quota"

	// PolicyRandom picks by weight.
	PolicyRandom = "random"

	// PolicyFastest picks the one with the lowest decayed latency, in which a
	// failure counts as a whole timeout. One query in explore goes by weight,
	// so that all are measured again and again.
	PolicyFastest = "fastest"

	// PolicyRoundRobin takes turns.
	PolicyRoundRobin = "round_robin"
)

// Policies are the names that `policy` takes.
var Policies = []string{PolicyQuota, PolicyRandom, PolicyFastest, PolicyRoundRobin}

const explore = 20

// The bounds of the tiers' numbers.
const (
	firstTier = 1
	lastTier  = math.MaxInt
)

// pick returns an upstream of the tiers from one up to another, that was not tried
// yet and has some quota left, of the first tier that has one, or nil. Those in
// cooldown come last.
func (p *Pool) pick(tried []*Account, from, upTo int, now time.Time) *Account {
	for _, inCooldown := range []bool{false, true} {
		for i := range p.tiers {
			if tier := p.tiers[i][0].tier; tier < from || tier > upTo {
				continue
			}
			for {
				a := p.choose(i, tried, inCooldown, now)
				if a == nil {
					break
				}
				if inCooldown || a.acquire(now) {
					return a
				}
			}
		}
	}
	return nil
}

// choose returns one of the tier by the policy, or nil. One in cooldown is left
// out unless inCooldown is set.
func (p *Pool) choose(number int, tried []*Account, inCooldown bool, now time.Time) *Account {
	tier := p.tiers[number]
	var room [16]float64 // on the stack, for pools of the usual size
	shares := p.shares(room[:0], tier, now)
	total := 0.0
	for i, u := range tier {
		if u.exhausted() || u.mustWait(now) || (!inCooldown && u.inCooldown(now)) || slices.Contains(tried, u) {
			shares[i] = 0
		}
		total += shares[i]
	}
	switch {
	case total == 0:
		return nil
	case p.policy == PolicyQuota:
		return p.turns.next(number, tier, shares, total)
	case p.policy == PolicyRoundRobin:
		first := int(p.turn.Add(1) - 1)
		for i := range tier {
			if at := (first + i) % len(tier); shares[at] > 0 {
				return tier[at]
			}
		}
	case p.policy == PolicyFastest && rand.N(explore) > 0:
		return fastest(tier, shares)
	}
	n := rand.Float64() * total
	var last *Account
	for i, u := range tier {
		if shares[i] == 0 {
			continue
		}
		last = u
		if n -= shares[i]; n < 0 {
			break
		}
	}
	return last
}

// fastest returns the one with the lowest score of those that have a share.
// One without a score is asked next.
func fastest(tier []*Account, shares []float64) (best *Account) {
	for i, u := range tier {
		if shares[i] > 0 && (best == nil || u.score.Load() < best.score.Load()) {
			best = u
		}
	}
	return best
}

// turns gives upstreams their shares without chance: each gains credit by its
// share, and the one with the most pays for the query. So all keep close to
// what they should have had at any time.
type turns struct {
	mu     sync.Mutex
	credit [][]float64 // by tier
}

func (t *turns) next(number int, tier []*Account, shares []float64, total float64) *Account {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.credit) <= number {
		t.credit = append(t.credit, nil)
	}
	for len(t.credit[number]) < len(tier) {
		t.credit[number] = append(t.credit[number], rand.Float64()) // not the first after each restart
	}
	credit, best := t.credit[number], -1
	for i, share := range shares {
		if share == 0 {
			continue
		}
		credit[i] += share / total
		if best < 0 || credit[i] > credit[best] {
			best = i
		}
	}
	credit[best]--
	return tier[best]
}

// shares appends the share of each upstream of a tier. With PolicyQuota one
// without a quota gets the mean of those that have one.
func (p *Pool) shares(shares []float64, tier []*Account, now time.Time) []float64 {
	sum, quotas := 0.0, 0
	if p.policy == PolicyQuota {
		for _, u := range tier {
			pace, limited := u.pace(now)
			if limited {
				sum += pace
				quotas++
			}
			shares = append(shares, pace)
		}
	}
	mean := 1.0
	if quotas > 0 {
		mean = sum / float64(quotas)
	}
	for i, u := range tier {
		if quotas == 0 {
			shares = append(shares[:i], 1)
		} else if u.meter.Load() == nil {
			// When all quotas of the tier are exhausted it carries on alone.
			shares[i] = max(mean, 1e-9)
		}
		shares[i] *= float64(u.weight)
	}
	return shares
}

// mustWait reports whether all upstreams with some quota left have asked for a
// pause.
func (p *Pool) mustWait(now time.Time) bool {
	for _, tier := range p.tiers {
		if slices.ContainsFunc(tier, func(a *Account) bool { return !a.exhausted() && !a.mustWait(now) }) {
			return false
		}
	}
	return true
}

// silent reports whether no upstream is likely to answer soon: each is in cooldown
// or was silent when it was last asked.
func (p *Pool) silent(now time.Time) bool {
	for _, tier := range p.tiers {
		if slices.ContainsFunc(tier, func(a *Account) bool { return !a.exhausted() && !a.silent() && !a.inCooldown(now) }) {
			return false
		}
	}
	return true
}

// exhausted reports whether the quotas of all upstreams are exhausted.
func (p *Pool) exhausted() bool {
	for _, tier := range p.tiers {
		if slices.ContainsFunc(tier, func(u *Account) bool { return !u.exhausted() }) {
			return false
		}
	}
	return true
}

// Left returns those of the first tier that has upstreams left which the lookup
// has not tried, or when all were tried, the first tier.
func (p *Pool) Left(l *Lookup) []*Account {
	for _, tier := range p.tiers {
		left := slices.DeleteFunc(slices.Clone(tier), func(a *Account) bool {
			return a.exhausted() || slices.Contains(l.tried, a)
		})
		if len(left) > 0 {
			return left
		}
	}
	return p.tiers[0]
}
