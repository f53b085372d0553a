package doh

import (
	"net/http"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// proxiedVar is the request variable that holds the *proxied.
const proxiedVar = "doh.proxied"

// proxied is a request on its way through a reverse_proxy, with what has to be
// known from one try to the next.
type proxied struct {
	pool    *Pool
	start   time.Time
	tries   int
	offered []reverseproxy.Upstream
	behind  []*upstream // the upstreams that were offered, in the same order
	lookup  lookup
}

func proxiedIn(r *http.Request) *proxied {
	p, _ := caddyhttp.GetVar(r.Context(), proxiedVar).(*proxied)
	return p
}

// offer returns the upstreams for the next try.
func (p *proxied) offer() []*reverseproxy.Upstream {
	p.behind = p.pool.left(p.lookup.tried)
	p.offered = make([]reverseproxy.Upstream, len(p.behind))
	pointers := make([]*reverseproxy.Upstream, len(p.behind))
	for i, u := range p.behind {
		p.offered[i].Dial = u.addr
		pointers[i] = &p.offered[i]
	}
	return pointers
}

// chosen returns the upstream behind one that was offered.
func (p *proxied) chosen(choice *reverseproxy.Upstream) *upstream {
	for i := range p.offered {
		if &p.offered[i] == choice {
			return p.behind[i]
		}
	}
	return nil
}

// left returns those of the first tier that has upstreams left that were not
// tried, or when all were tried, the first tier.
func (p *Pool) left(tried []*upstream) []*upstream {
	for _, tier := range p.tiers {
		left := slices.DeleteFunc(slices.Clone(tier), func(u *upstream) bool {
			return u.exhausted() || slices.Contains(tried, u)
		})
		if len(left) > 0 {
			return left
		}
	}
	return p.tiers[0]
}
