package llmgateway

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

const (
	// sharedAnew is up to how many keys the shares are found out for each request,
	// those of more once in sharesInterval.
	sharedAnew     = 64
	sharesInterval = time.Second
)

// shares are by how much each of several members should be asked, as KeyPolicyQuota
// has it.
//
// A share is what is left for each second (candidate.pace): of requests, or of tokens
// where requests have no quota. It is 0 for what may not be used. It is replaced as a
// whole and never changed.
type shares struct {
	at   time.Time
	sums []float64 // of each member and those before it
}

// sharer keeps the last shares.
type sharer struct{ latest atomic.Pointer[shares] }

// of returns the shares of n members with so many keys, each of which of returns.
//
// A list that is a second old costs little: a key that was exhausted since is passed
// over when it is claimed. The number of members is compared since keys may have been
// read again.
func (s *sharer) of(n, keys int, now time.Time, of func(i int) float64) *shares {
	if known := s.latest.Load(); known != nil && keys > sharedAnew {
		if age := now.Sub(known.at); age >= 0 && age < sharesInterval && len(known.sums) == n {
			return known
		}
	}
	fresh := &shares{at: now, sums: make([]float64, n)}
	total := 0.0
	for i := range n {
		total += of(i)
		fresh.sums[i] = total
	}
	if keys > sharedAnew {
		s.latest.Store(fresh)
	}
	return fresh
}

// total returns the sum of all shares.
func (s *shares) total() float64 { return s.sums[len(s.sums)-1] }

// pick returns a member at random, by its share, and false if none has one.
//
// A member without a share is never picked, since its sum is that of the one before it.
func (s *shares) pick() (i int, ok bool) {
	if s.total() <= 0 {
		return 0, false
	}
	at := rand.Float64() * s.total()
	i, _ = slices.BinarySearchFunc(s.sums, at, func(sum, at float64) int {
		if sum > at {
			return 1
		}
		return -1
	})
	return min(i, len(s.sums)-1), true
}

// keyShares returns the shares of a leg's keys: what is left of their quotas for the
// time that is left of the period, and nothing for those that may not be used.
func (l *leg) keyShares(now time.Time) *shares {
	set := l.keySet()
	return set.shares.of(set.len(), set.len(), now, func(i int) float64 {
		c := candidate{channel: l.channel, key: set.at(i), model: l.model, measures: l.measures}
		if !c.block(now).Until.IsZero() {
			return 0
		}
		return c.pace(now)
	})
}

// hasQuota reports whether the leg's keys have quotas.
func (l *leg) hasQuota() bool {
	return len(l.channel.Quotas) > 0 || l.measures != nil && len(l.channel.modelQuotas.of(l.measures)) > 0
}

// legShares returns the shares of a group's channels: those of their keys, by weight.
// One without quotas gets the mean of those that have one.
func (g *group) legShares(now time.Time) *shares {
	keys := 0
	for _, l := range g.legs {
		keys += l.keySet().len()
	}
	mean := sync.OnceValue(func() float64 { return g.meanShare(now) })
	return g.shares.of(len(g.legs), keys, now, func(i int) float64 {
		l := g.legs[i]
		var share float64
		if l.hasQuota() {
			share = l.keyShares(now).total()
		} else {
			share = mean()
		}
		return share * float64(l.channel.Weight)
	})
}

// meanShare returns the mean share of the channels that have quotas.
func (g *group) meanShare(now time.Time) float64 {
	sum, n := 0.0, 0
	for _, l := range g.legs {
		if l.hasQuota() {
			sum += l.keyShares(now).total()
			n++
		}
	}
	if n == 0 {
		return 1
	}
	return max(sum/float64(n), 1e-9) // when the quotas of all others are used up
}

// paces are the slowest of several.
type paces struct{ requests, tokens float64 }

func (p *paces) addMeters(l *limits, now time.Time) {
	for _, m := range l.requests {
		p.requests = min(p.requests, paceOf(m.Left(), m.Renews(), now))
	}
	for _, m := range l.tokens {
		p.tokens = min(p.tokens, paceOf(m.Left(), m.Renews(), now))
	}
}

// addUnused adds quotas of which nothing is used.
func (p *paces) addUnused(quotas []*quota.Quota, now time.Time) {
	for _, q := range quotas {
		_, renews := q.Period.Bounds(now.UTC())
		if pace := paceOf(q.Amount, renews, now); q.Unit == ledger.Tokens {
			p.tokens = min(p.tokens, pace)
		} else {
			p.requests = min(p.requests, pace)
		}
	}
}

// paceOf returns what is left for each second. The last second counts whole, so that
// it stays finite.
func paceOf(left int64, renews, now time.Time) float64 {
	return float64(left) / max(1, renews.Sub(now).Seconds())
}
