package keepalive

import (
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
	"github.com/caddy-freetier/caddy-freetier/internal/caddyfileutil"
	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
)

func init() {
	caddy.RegisterModule(Handler{})
	httpcaddyfile.RegisterHandlerDirective("awake", parseHandler)
	httpcaddyfile.RegisterDirectiveOrder("awake", httpcaddyfile.Before, "reverse_proxy")
}

// Handler makes the requests that pass it count as traffic of an upstream, so
// that the app `keepalive` leaves out pings and learns when the upstream is
// in demand. Put it before a `reverse_proxy` with any policy; those with
// `fastest-swagger` or `model-field`, `llm_gateway` and `doh` count by
// themselves.
type Handler struct {
	// The host and port to which the requests go, as the target's `upstream`
	// has it, or a URL. Placeholders are replaced when the configuration is
	// loaded.
	Upstream string `json:"upstream"`

	upstream string
	clock    clockwork.Clock
	awake    *awake.Tracker
}

var errHandler = errors.New("write: awake <upstream>, like awake api.example.com:443")

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.awake",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision finds the upstream's name.
func (h *Handler) Provision(ctx caddy.Context) error {
	rt, err := runtime.FromContext(ctx)
	if err != nil {
		return err
	}
	h.clock, h.awake = rt.Clock(), rt.Awake()
	name, err := caddy.NewReplacer().ReplaceOrErr(h.Upstream, true, true)
	if err != nil {
		return runtime.ExplainUnset(err)
	}
	h.upstream, err = nameUpstream(name)
	return err
}

// nameUpstream returns a host with its port, or the one of a URL, as package
// awake names it.
func nameUpstream(s string) (string, error) {
	if u, err := parseURL(s); err == nil {
		return awake.Upstream(u), nil
	}
	if s == "" {
		return "", errHandler
	}
	return parseUpstream(s)
}

// ServeHTTP implements caddyhttp.MiddlewareHandler. The end of a response
// counts, too: it may be long in coming.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	h.awake.Touch(h.upstream, h.clock.Now())
	defer func() { h.awake.Touch(h.upstream, h.clock.Now()) }()
	return next.ServeHTTP(w, r)
}

// parseHandler parses the directive `awake`. Syntax:
//
//	awake [<matcher>] <upstream>
func parseHandler(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	handler := new(Handler)
	return handler, handler.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile sets up the handler from the directive `awake`.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume directive name
	args, err := caddyfileutil.Arguments(d, "<upstream>", "api.example.com:443")
	if err != nil {
		return err
	}
	h.Upstream = args[0]
	if !hasPlaceholder(h.Upstream) {
		if _, err := nameUpstream(h.Upstream); err != nil {
			return d.WrapErr(err)
		}
	}
	return caddyfileutil.NoBlock(d, "awake")
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ caddyfile.Unmarshaler       = (*Handler)(nil)
)
