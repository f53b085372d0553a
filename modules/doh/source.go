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

// Source provides the upstreams of a pool to a reverse_proxy, whose `lb_policy`
// chooses among them. It needs the transport `doh`, which sends the queries.
//
// An upstream that has failed a request is not provided to it again while another
// one is left.
type Source struct {
	pool.Config

	// Whether requests are written to the access log. With GET, their URLs
	// contain the names that are looked up. Default: false.
	LogQueries bool `json:"log_queries,omitempty"`

	// File and line in the Caddyfile, for errors about values that are known
	// only when the configuration is loaded.
	Place string `json:"place,omitempty"`

	// Set in Provision, and never changed after it.
	pool   *pool.Pool
	values []string // the placeholders of requests in upstreams' headers
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

// provision sets up the source. Errors get their line from Provision.
func (s *Source) provision(ctx caddy.Context) (err error) {
	if proxy, ok := parent.Nearest[*reverseproxy.Handler](ctx); ok {
		if _, ok := proxy.Transport.(*Transport); !ok {
			return errors.New("upstreams from `dynamic doh` need `transport doh`")
		}
	}
	for _, u := range s.Upstreams {
		for _, raw := range u.URLs {
			if address, err := pool.ParseURL(raw); err == nil && address.Scheme != pool.SchemeHTTPS {
				return errors.New("dynamic doh supports upstreams with https:// only; for others use the directive doh")
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

// Cleanup releases the upstreams.
func (s *Source) Cleanup() error {
	if s.pool == nil {
		return nil // Provision failed before it opened any
	}
	return s.pool.Close()
}

// GetUpstreams returns the upstreams of the first tier that has any which the
// request has not tried. It is called for every try and answers from memory.
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
