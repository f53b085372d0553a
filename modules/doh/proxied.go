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

// proxied is a request on its way through a reverse_proxy, with what has to be
// known from one try to the next.
type proxied struct {
	source  *Source
	start   time.Time
	tries   int
	offered []reverseproxy.Upstream
	behind  []*pool.Account // the upstreams that were offered, in the same order
	query   *dnsmsg.Query   // nil until the body was read
	lookup  pool.Lookup
}

func proxiedIn(r *http.Request) *proxied {
	p, _ := caddyhttp.GetVar(r.Context(), proxiedVar).(*proxied)
	return p
}

// offer returns the upstreams for the next try.
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

// chosen returns the upstream behind one that was offered.
func (p *proxied) chosen(choice *reverseproxy.Upstream) *pool.Account {
	for i := range p.offered {
		if &p.offered[i] == choice {
			return p.behind[i]
		}
	}
	return nil
}
