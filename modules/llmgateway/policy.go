package llmgateway

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-freetier/caddy-freetier/internal/openrequests"
)

// provisionPolicy loads lb_policy into a reverse proxy of its own, which passes
// no request: a policy may look at the upstreams and the transport around it.
func (h *Handler) provisionPolicy(ctx caddy.Context) error {
	if h.LBPolicyRaw == nil {
		return nil
	}
	proxy := &reverseproxy.Handler{LoadBalancing: &reverseproxy.LoadBalancing{SelectionPolicyRaw: h.LBPolicyRaw}}
	for _, c := range h.Channels {
		proxy.Upstreams = append(proxy.Upstreams, &reverseproxy.Upstream{Dial: c.dial})
	}
	proxy, err := loadProxy(ctx, proxy)
	if err != nil {
		return fmt.Errorf("loading the policy: %w", err)
	}
	h.lbPolicy = proxy.LoadBalancing.SelectionPolicy
	byUpstream := make(map[*reverseproxy.Upstream]*Channel, len(h.Channels))
	for i, c := range h.Channels {
		c.choice = proxy.Upstreams[i]
		byUpstream[c.choice] = c
	}
	h.openRequests = func(u *reverseproxy.Upstream) int {
		if c := byUpstream[u]; c != nil {
			return int(c.open.Load())
		}
		return 0
	}
	return nil
}

// choose returns the index of the channel to ask next. Caddy's policies that
// count open requests would count those of reverse_proxy only, so these two are
// done here.
func (h *Handler) choose(equals []*Channel, r *http.Request, w http.ResponseWriter) int {
	if len(equals) == 1 {
		return 0
	}
	switch policy := h.lbPolicy.(type) {
	case nil:
		return byWeight(equals)
	case *reverseproxy.LeastConnSelection:
		return leastOpen(equals, len(equals))
	case *reverseproxy.RandomChoiceSelection:
		return leastOpen(equals, policy.Choose)
	}
	openrequests.Set(r, h.openRequests)
	pool := make(reverseproxy.UpstreamPool, len(equals))
	for i, channel := range equals {
		pool[i] = channel.choice
	}
	// A policy that finds none available leaves the order to us.
	return max(0, slices.Index(pool, h.lbPolicy.Select(pool, r, w)))
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
