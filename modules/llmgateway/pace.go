package llmgateway

import (
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
