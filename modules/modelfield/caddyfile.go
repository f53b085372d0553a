package modelfield

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-freetier/caddy-freetier/internal/caddyfileutil"
)

// UnmarshalCaddyfile sets up the policy from Caddyfile tokens. Syntax:
//
//	lb_policy model-field [<field>] {
//		route    <value or pattern>... to <upstream>...
//		policy   <policy>
//		fallback <policy>
//		max_body <size>
//	}
//
// `route` can be repeated. A policy is any of reverse_proxy.
func (p *Policy) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // policy name
	noRoute := d.Err("model-field needs at least one route, such as route gpt-4* to free.example.com:443")
	args, err := caddyfileutil.Arguments(d, "[<field>]", defaultField)
	if err != nil {
		return err
	}
	if len(args) > 0 {
		p.Field = args[0]
	}
	if err := caddyfileutil.ParseBlock(d, "model-field", p.options()); err != nil {
		return err
	}
	if len(p.Routes) == 0 {
		return noRoute
	}
	return nil
}

func (p *Policy) options() []caddyfileutil.Option {
	return []caddyfileutil.Option{
		{Name: "route", Repeats: true, Parse: p.parseRoute},
		{Name: "policy", Block: true, Parse: caddyfileutil.Policy(&p.ChooseRaw)},
		{Name: "fallback", Block: true, Parse: caddyfileutil.Policy(&p.FallbackRaw)},
		{Name: "max_body", Parse: caddyfileutil.Size(&p.MaxBody)},
	}
}

func (p *Policy) parseRoute(d *caddyfile.Dispenser) error {
	source := fmt.Sprintf("%s:%d", d.File(), d.Line())
	return caddyfileutil.Args("<value or pattern>... to <upstream>...", "gpt-4* o1* to free.example.com:443", func(args []string) error {
		to := slices.Index(args, "to")
		if to < 1 || to == len(args)-1 {
			return caddyfileutil.ErrUsage
		}
		route := &Route{Values: args[:to], Upstreams: args[to+1:], Source: source}
		p.Routes = append(p.Routes, route)
		return route.checkUpstreams()
	})(d)
}

// checkUpstreams refuses URLs that reverse_proxy would refuse.
func (r *Route) checkUpstreams() error {
	for _, upstream := range r.Upstreams {
		if !strings.Contains(upstream, "://") {
			continue
		}
		if u, err := url.Parse(upstream); err != nil || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
			return fmt.Errorf("route to %s: an upstream is given as to reverse_proxy, such as https://free.example.com or free.example.com:443", upstream)
		}
	}
	return nil
}

// Interface guards
var _ caddyfile.Unmarshaler = (*Policy)(nil)
