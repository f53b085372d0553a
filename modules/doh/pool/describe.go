package pool

import (
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

// Describe adds the upstreams to a status, except those that are in it already, and
// the counts of all pools' caches.
func (p *Pool) Describe(now time.Time, dns *status.DNS) {
	for _, tier := range p.selector.tiers {
		for _, a := range tier {
			known := func(u status.DNSUpstream) bool { return u.Name == a.name && u.Tier == a.tier }
			if !slices.ContainsFunc(dns.Upstreams, known) {
				dns.Upstreams = append(dns.Upstreams, a.describe(now))
			}
		}
	}
	dns.Cache = cacheCounts()
}

func (a *Account) describe(now time.Time) status.DNSUpstream {
	known := a.status()
	u := status.DNSUpstream{
		Name: known.Name, Tier: known.Tier, Queries: known.Queries, Failures: known.Failures,
		LatencyMS: known.LatencyMS, LastError: known.LastError,
	}
	if until := known.CooldownUntil; until != nil && until.After(now) {
		u.CooldownUntil = until
	}
	if m := a.meter.Load(); m != nil {
		q := status.NewQuota(m, string(ledger.Queries), string(m.Period()), now)
		u.Quota = &q
	}
	return u
}

// cacheCounts returns the number of queries by result, of all caches.
func cacheCounts() []status.Count {
	counts := []status.Count{}
	for _, result := range results {
		var m dto.Metric
		if err := collectors.byResult[result].Write(&m); err == nil && m.GetCounter().GetValue() > 0 {
			counts = append(counts, status.Count{Name: result, Count: int64(m.GetCounter().GetValue())})
		}
	}
	return counts
}
