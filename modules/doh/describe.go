package doh

import (
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

// describe adds the upstreams, clients and responses to a status. A directive can
// become several handlers, for example one for each port of its site; what they
// share is added once.
func describe(h *Handler, now time.Time, s *status.Status) {
	dns := &s.DNS
	h.pool.Describe(now, dns)
	for _, r := range h.resolver.routes {
		r.pool.Describe(now, dns)
	}
	for _, u := range h.Clients {
		if !slices.ContainsFunc(dns.Clients, func(c status.DNSClient) bool { return c.Name == u.Name }) {
			dns.Clients = append(dns.Clients, u.describe(now))
		}
	}
	dns.Responses = collectors.responses.counts(rcodes)
}

// describe returns the status of a user, without the path.
func (u *User) describe(now time.Time) status.DNSClient {
	c := status.DNSClient{Name: u.Name, Queries: u.count.queries.Load(), Limited: u.count.limited.Load(), Limits: []status.Quota{}}
	for _, m := range u.meters {
		c.Limits = append(c.Limits, status.NewQuota(m, string(ledger.Queries), string(m.Period()), now))
	}
	return c
}

// counts returns the counts of the values that are not 0.
func (c counters) counts(values []string) []status.Count {
	all := []status.Count{}
	for _, value := range values {
		var m dto.Metric
		if err := c.byValue[value].Write(&m); err == nil && m.GetCounter().GetValue() > 0 {
			all = append(all, status.Count{Name: value, Count: int64(m.GetCounter().GetValue())})
		}
	}
	return all
}
