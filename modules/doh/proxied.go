package doh

import (
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
	"github.com/caddy-freetier/caddy-freetier/modules/doh/pool"
)

// proxiedVar is the request variable that holds the *proxied.
const proxiedVar = "doh.proxied"

// proxied is the state of a request over the tries of a reverse_proxy. The proxy
// makes one try after the other, so it needs no lock.
type proxied struct {
	source  *Source
	start   time.Time
	tries   int                     // that have begun
	offered []reverseproxy.Upstream // for the current try
	behind  []*pool.Account         // the accounts of offered, in the same order
	query   *dnsmsg.Query           // nil until the body is read
	lookup  pool.Lookup
}

// proxiedIn returns the state of a request, or nil if Source has not set any.
func proxiedIn(r *http.Request) *proxied {
	p, _ := caddyhttp.GetVar(r.Context(), proxiedVar).(*proxied)
	return p
}

// offer returns the upstreams for the next try. They are new values each time:
// reverse_proxy writes to those that it gets from a dynamic source.
func (p *proxied) offer() []*reverseproxy.Upstream {
	p.behind = p.source.pool.Left(&p.lookup)
	p.offered = make([]reverseproxy.Upstream, len(p.behind))
	pointers := make([]*reverseproxy.Upstream, len(p.behind))
	for i, u := range p.behind {
		p.offered[i].Dial = u.Addr()
		pointers[i] = &p.offered[i]
	}
	return pointers
}

// chosen returns the account of an upstream that was offered. Upstreams are compared
// by pointer, since two accounts at one host have the same address.
func (p *proxied) chosen(choice *reverseproxy.Upstream) *pool.Account {
	for i := range p.offered {
		if &p.offered[i] == choice {
			return p.behind[i]
		}
	}
	return nil
}
