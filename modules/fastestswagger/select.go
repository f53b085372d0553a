package fastestswagger

import (
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-freetier/caddy-freetier/internal/openrequests"
)

// Select returns the upstream that responds soonest: the one whose page loads
// fastest, counting the requests that are under way to it. Upstreams that
// Caddy holds unavailable only because requests to them have failed come last,
// other unavailable ones never. While another one is left, none is returned
// that the request has tried already. For a request whose body is gone none is
// returned.
func (s *Selection) Select(pool reverseproxy.UpstreamPool, r *http.Request, w http.ResponseWriter) *reverseproxy.Upstream {
	vars, _ := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	before := vars[s.triedVar]
	if before != nil {
		if isSent(r) {
			return nil // so that the client gets the response of the attempt before
		}
		return s.selectAgain(pool, r, w, vars, before)
	}
	watchBody(r)
	u := s.choose(pool, r, w)
	if u != nil && vars != nil {
		// Most requests need one try: a list is made when there is a second.
		vars[s.triedVar] = u
	}
	return u
}

// selectAgain selects for another try of a request. When all that are left
// are unavailable the round begins anew.
func (s *Selection) selectAgain(
	pool reverseproxy.UpstreamPool, r *http.Request, w http.ResponseWriter, vars map[string]any, before any,
) *reverseproxy.Upstream {
	tried, ok := before.([]*reverseproxy.Upstream)
	if !ok {
		tried = []*reverseproxy.Upstream{before.(*reverseproxy.Upstream)}
	}
	u := s.choose(without(pool, tried), r, w)
	if u == nil {
		tried = nil
		u = s.choose(pool, r, w)
	}
	if u != nil {
		vars[s.triedVar] = append(tried, u)
	}
	return u
}

// without returns the upstreams of the pool that were not tried. A static
// upstream is known by its pointer. A dynamic source returns new values each
// time: there an address that was tried once stands for one of its upstreams.
func without(pool reverseproxy.UpstreamPool, tried []*reverseproxy.Upstream) reverseproxy.UpstreamPool {
	gone := make(map[string]int)
	for _, t := range tried {
		if !slices.Contains(pool, t) {
			gone[t.Dial]++
		}
	}
	left := make(reverseproxy.UpstreamPool, 0, len(pool))
	for _, u := range pool {
		switch {
		case slices.Contains(tried, u):
		case gone[u.Dial] > 0:
			gone[u.Dial]--
		default:
			left = append(left, u)
		}
	}
	return left
}

// choose returns the best available upstream of the pool, or else the best of
// those that have only failed, if there is one. It runs for each request: no
// lock, no allocation.
func (s *Selection) choose(pool reverseproxy.UpstreamPool, r *http.Request, w http.ResponseWriter) *reverseproxy.Upstream {
	var (
		rk          = s.board.ranking.Load()
		best        *reverseproxy.Upstream
		bestRank    *rank
		bestCost    float64
		sleeper     *rank // would be the best if it did not sleep
		sleeperCost float64
		open        = openrequests.CounterOf(r)
		last        *reverseproxy.Upstream // is tried when none is available
		lastRank    *rank
		lastCost    float64
	)
	for i, u := range pool {
		e := rk.of(i, u)
		if e.dynamic {
			s.noteSeen(e, u)
		}
		cost := e.cost * float64(1+open(u))
		isSleeper := e.class == asleep && (sleeper == nil || cost < sleeperCost)
		better := best == nil || e.before(cost, bestRank, bestCost)
		if !isSleeper && !better {
			continue
		}
		if !u.Available() {
			if best == nil && (last == nil || e.before(cost, lastRank, lastCost)) && s.hasOnlyFailed(u) {
				last, lastRank, lastCost = u, e, cost
			}
			continue
		}
		if isSleeper {
			sleeper, sleeperCost = e, cost
		}
		if better {
			best, bestRank, bestCost = u, e, cost
		}
	}
	if best == nil {
		if last == nil {
			return nil
		}
		best, bestRank, bestCost = last, lastRank, lastCost
	}
	if !bestRank.measured && !rk.anyMeasured(pool) {
		best, bestRank = s.fallBack(rk, pool, r, w, best, bestRank)
	}
	if sleeper != nil && bestRank.class == passing && sleeperCost < bestCost {
		s.prober.requestWake(sleeper.known)
	}
	if u := bestRank.known; u != nil {
		if bestRank.sleeps {
			s.prober.wakeForRequests(r.Context(), u)
		}
		if !u.used.Load() {
			u.used.Store(true)
			s.awake.Touch(u.name, s.clock.Now())
		}
	}
	return best
}

// hasOnlyFailed reports whether an unavailable upstream is that because requests
// to it have failed, which may be the fault of the requests. Were all such
// upstreams refused, one URL that fails everywhere would take down the others.
func (s *Selection) hasOnlyFailed(u *reverseproxy.Upstream) bool {
	return s.passive != nil && !u.Full() && u.Host.Fails() >= s.passive.MaxFails
}

// anyMeasured reports whether there is an available upstream with a score that
// counts.
func (rk *ranking) anyMeasured(pool reverseproxy.UpstreamPool) bool {
	for i, u := range pool {
		if rk.of(i, u).measured && u.Available() {
			return true
		}
	}
	return false
}

// fallBack lets the fallback policy choose, among those that have not been
// measured if there are any, or else among those that fail.
func (s *Selection) fallBack(
	rk *ranking, pool reverseproxy.UpstreamPool, r *http.Request, w http.ResponseWriter, best *reverseproxy.Upstream, bestRank *rank,
) (*reverseproxy.Upstream, *rank) {
	equals := pool
	if bestRank.class != failing {
		equals = slices.DeleteFunc(slices.Clone(pool), func(u *reverseproxy.Upstream) bool {
			return rk.of(notThere, u).class != bestRank.class
		})
	}
	u := s.fallback.Select(equals, r, w)
	if u == nil || !u.Available() {
		return best, bestRank
	}
	return u, rk.of(notThere, u)
}

// noteSeen records that a dynamic upstream is still there. The prober is
// informed of one that is new.
func (s *Selection) noteSeen(e *rank, u *reverseproxy.Upstream) {
	if e.known == nil {
		s.prober.discover(discovery{dial: u.Dial, host: u.Host})
		return
	}
	if !e.known.seen.Load() {
		e.known.seen.Store(true)
	}
}
