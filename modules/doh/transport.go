package doh

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
	"github.com/caddy-freetier/caddy-freetier/internal/parent"
	"github.com/caddy-freetier/caddy-freetier/modules/doh/pool"
)

func init() {
	caddy.RegisterModule((*Transport)(nil))
}

// Transport sends queries to the upstreams that `dynamic doh` provides to a
// reverse_proxy. It makes a new request with the client's query in it, and checks
// the response. The request has the upstream's header fields; the proxy's
// `header_up` has no effect.
//
// While the proxy will try again (`lb_retries`, `lb_try_duration`), an invalid
// response is a transport error: it counts for passive health checks, and the
// proxy's policy chooses the next upstream, for POST as well. In the last try,
// which is the only one without these options, the transport itself goes on to the
// other upstreams.
type Transport struct {
	retries  int           // lb_retries
	duration time.Duration // lb_try_duration
}

// CaddyModule returns the Caddy module information.
func (*Transport) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.reverse_proxy.transport.doh",
		New: func() caddy.Module { return new(Transport) },
	}
}

// Provision sets up the transport.
func (t *Transport) Provision(ctx caddy.Context) error {
	proxy, ok := parent.Nearest[*reverseproxy.Handler](ctx)
	if !ok {
		return nil
	}
	// The proxy loads its source after its transport, so that only its JSON is
	// there.
	var source struct {
		Name string `json:"source"`
	}
	if proxy.DynamicUpstreamsRaw != nil {
		if err := json.Unmarshal(proxy.DynamicUpstreamsRaw, &source); err != nil {
			return err
		}
	}
	if source.Name != "doh" {
		return errors.New("`transport doh` needs upstreams from `dynamic doh`")
	}
	if lb := proxy.LoadBalancing; lb != nil {
		t.retries, t.duration = lb.Retries, time.Duration(lb.TryDuration)
	}
	return nil
}

// RoundTrip sends the query to the upstream that the proxy has chosen.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	p := proxiedIn(req)
	info, ok := reverseproxy.GetDialInfo(req.Context())
	if p == nil || !ok {
		return nil, errors.New("`transport doh` needs upstreams from `dynamic doh`")
	}
	p.tries++
	if p.query == nil {
		// In the first try only, since the body can be read only once.
		q := new(dnsmsg.Query)
		if bad := readQuery(req, q); bad != nil {
			return bad.response(req), nil
		}
		q.Subnet = nil
		q.Values = requestValues(req, p.source.values)
		p.query, p.lookup.Query = q, q.Outgoing()
	}
	resp, err := t.resolve(p, info.Upstream)
	if err != nil {
		return nil, err
	}
	collectors.count(asker{protocol: req.Method}, resp)
	return proxiedResponse(resp, req, p.query), nil
}

// resolve returns the response to the query. An error makes the proxy try again.
func (t *Transport) resolve(p *proxied, choice *reverseproxy.Upstream) (*dnsmsg.Response, error) {
	upstreams, first := p.source.pool, p.chosen(choice)
	var buf [dnsmsg.MaxName]byte
	if resp := protocol(p.query, p.query.Name(&buf)); resp != nil {
		return resp, nil
	}
	if !t.last(p) {
		resp, err := upstreams.Ask(&p.lookup, first, true)
		if err == nil {
			return resp, nil
		}
		if !t.last(p) {
			// A query can be repeated whatever its method is. The proxy
			// repeats a POST only after an error of this type.
			return nil, reverseproxy.NewDialError(err)
		}
		first = nil
	}
	resp, err := upstreams.Ask(&p.lookup, first, false)
	if err != nil {
		return pool.Unanswered(p.query, err), nil
	}
	return resp, nil
}

// lastMargin is how long before the end of `lb_try_duration` a try is treated as
// the last. The proxy checks its clock a little later than the transport. If the
// transport returned an error that the proxy finds too late to retry, the client
// would get no answer.
const lastMargin = 100 * time.Millisecond

// last reports whether the proxy will not try again, as far as the transport can
// know.
func (t *Transport) last(p *proxied) bool {
	passed := p.source.pool.Clock().Since(p.start)
	switch {
	case t.retries == 0 && t.duration == 0,
		t.retries > 0 && p.tries > t.retries,
		t.duration > 0 && passed >= t.duration-lastMargin:
		return true
	}
	return passed >= p.source.pool.Timeout()
}

// proxiedResponse returns the response to a request of a reverse_proxy.
func proxiedResponse(resp *dnsmsg.Response, req *http.Request, q *dnsmsg.Query) *http.Response {
	msg := resp.Render(q, 0)
	made := newResponse(req, http.StatusOK, msg)
	setMessageHeader(made.Header, len(msg), resp.TTL(), false)
	return made
}

// response returns the refusal as the response of an upstream, which the proxy
// passes on.
func (f *refusal) response(req *http.Request) *http.Response {
	body := f.body()
	resp := newResponse(req, f.status, body)
	f.setHeader(resp.Header, len(body))
	return resp
}

// newResponse returns a response for the proxy, as if an upstream had sent it.
func newResponse(req *http.Request, status int, body []byte) *http.Response {
	return &http.Response{
		Status:     http.StatusText(status),
		StatusCode: status,
		Proto:      "HTTP/2.0",
		ProtoMajor: 2,
		Header:     make(http.Header, 4),
		Body:       io.NopCloser(bytes.NewReader(body)),
		// The caller sets the header field, for HEAD as well.
		ContentLength: int64(len(body)),
		Request:       req,
	}
}

// Interface guards
var (
	_ caddy.Provisioner = (*Transport)(nil)
	_ http.RoundTripper = (*Transport)(nil)
)
