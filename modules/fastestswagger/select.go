package fastestswagger

import (
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-freetier/caddy-freetier/internal/openrequests"
)

// Select returns the available upstream that answers soonest: the one whose
// page loads fastest, counting the requests that it already has to answer. It
// never returns one that Caddy holds unavailable, nor, while another one is
// left, one that the request has tried already.
func (s *Selection) Select(pool reverseproxy.UpstreamPool, r *http.Request, w http.ResponseWriter) *reverseproxy.Upstream {
	vars, _ := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	before := vars[s.triedVar]
	if before != nil {
		return s.selectAgain(pool, r, w, vars, before)
	}
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

// choose returns the best available upstream of the pool, if there is one. It
// runs for each request: no lock, no allocation.
func (s *Selection) choose(pool reverseproxy.UpstreamPool, r *http.Request, w http.ResponseWriter) *reverseproxy.Upstream {
	var (
		rk       = s.ranking.Load()
		best     *reverseproxy.Upstream
		bestRank *rank
		bestCost float64
		passed   *rank // sleeps, and would be the best if it did not
		passedAt float64
		open     = openrequests.CounterOf(r)
	)
	for i, u := range pool {
		e := rk.of(i, u)
		if e.dynamic {
			s.meet(e, u)
		}
		cost := e.cost * float64(1+open(u))
		sleeper := e.class == asleep && (passed == nil || cost < passedAt)
		better := best == nil || e.class < bestRank.class || e.class == bestRank.class && cost < bestCost
		if !sleeper && !better || !u.Available() {
			continue
		}
		if sleeper {
			passed, passedAt = e, cost
		}
		if better {
			best, bestRank, bestCost = u, e, cost
		}
	}
	if best == nil {
		return nil
	}
	if !bestRank.measured && !rk.anyMeasured(pool) {
		best, bestRank = s.fallBack(rk, pool, r, w, best, bestRank)
	}
	if passed != nil && bestRank.class == passing && passedAt < bestCost {
		s.wish(passed.member)
	}
	if m := bestRank.member; m != nil {
		if bestRank.sleeps {
			s.rouse(r.Context(), m)
		}
		if !m.used.Load() {
			m.used.Store(true)
			s.awake.Touch(m.name, s.clock.Now())
		}
	}
	return best
}

// anyMeasured tells whether there is an available upstream with a score that
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

// meet notes that a dynamic upstream is still there. One that is new is handed
// to the background task without waiting: it comes again with the next request.
func (s *Selection) meet(e *rank, u *reverseproxy.Upstream) {
	if e.member == nil {
		select {
		case s.unseen <- stranger{dial: u.Dial, host: u.Host}:
		default:
		}
		return
	}
	if !e.member.seen.Load() {
		e.member.seen.Store(true)
	}
}
