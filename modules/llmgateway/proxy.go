package llmgateway

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// provisionProxy builds the reverse_proxy that makes the tries. When to go on
// is the transport's decision, which answers with an error only as long as
// there is a candidate left; so the proxy itself may always try again.
func (h *Handler) provisionProxy(ctx caddy.Context) (err error) {
	candidates := 0
	for _, c := range h.Channels {
		candidates += max(1, len(c.keys()))
	}
	candidates *= 1 + len(h.Fallbacks)
	h.proxy, err = h.newProxy(ctx, &reverseproxy.LoadBalancing{
		SelectionPolicyRaw: json.RawMessage(`{"policy":"model-field"}`),
		Retries:            candidates + 1,
		// Without a matcher a POST is not tried again. This one matches every
		// request, and is asked only after a failed try.
		RetryMatchRaw: caddyhttp.RawMatcherSets{{"path": json.RawMessage(`["*"]`)}},
	})
	if err != nil {
		return fmt.Errorf("building the proxy: %w", err)
	}
	for i, c := range h.Channels {
		c.upstream = h.proxy.Upstreams[i]
	}
	return nil
}

// provisionPolicy loads lb_policy into a proxy of its own, which passes no
// request: a policy may want to see the upstreams and the transport around it.
func (h *Handler) provisionPolicy(ctx caddy.Context) error {
	if h.LBPolicyRaw == nil {
		return nil
	}
	proxy, err := h.newProxy(ctx, &reverseproxy.LoadBalancing{SelectionPolicyRaw: h.LBPolicyRaw})
	if err != nil {
		return fmt.Errorf("loading the policy: %w", err)
	}
	h.lbPolicy = proxy.LoadBalancing.SelectionPolicy
	for i, c := range h.Channels {
		c.choice = proxy.Upstreams[i]
	}
	return nil
}

// newProxy returns a reverse_proxy to all channels.
func (h *Handler) newProxy(ctx caddy.Context, balancing *reverseproxy.LoadBalancing) (*reverseproxy.Handler, error) {
	proxy := &reverseproxy.Handler{TransportRaw: json.RawMessage(`{"protocol":"llm_channel"}`), LoadBalancing: balancing}
	for _, c := range h.Channels {
		proxy.Upstreams = append(proxy.Upstreams, &reverseproxy.Upstream{Dial: c.dial})
	}
	raw, err := json.Marshal(proxy)
	if err != nil {
		return nil, err
	}
	mod, err := ctx.LoadModuleByID("http.handlers.reverse_proxy", raw)
	if err != nil {
		return nil, err
	}
	return mod.(*reverseproxy.Handler), nil
}

// probe makes a request of a policy's own, such as the page that
// fastest-swagger loads: to the root of the channel's host, without a key.
func (t *ChannelTransport) probe(req *http.Request) (*http.Response, error) {
	if t.gateway == nil {
		return nil, errOutsideGateway
	}
	for _, c := range t.gateway.Channels {
		if c.dial == req.URL.Host {
			out := req.Clone(req.Context())
			out.URL.Scheme, out.Host = c.base.Scheme, c.base.Host
			return c.http.RoundTrip(out)
		}
	}
	return nil, errOutsideGateway
}

// unheard is a client that is told nothing.
type unheard struct{ http.ResponseWriter }

func (unheard) Header() http.Header { return make(http.Header) }
