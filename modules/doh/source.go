package doh

import (
	"errors"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-freetier/caddy-freetier/internal/caddyfileutil"
	"github.com/caddy-freetier/caddy-freetier/internal/parent"
	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
	"github.com/caddy-freetier/caddy-freetier/internal/status"
	"github.com/caddy-freetier/caddy-freetier/modules/doh/pool"
)

func init() {
	caddy.RegisterModule((*Source)(nil))
}

// Source gives the upstreams of a pool to a reverse_proxy, whose `lb_policy`
// chooses among them. It needs the transport `doh`, which asks them.
//
// An upstream that has failed a request is not offered to it again while
// another is left.
type Source struct {
	pool.Config

	// Whether requests appear in the access log. With GET, their addresses
	// hold the names that were asked for. Default: false.
	LogQueries bool `json:"log_queries,omitempty"`

	// Where the Caddyfile has it, for errors about values that are known only
	// when the configuration is loaded.
	Place string `json:"place,omitempty"`

	pool   *pool.Pool
	values []string // the placeholders of requests that upstreams' headers have
}

// CaddyModule returns the Caddy module information.
func (*Source) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.reverse_proxy.upstreams.doh",
		New: func() caddy.Module { return new(Source) },
	}
}

// Provision sets up the source.
func (s *Source) Provision(ctx caddy.Context) error {
	return caddyfileutil.At(s.Place, runtime.ExplainUnset(s.provision(ctx)))
}

func (s *Source) provision(ctx caddy.Context) (err error) {
	if proxy, ok := parent.Nearest[*reverseproxy.Handler](ctx); ok {
		if _, ok := proxy.Transport.(*Transport); !ok {
			return errors.New("upstreams from `dynamic doh` need `transport doh`")
		}
	}
	for _, u := range s.Upstreams {
		for _, raw := range u.URLs {
			if address, err := pool.ParseURL(raw); err == nil && address.Scheme != pool.SchemeHTTPS {
				return errors.New("dynamic doh takes upstreams with https://; for others use the directive doh")
			}
		}
	}
	if err := collectors.register(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	s.values = s.Placeholders()
	if s.pool, err = s.Open(ctx, ""); err != nil {
		return err
	}
	app, err := runtime.FromContext(ctx)
	if err != nil {
		return err
	}
	app.Status().Describe(func(now time.Time, all *status.Status) { s.pool.Describe(now, &all.DNS) })
	return nil
}

// Validate checks the settings.
func (s *Source) Validate() error {
	if s.pool.Empty() {
		return errors.New("dynamic doh: there is no upstream")
	}
	return nil
}

// Cleanup gives the upstreams back.
func (s *Source) Cleanup() error {
	if s.pool == nil {
		return nil // Provision came to nothing
	}
	return s.pool.Close()
}

// GetUpstreams returns upstreams of the first tier with one that this request
// has not tried. They are made anew on each call, since Caddy writes to them;
// which is which the request remembers, because two accounts at one host have
// the same address.
func (s *Source) GetUpstreams(r *http.Request) ([]*reverseproxy.Upstream, error) {
	p := proxiedIn(r)
	if p == nil || p.source != s {
		p = &proxied{source: s, start: s.pool.Clock().Now()}
		caddyhttp.SetVar(r.Context(), proxiedVar, p)
		if !s.LogQueries {
			skipLog(r)
		}
	}
	return p.offer(), nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Source)(nil)
	_ caddy.Validator             = (*Source)(nil)
	_ caddy.CleanerUpper          = (*Source)(nil)
	_ reverseproxy.UpstreamSource = (*Source)(nil)
)
