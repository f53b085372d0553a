// Package modelfield reads one field of a request, replaces it where it
// stands, and routes by it.
package modelfield

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
	"github.com/caddy-freetier/caddy-freetier/internal/bodies"
	"github.com/caddy-freetier/caddy-freetier/internal/parent"
	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
)

const (
	defaultField   = "model"
	defaultMaxBody = 64_000_000
)

func init() {
	caddy.RegisterModule((*Policy)(nil))
}

// Policy selects the upstream by the model that a request names, or by any
// other field at the top level of a JSON body. It changes nothing of the
// request. A request without a body may name the field in its query.
//
// The body is kept until the response has come, so that a retry sends it again.
// If the memory for request bodies, a quarter of the process's memory limit, is
// exhausted, the request gets status 503.
type Policy struct {
	// The field's name. Default: `model`.
	Field string `json:"field,omitempty"`

	// Which value goes to which upstreams. The first route that matches
	// counts.
	Routes []*Route `json:"routes,omitempty"`

	// The policy that selects among several upstreams of a route.
	// Default: `random`.
	ChooseRaw json.RawMessage `json:"choose,omitempty" caddy:"namespace=http.reverse_proxy.selection_policies inline_key=policy"`

	// The policy that selects among all upstreams for a request whose field
	// is missing, ambiguous, in a body that is too large or invalid, or
	// matches no route. Default: none, such requests get status 503.
	FallbackRaw json.RawMessage `json:"fallback,omitempty" caddy:"namespace=http.reverse_proxy.selection_policies inline_key=policy"`

	// The largest body that is read for the field, in bytes. A larger one is
	// passed on as it comes, and not sent again. Default: 64000000 (64 MB).
	MaxBody int64 `json:"max_body,omitempty"`

	choose   reverseproxy.Selector
	fallback reverseproxy.Selector
	decided  string // the request variable of this policy's decision
	clock    clockwork.Clock
	awake    *awake.Tracker
	bodies   *bodies.Shared // given back in Cleanup
	logger   *zap.Logger
}

// Route sends values of the field to upstreams.
type Route struct {
	// The values, `*` standing for any characters.
	Values []string `json:"values,omitempty"`

	// Upstreams of the proxy, as host and port or as URL.
	Upstreams []string `json:"upstreams,omitempty"`

	// Where the route stands, for error messages.
	Source string `json:"source,omitempty"`

	dials []string
}

// CaddyModule returns the Caddy module information.
func (*Policy) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.reverse_proxy.selection_policies.model-field",
		New: func() caddy.Module { return new(Policy) },
	}
}

// Provision sets up the policy.
func (p *Policy) Provision(ctx caddy.Context) error {
	p.logger = ctx.Logger()
	app, err := runtime.FromContext(ctx)
	if err != nil {
		return err
	}
	p.clock, p.awake = app.Clock(), app.Awake()
	p.bodies = bodies.Acquire()
	p.decided = fmt.Sprintf("model_field.%p", p) // a request may pass several proxies
	if p.Field == "" {
		p.Field = defaultField
	}
	if p.MaxBody == 0 {
		p.MaxBody = defaultMaxBody
	}
	p.choose = reverseproxy.RandomSelection{}
	if p.ChooseRaw != nil {
		mod, err := ctx.LoadModule(p, "ChooseRaw")
		if err != nil {
			return fmt.Errorf("loading the policy among a route's upstreams: %w", err)
		}
		p.choose = mod.(reverseproxy.Selector)
	}
	if p.FallbackRaw != nil {
		mod, err := ctx.LoadModule(p, "FallbackRaw")
		if err != nil {
			return fmt.Errorf("loading the fallback policy: %w", err)
		}
		p.fallback = mod.(reverseproxy.Selector)
	}
	return p.provisionRoutes(ctx)
}

// Cleanup gives back what Provision took.
func (p *Policy) Cleanup() error {
	if p.bodies != nil {
		bodies.Release()
	}
	return nil
}

// provisionRoutes looks the routes' upstreams up in the proxy around, unless it
// learns its upstreams as it runs.
func (p *Policy) provisionRoutes(ctx caddy.Context) error {
	proxy, found := parent.Nearest[*reverseproxy.Handler](ctx)
	static := found && proxy.DynamicUpstreamsRaw == nil && proxy.DynamicUpstreams == nil
	var known []string
	if static {
		for _, u := range proxy.Upstreams {
			known = append(known, dialAddress(u.Dial))
		}
	}
	for _, route := range p.Routes {
		for _, upstream := range route.Upstreams {
			dial := dialAddress(upstream)
			if static && !slices.Contains(known, dial) {
				return fmt.Errorf("%s: route to %s: the reverse_proxy has no such upstream; it has %s",
					route.Source, upstream, cmp.Or(strings.Join(known, ", "), "none"))
			}
			route.dials = append(route.dials, dial)
		}
	}
	return nil
}

// Validate refuses what the Caddyfile's parser would have refused.
func (p *Policy) Validate() error {
	if p.MaxBody < 0 {
		return errors.New("max_body must be positive")
	}
	for _, route := range p.Routes {
		if len(route.Values) == 0 || len(route.Upstreams) == 0 {
			return errors.New("a route needs values and upstreams")
		}
	}
	return nil
}

// dialAddress returns an upstream's host and port in the form in which a
// reverse_proxy keeps it.
func dialAddress(upstream string) string {
	if strings.Contains(upstream, "://") {
		if u, err := url.Parse(upstream); err == nil {
			return awake.Upstream(u)
		}
	}
	network, host, port, err := caddy.SplitNetworkAddress(upstream)
	if err != nil {
		host = upstream
	}
	if port == "" && !caddy.IsUnixNetwork(network) {
		port = "80"
	}
	return strings.ToLower(caddy.JoinNetworkAddress(network, host, port))
}

// Select returns an upstream for the model that the request names, another one
// for each try.
func (p *Policy) Select(pool reverseproxy.UpstreamPool, r *http.Request, w http.ResponseWriter) *reverseproxy.Upstream {
	d, ok := caddyhttp.GetVar(r.Context(), p.decided).(*decision)
	if !ok {
		d = p.decide(r)
		caddyhttp.SetVar(r.Context(), p.decided, d)
	}
	u := d.next(pool, r, w)
	if u == nil || !d.giveBody(r) {
		return nil
	}
	p.awake.Touch(dialAddress(u.Dial), p.clock.Now())
	return u
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Policy)(nil)
	_ caddy.CleanerUpper    = (*Policy)(nil)
	_ caddy.Validator       = (*Policy)(nil)
	_ reverseproxy.Selector = (*Policy)(nil)
)
