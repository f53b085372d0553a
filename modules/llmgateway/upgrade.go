package llmgateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptrace"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"golang.org/x/net/http/httpguts"

	"github.com/caddy-freetier/caddy-freetier/internal/parent"
)

func init() {
	caddy.RegisterModule((*ChannelTransport)(nil))
}

// attemptsVar is the request variable through which ChannelTransport finds the attempts.
const attemptsVar = "llm_gateway.attempts"

// ChannelTransport is the transport of the reverse proxies that a gateway builds
// for itself: the one that carries WebSockets, and the one that carries
// lb_policy. It has no options and works inside llm_gateway only.
type ChannelTransport struct {
	gateway *Handler // set in Provision if a gateway loads the transport
}

// CaddyModule returns the Caddy module information.
func (*ChannelTransport) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.reverse_proxy.transport.llm_channel",
		New: func() caddy.Module { return new(ChannelTransport) },
	}
}

// Provision finds the gateway around.
func (t *ChannelTransport) Provision(ctx caddy.Context) error {
	t.gateway, _ = parent.Nearest[*Handler](ctx)
	return nil
}

var (
	errOutsideGateway = errors.New("the transport llm_channel works inside llm_gateway only")
	errNotSwitched    = errors.New("no channel has switched protocols")
)

// RoundTrip makes the attempts of a protocol upgrade, and the requests that a
// selection policy makes by itself. A response that does not switch protocols
// is left to the handler, which writes it as any other.
func (t *ChannelTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	as, ok := caddyhttp.GetVar(req.Context(), attemptsVar).(*attempts)
	if !ok {
		return t.probe(req)
	}
	if trace := httptrace.ContextClientTrace(req.Context()); trace != nil {
		// The proxy would pass on each informational response of each channel.
		trace.Got1xxResponse = nil
	}
	res, err := as.roundTrip(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		as.keepNotSwitched(res)
		return nil, errNotSwitched
	}
	return res, nil
}

// probe makes a request of a policy's own, such as the page that
// fastest-swagger loads: to the root of the channel's host, without a key.
func (t *ChannelTransport) probe(req *http.Request) (*http.Response, error) {
	if t.gateway == nil {
		return nil, errOutsideGateway
	}
	for _, c := range t.gateway.Channels {
		if c.dial == req.URL.Host {
			out := req.Clone(c.dialContext(req.Context()))
			out.URL.Scheme, out.Host = c.base.Scheme, c.base.Host
			return c.http.RoundTrip(out)
		}
	}
	return nil, errOutsideGateway
}

// newUpgrades builds the reverse proxy that carries protocol upgrades. It has one
// upstream, which it never dials: the transport makes the attempts.
func newUpgrades(ctx caddy.Context, channels []*Channel, closeDelay caddy.Duration) (*reverseproxy.Handler, error) {
	proxy, err := loadProxy(ctx, &reverseproxy.Handler{
		Upstreams:        reverseproxy.UpstreamPool{{Dial: channels[0].dial}},
		StreamCloseDelay: max(closeDelay, 0),
	})
	if err != nil {
		return nil, fmt.Errorf("building the proxy for upgrades: %w", err)
	}
	return proxy, nil
}

// loadProxy loads a reverse proxy over ChannelTransport as Caddy loads any
// module, so that Caddy cleans it up and its policy finds it.
func loadProxy(ctx caddy.Context, proxy *reverseproxy.Handler) (*reverseproxy.Handler, error) {
	proxy.TransportRaw = json.RawMessage(`{"protocol":"llm_channel"}`)
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

// isUpgrade reports whether the client asks for a WebSocket, over HTTP/1.1
// or by the extended CONNECT of HTTP/2 and 3 (RFC 8441, RFC 9220).
//
// It is for WebSockets only. A client that offers another protocol, such as the
// h2c of Java's, gets its response over the one that it speaks already.
func isUpgrade(r *http.Request) bool {
	switch {
	case r.Method == http.MethodConnect && r.ProtoMajor == 2:
		return r.Header.Get(":protocol") == "websocket"
	case r.Method == http.MethodConnect && r.ProtoMajor == 3:
		return r.Proto == "websocket"
	case r.Method != http.MethodGet || r.Header["Upgrade"] == nil || r.ProtoMajor != 1 || r.ProtoMinor == 0:
		return false
	}
	return httpguts.HeaderValuesContainsToken(r.Header["Upgrade"], "websocket") &&
		httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade")
}

// upgrade lets the proxy switch protocols. The channel that was tried last is
// the one that has switched.
func (g *gateway) upgrade(as *attempts, w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) {
	caddyhttp.SetVar(r.Context(), attemptsVar, as)
	inner := r.WithContext(r.Context()) // a shallow copy
	if r.Method != http.MethodConnect { // whose body is the tunnel itself
		inner.Body, inner.ContentLength, inner.TransferEncoding = http.NoBody, 0, nil
	}
	inner.Header = maps.Clone(r.Header)
	if inner.Header["Upgrade"] != nil {
		// The proxy would remove what else they name, or offer it to the channel.
		inner.Header["Connection"], inner.Header["Upgrade"] = onlyUpgrade, onlyWebSocket
	}
	watch := &as.delivery.out.watch
	watch.start()
	err := g.upgrades.ServeHTTP(&socketWriter{w, watch}, inner, next)
	switch {
	case err == nil:
	case as.notSwitched != nil && r.Method == http.MethodConnect && as.notSwitched.StatusCode < 300:
		as.notSwitched.Body.Close()
		noWebSocket.write(w, r) // for CONNECT a success would be an open tunnel
	case as.notSwitched != nil:
		as.respond(as.notSwitched)
	default:
		notReached(as.count).write(w, r)
	}
}

// Interface guards
var (
	_ caddy.Provisioner = (*ChannelTransport)(nil)
	_ http.RoundTripper = (*ChannelTransport)(nil)
)
