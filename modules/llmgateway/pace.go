package llmgateway

import (
	"math"
	"slices"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// isLong reports whether a quota is of a day or longer.
func isLong(p ledger.Period) bool { return p.LongerThan(ledger.Hour) }

// hasPace reports whether a quota of the leg's keys is of a day or longer.
func (l *leg) hasPace() bool {
	long := func(q *quota.Quota) bool { return isLong(q.Period) }
	if slices.ContainsFunc(l.channel.Quotas, long) {
		return true
	}
	return l.measures != nil && slices.ContainsFunc(l.channel.modelQuotas.of(l.measures), long)
}

// isBeyondPace reports whether the candidate's key has used more of a quota of a day
// or longer than of the time, by a quarter of the quota: other keys come first, so
// that none is used up early.
func (c *candidate) isBeyondPace(now time.Time) bool {
	if c.key == nil || c.auxiliary {
		return false
	}
	if c.key.isBeyondPace(now) {
		return true
	}
	l := c.modelLimits()
	return l != nil && l.isBeyondPace(now)
}

// isBeyondPace reports whether more of a limit of a day or longer is used than of
// the time, by a quarter of the limit.
func (l *limits) isBeyondPace(now time.Time) bool {
	beyond := func(m *quota.Meter) bool { return isLong(m.Period()) && isBeyondPace(m, now) }
	return slices.ContainsFunc(l.requests, beyond) || slices.ContainsFunc(l.tokens, beyond)
}

func isBeyondPace(m *quota.Meter, now time.Time) bool {
	used, limit := m.Used(), m.Limit()
	if used <= limit/4 {
		return false
	}
	from, until := m.Window()
	passed := float64(now.Sub(from)) / float64(until.Sub(from))
	return float64(used) > float64(limit)*(passed+0.25)
}

// pace returns how many requests a second would just use up the quotas of the
// candidate's key by the end of their periods; tokens if no quota is of requests. It
// is 0 if one is used up, and 1 if there are none. Counts that nobody has needed yet
// are not begun.
func (c *candidate) pace(now time.Time) float64 {
	if c.key == nil {
		return 1
	}
	p := paces{requests: math.Inf(1), tokens: math.Inf(1)}
	p.addMeters(&c.key.limits, now)
	if c.measures != nil && c.channel.modelQuotas.any() {
		if known := c.key.byModel.of(c.model); known != nil {
			p.addMeters(known, now)
		} else {
			p.addUnused(c.channel.modelQuotas.of(c.measures), now)
		}
	}
	switch {
	case p.requests == 0 || p.tokens == 0:
		return 0
	case !math.IsInf(p.requests, 1):
		return p.requests
	case !math.IsInf(p.tokens, 1):
		return p.tokens
	}
	return 1
}
