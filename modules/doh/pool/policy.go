package pool

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The values of the option `policy`.
const (
	// PolicyQuota chooses in proportion to what remains of each quota, divided by
	// the time that remains of its period. So all quotas last until their period
	// ends. Without quotas it is PolicyRandom.
	PolicyQuota = "quota"

	// PolicyRandom chooses at random, by weight.
	PolicyRandom = "random"

	// PolicyFastest chooses the account with the lowest decayed latency, in which
	// a failure counts as a whole timeout. One query in explore is random, so that
	// all accounts are measured from time to time.
	PolicyFastest = "fastest"

	// PolicyRoundRobin chooses one after the other.
	PolicyRoundRobin = "round_robin"
)

// Policies are the values of the option `policy`.
var Policies = []string{PolicyQuota, PolicyRandom, PolicyFastest, PolicyRoundRobin}

// explore is how many queries of PolicyFastest have one random choice among them.
const explore = 20

// The bounds of the tiers' numbers.
const (
	firstTier = 1
	lastTier  = math.MaxInt
)

// selector chooses the account for the next attempt.
type selector struct {
	policy string       // one of Policies
	tiers  [][]*Account // in order; none is empty. Never changes after Open.
	turn   atomic.Uint32
	turns  turns
}

// pick returns the account for the next attempt, or nil: the policy's choice in the
// first tier, between from and upTo, that has an account which was not tried and
// has quota left. If there is none outside a cooldown, one in cooldown is taken:
// an unlikely answer is better than none. A cooldown that has just ended is
// acquired, so that only one query makes the trial.
func (s *selector) pick(tried []*Account, from, upTo int, now time.Time) *Account {
	for _, inCooldown := range []bool{false, true} {
		for i := range s.tiers {
			if tier := s.tiers[i][0].tier; tier < from || tier > upTo {
				continue
			}
			for {
				a := s.choose(i, tried, inCooldown, now)
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

// choose returns the policy's choice in a tier, given by its index, or nil.
// Accounts in cooldown are left out unless inCooldown is set.
func (s *selector) choose(number int, tried []*Account, inCooldown bool, now time.Time) *Account {
	tier := s.tiers[number]
	var stack [16]float64 // no allocation for pools of the usual size
	shares := s.shares(stack[:0], tier, now)
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
	case s.policy == PolicyQuota:
		return s.turns.next(number, tier, shares, total)
	case s.policy == PolicyRoundRobin:
		first := int(s.turn.Add(1) - 1)
		for i := range tier {
			if at := (first + i) % len(tier); shares[at] > 0 {
				return tier[at]
			}
		}
	case s.policy == PolicyFastest && rand.N(explore) > 0:
		return fastest(tier, shares)
	}
	n := rand.Float64() * total // PolicyRandom, and an exploring PolicyFastest
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

// fastest returns the account with the lowest score of those that have a share. A
// score of 0 is the lowest: an account without one is measured next.
func fastest(tier []*Account, shares []float64) (best *Account) {
	for i, u := range tier {
		if shares[i] > 0 && (best == nil || u.score.Load() < best.score.Load()) {
			best = u
		}
	}
	return best
}

// turns distributes queries by shares without randomness (smooth weighted
// round-robin): for each query every account gains credit by its share, and the
// one with the most credit pays for the query. So each account is within one
// query of its share at any time, where random choices would exhaust a small
// quota early.
type turns struct {
	mu     sync.Mutex
	credit [][]float64 // by tier and account; guarded by mu
}

// next returns the account of a tier whose turn it is. shares has a share for each
// account, 0 for those that must not be chosen, and total is their sum.
func (t *turns) next(number int, tier []*Account, shares []float64, total float64) *Account {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.credit) <= number {
		t.credit = append(t.credit, nil)
	}
	for len(t.credit[number]) < len(tier) {
		// Random, or else the first account would get the first query after
		// every restart.
		t.credit[number] = append(t.credit[number], rand.Float64())
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

// shares appends the share of each account of a tier. With PolicyQuota the share is
// the pace that exhausts the quota at the end of its period; an account without a
// quota gets the mean pace of the others. Other policies have equal shares. The
// weight multiplies both.
func (s *selector) shares(shares []float64, tier []*Account, now time.Time) []float64 {
	sum, quotas := 0.0, 0
	if s.policy == PolicyQuota {
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
			// Not 0, so that it is still chosen when all quotas are exhausted.
			shares[i] = max(mean, 1e-9)
		}
		shares[i] *= float64(u.weight)
	}
	return shares
}

// mustWait reports whether Retry-After is not over for every account that has
// quota left.
func (s *selector) mustWait(now time.Time) bool {
	for _, tier := range s.tiers {
		if slices.ContainsFunc(tier, func(a *Account) bool { return !a.exhausted() && !a.mustWait(now) }) {
			return false
		}
	}
	return true
}

// silent reports whether no answer is likely soon: each account has no quota left,
// is in cooldown, or did not respond to its last query.
func (s *selector) silent(now time.Time) bool {
	for _, tier := range s.tiers {
		if slices.ContainsFunc(tier, func(a *Account) bool { return !a.exhausted() && !a.silent() && !a.inCooldown(now) }) {
			return false
		}
	}
	return true
}

// exhausted reports whether the quotas of all upstreams are exhausted.
func (s *selector) exhausted() bool {
	for _, tier := range s.tiers {
		if slices.ContainsFunc(tier, func(u *Account) bool { return !u.exhausted() }) {
			return false
		}
	}
	return true
}

// untried returns the accounts of the first tier with any that were not tried and
// have quota left, or the whole first tier if there are none.
func (s *selector) untried(tried []*Account) []*Account {
	for _, tier := range s.tiers {
		left := slices.DeleteFunc(slices.Clone(tier), func(a *Account) bool {
			return a.exhausted() || slices.Contains(tried, a)
		})
		if len(left) > 0 {
			return left
		}
	}
	return s.tiers[0]
}

// whyNone returns the error for a query that pick returns no account for.
func (s *selector) whyNone(now time.Time) error {
	switch {
	case s.exhausted():
		return errExhausted
	case s.mustWait(now):
		return errMustWait
	}
	return errNoUpstreams
}
