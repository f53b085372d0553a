package pool

import (
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/capacity"
)

// withoutFilter are hosts that go on answering without filtering once an account
// has used up its free queries, and what it has of them.
var withoutFilter = map[string]string{"dns.nextdns.io": "300000/month"}

// Capacity adds what the upstreams give. Their settings have been found to be
// right.
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
			r.Warn("without a quota nothing shows that this account is used up: it goes on answering, but does not filter; write quota "+quota, zap.String("upstream", s.Name))
		}
	}
}
