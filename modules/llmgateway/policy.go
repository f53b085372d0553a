package llmgateway

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-freetier/caddy-freetier/internal/openrequests"
)

// balancer chooses among the channels of a tier: by weight, or as lb_policy does.
//
// It is made in Provision and only read afterwards. choice has an upstream for each
// channel, the same one for each request, because policies such as those with cookies
// or hashes go by the upstream.
type balancer struct {
	policy reverseproxy.Selector // unset: by weight
	choice map[*Channel]*reverseproxy.Upstream
	open   openrequests.Counter // what the policy learns of open requests
}

// newBalancer loads lb_policy into a reverse proxy of its own, which passes no
// request: a policy may look at the upstreams and the transport around it.
func newBalancer(ctx caddy.Context, policy json.RawMessage, channels []*Channel) (b balancer, err error) {
	if policy == nil {
		return b, nil
	}
	proxy := &reverseproxy.Handler{LoadBalancing: &reverseproxy.LoadBalancing{SelectionPolicyRaw: policy}}
	for _, c := range channels {
		proxy.Upstreams = append(proxy.Upstreams, &reverseproxy.Upstream{Dial: c.dial})
	}
	if proxy, err = loadProxy(ctx, proxy); err != nil {
		return b, fmt.Errorf("loading the policy: %w", err)
	}
	b.policy, b.choice = proxy.LoadBalancing.SelectionPolicy, make(map[*Channel]*reverseproxy.Upstream, len(channels))
	byUpstream := make(map[*reverseproxy.Upstream]*Channel, len(channels))
	for i, c := range channels {
		b.choice[c] = proxy.Upstreams[i]
		byUpstream[proxy.Upstreams[i]] = c
	}
	b.open = func(u *reverseproxy.Upstream) int {
		if c := byUpstream[u]; c != nil {
			return int(c.open.Load())
		}
		return 0
	}
	return b, nil
}

// choose returns the index of the channel to ask next. Caddy's policies that
// count open requests would count those of reverse_proxy only, so these two are
// done here.
//
// equals are channels of one tier that have the model and meet the step's demand, never
// empty. A policy may set a cookie through w.
func (b *balancer) choose(equals []*Channel, r *http.Request, w http.ResponseWriter) int {
	if len(equals) == 1 {
		return 0
	}
	switch policy := b.policy.(type) {
	case nil:
		return byWeight(equals)
	case *reverseproxy.LeastConnSelection:
		return leastOpen(equals, len(equals))
	case *reverseproxy.RandomChoiceSelection:
		return leastOpen(equals, policy.Choose)
	}
	openrequests.Set(r, b.open)
	pool := make(reverseproxy.UpstreamPool, len(equals))
	for i, channel := range equals {
		pool[i] = b.choice[channel]
	}
	// A policy that finds none available leaves the order to us.
	return max(0, slices.Index(pool, b.policy.Select(pool, r, w)))
}

// leastOpen returns, of n channels taken at random, the index of the one with
// the fewest open requests.
func leastOpen(channels []*Channel, n int) int {
	best := -1
	for _, i := range rand.Perm(len(channels))[:min(n, len(channels))] {
		if best < 0 || channels[i].open.Load() < channels[best].open.Load() {
			best = i
		}
	}
	return best
}

// byWeight returns an index at random, in proportion to the weights.
func byWeight(channels []*Channel) int {
	total := 0
	for _, c := range channels {
		total += c.Weight
	}
	at := rand.IntN(total)
	for i, c := range channels {
		if at -= c.Weight; at < 0 {
			return i
		}
	}
	return 0
}

// discardHeader is a response writer for policies whose choice sets no cookie.
type discardHeader struct{ http.ResponseWriter }

func (discardHeader) Header() http.Header { return make(http.Header) }
