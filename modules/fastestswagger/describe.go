package fastestswagger

import (
	"slices"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

// describe adds the pool's upstreams to a status. One proxy of a Caddyfile can
// become several, with equal pools, which are shown once.
func (s *Selection) describe(_ time.Time, all *status.Status) {
	pool := 1
	if n := len(all.Upstreams); n > 0 {
		pool = all.Upstreams[n-1].Pool + 1
	}
	var upstreams []status.Upstream
	for _, u := range s.status() {
		upstreams = append(upstreams, status.Upstream{
			Name: u.Upstream, Page: u.Page, Pool: pool, Winner: u.Winner, State: u.Condition,
			ScoreMS: u.ScoreMS, LastMS: u.LastLoadMS, LastLoad: u.LastProbe,
			Failures: u.ConsecutiveFailures, LastError: u.LastError, Reason: u.reason, Why: u.Why,
			History: status.NoHistory(),
		})
	}
	if !hasPool(all.Upstreams, upstreams) {
		all.Upstreams = append(all.Upstreams, upstreams...)
	}
}

// hasPool reports whether a pool with the same upstreams and pages is among all.
func hasPool(all, pool []status.Upstream) bool {
	same := func(a, b status.Upstream) bool { return a.Name == b.Name && a.Page == b.Page }
	for first := 0; first < len(all); {
		after := first
		for after < len(all) && all[after].Pool == all[first].Pool {
			after++
		}
		if slices.EqualFunc(all[first:after], pool, same) {
			return true
		}
		first = after
	}
	return false
}

// sample returns what came of a load, for the history of the upstream.
func (p *prober) sample(u *upstream, after *record) status.Sample {
	s := status.Sample{
		Kind: status.SampleUpstream, Name: status.UpstreamSeries(u.name, p.loader.page.Path), At: after.lastAt,
		OK: !after.failing() || after.waking(), Cold: after.waking(),
	}
	if !after.failing() {
		s.Latency = after.lastLoad
	}
	return s
}
