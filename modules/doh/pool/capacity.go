package pool

import (
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/capacity"
)

// withoutFilter are hosts whose free accounts answer without filtering once the
// quota is exhausted, with that quota. Nothing in a response shows it, so the
// upstream would never be put in cooldown.
//
// Source: nextdns.io/pricing.
var withoutFilter = map[string]string{"dns.nextdns.io": "300000/month"}

// Capacity adds the quotas of the upstreams to a report. Upstreams whose settings
// are invalid are left out; loading them reports the error.
func (c *Config) Capacity(r *capacity.Report) {
	all, err := settingsOf(c.Upstreams)
	if err != nil {
		return
	}
	for _, s := range all {
		described := capacity.Of(s.Name, 1, s.Quota)
		if described.Shared == "" {
			described.Shared = s.URL // the same upstream in another block
		}
		r.DNS = append(r.DNS, described)
		address, err := ParseURL(s.URL)
		if err != nil {
			continue
		}
		if quota := withoutFilter[address.Hostname()]; quota != "" && s.Quota == nil {
			r.Warn("no response shows that the quota of this account is exhausted: it goes on answering, but does not filter; write quota "+quota, zap.String("upstream", s.Name))
		}
	}
}
