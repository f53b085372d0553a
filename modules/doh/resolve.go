package doh

import (
	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
	"github.com/caddy-freetier/caddy-freetier/modules/doh/pool"
)

// The sources of responses, as values of the field `source` in the query log.
const (
	sourceHosts    = "hosts"
	sourceFor      = "for"
	sourceLocal    = "local"
	sourceFilter   = "filter"
	sourceUpstream = "upstream"
)

// resolver answers queries. The first source that has an answer is used: `hosts`,
// the upstreams of `for`, local names, the upstreams. It does not change after
// Provision.
type resolver struct {
	hosts  *hosts
	routes routes
	local  bool // whether local names are answered here
	filter filter
	pool   *pool.Pool
}

// outcome is the response to a query.
type outcome struct {
	response *dnsmsg.Response
	elapsed  uint32 // seconds since it was stored in the cache
	source   string // one of the constants above
}

// resolve answers a query.
func (r *resolver) resolve(q *dnsmsg.Query) outcome {
	var buf [dnsmsg.MaxName]byte
	name := q.Name(&buf)
	if resp := protocol(q, name); resp != nil {
		return outcome{response: resp, source: sourceLocal}
	}
	if q.Class() != dnsmsg.ClassIN {
		return r.ask(r.pool, q, sourceUpstream)
	}
	if resp := r.hosts.resolve(q, name); resp != nil {
		return outcome{response: resp, source: sourceHosts}
	}
	if p := r.routes.find(name); p != nil {
		return r.ask(p, q, sourceFor)
	}
	if r.local {
		if resp := localResponse(q, name); resp != nil {
			return outcome{response: resp, source: sourceLocal}
		}
	}
	return r.ask(r.pool, q, sourceUpstream)
}

// ask returns the response of upstreams, unless the query's type is withheld or
// there are no upstreams.
func (r *resolver) ask(p *pool.Pool, q *dnsmsg.Query, source string) outcome {
	if resp := r.filter.refuse(q); resp != nil {
		return outcome{response: resp, source: sourceFilter}
	}
	if p.Empty() {
		b := dnsmsg.NewBuilder(q, dnsmsg.RcodeRefused)
		b.Explain(dnsmsg.EDENotAuthoritative, "only local names are answered here")
		return outcome{response: b.Response(), source: sourceLocal}
	}
	resp, elapsed, err := p.Resolve(q)
	if err != nil {
		return outcome{response: pool.Unanswered(q, err), source: source}
	}
	return outcome{resp, elapsed, source}
}
