package modelfield

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-freetier/caddy-freetier/internal/directive"
)

// options are the subdirectives, as the errors list them.
const options = "route, policy, fallback, max_body"

// UnmarshalCaddyfile sets up the policy from Caddyfile tokens. Syntax:
//
//	lb_policy model-field [<field>] {
//		route    <value or pattern>... to <upstream>...
//		policy   <any policy of reverse_proxy>
//		fallback <any policy of reverse_proxy>
//		max_body <size>
//	}
func (p *Policy) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // policy name
	noRoute := d.Err("model-field needs at least one route: route gpt-4* to free.example.com:443")
	if d.NextArg() {
		p.Field = d.Val()
	}
	if d.NextArg() {
		return d.Err("model-field takes one field: lb_policy model-field [<field>]")
	}
	for d.NextBlock(0) {
		if err := p.unmarshalOption(d); err != nil {
			return err
		}
	}
	if len(p.Routes) == 0 {
		return noRoute
	}
	return nil
}

func (p *Policy) unmarshalOption(d *caddyfile.Dispenser) (err error) {
	switch d.Val() {
	case "route":
		return p.unmarshalRoute(d)
	case "policy":
		p.ChooseRaw, err = directive.Policy(d)
	case "fallback":
		p.FallbackRaw, err = directive.Policy(d)
	case "max_body":
		p.MaxBody, err = directive.Size(d)
	default:
		return d.Errf("unknown option %s of model-field; there are %s", d.Val(), options)
	}
	return err
}

func (p *Policy) unmarshalRoute(d *caddyfile.Dispenser) error {
	source := fmt.Sprintf("%s:%d", d.File(), d.Line())
	args := d.RemainingArgs()
	to := slices.Index(args, "to")
	if to < 1 || to == len(args)-1 {
		return d.Err("route wants values and upstreams: route gpt-4* o1* to free.example.com:443")
	}
	for _, upstream := range args[to+1:] {
		if !strings.Contains(upstream, "://") {
			continue
		}
		if u, err := url.Parse(upstream); err != nil || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
			return d.Errf("route to %s: an upstream is given as to reverse_proxy, such as https://free.example.com or free.example.com:443", upstream)
		}
	}
	p.Routes = append(p.Routes, &Route{Values: args[:to], Upstreams: args[to+1:], Source: source})
	return nil
}

// Interface guards
var _ caddyfile.Unmarshaler = (*Policy)(nil)
