package doh

import (
	"fmt"

	"github.com/caddy-freetier/caddy-freetier/internal/capacity"
	"github.com/caddy-freetier/caddy-freetier/modules/doh/pool"
)

// Capacity reports the quotas of the upstreams and the limits of the clients, for
// `caddy freetier plan`.
func (h *Handler) Capacity() (r capacity.Report) {
	configs := []pool.Config{h.Config}
	for _, route := range h.For {
		configs = append(configs, route.Config)
	}
	for _, config := range configs {
		config.Capacity(&r)
	}
	if warning := h.openQuotasWarning(); warning != "" {
		r.Warn(warning)
	}
	for _, u := range h.Clients {
		if len(u.Limits) == 0 {
			r.DNSUsers = append(r.DNSUsers, capacity.Of(u.Name, 1, nil))
		}
		for _, q := range u.Limits {
			r.DNSUsers = append(r.DNSUsers, capacity.Of(u.Name, 1, q))
		}
	}
	given, bounded := capacity.Total(r.DNS)
	allowed, limited := capacity.Total(r.DNSUsers)
	if bounded && limited && allowed > given {
		r.Warn(fmt.Sprintf("the limits of the clients add up to %d queries a month, and the quotas of the upstreams to %d: lower the limits, or add an upstream without a quota as tier 2", allowed, given))
	}
	return r
}

// Capacity reports the quotas of the upstreams.
func (s *Source) Capacity() (r capacity.Report) {
	s.Config.Capacity(&r)
	return r
}
