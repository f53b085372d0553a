package doh

import (
	"math/rand/v2"
	"slices"
)

// policies are the names that `policy` takes.
var policies = []string{policyRandom}

// policyRandom picks by weight, and within a query none twice.
const policyRandom = "random"

// pick returns an upstream that was not tried yet, of the first tier that has
// one, or nil.
func (p *Pool) pick(tried []*upstream) *upstream {
	for _, tier := range p.tiers {
		if u := pickRandom(tier, tried); u != nil {
			return u
		}
	}
	return nil
}

func pickRandom(tier, tried []*upstream) *upstream {
	total := 0
	for _, u := range tier {
		if !slices.Contains(tried, u) {
			total += u.weight
		}
	}
	if total == 0 {
		return nil
	}
	n := rand.IntN(total)
	for _, u := range tier {
		if slices.Contains(tried, u) {
			continue
		}
		if n -= u.weight; n < 0 {
			return u
		}
	}
	return nil // not reached
}
