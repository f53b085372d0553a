package doh

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-freetier/caddy-freetier/internal/caddyfileutil"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// maxNumber bounds tiers and weights, against typos.
const maxNumber = 1_000_000

// parser returns a parser of a line with upstreams, and its block, which has
// the options.
func (p *Pool) parser(options func(*Upstream) []caddyfileutil.Option) caddyfileutil.Parser {
	return func(d *caddyfile.Dispenser) error { return p.parseUpstream(d, options) }
}

func (p *Pool) parseUpstream(d *caddyfile.Dispenser, options func(*Upstream) []caddyfileutil.Option) error {
	u := new(Upstream)
	hosts := make(map[string]bool)
	args, err := caddyfileutil.Arguments(d, "<url...>", "https://dns.example/dns-query, or upstream system")
	if err != nil {
		return err
	}
	for _, arg := range args {
		raw := strings.TrimSuffix(arg, "{?dns}") // as in the templates that providers show
		if !strings.Contains(raw, "{") {
			address, err := parseURL(raw)
			if err != nil {
				return d.WrapErr(err)
			}
			if p.has(raw) || slices.Contains(u.URLs, raw) {
				return d.Errf("upstream at %s is there twice: to send it more queries, use weight", cmp.Or(address.Hostname(), raw))
			}
			hosts[address.Hostname()] = true
		}
		u.URLs = append(u.URLs, raw)
	}
	if err := caddyfileutil.ParseBlock(d, "upstream", options(u)); err != nil {
		return err
	}
	for _, raw := range u.URLs {
		if address, err := parseURL(raw); err == nil {
			if err := u.check(address); err != nil {
				return d.WrapErr(err)
			}
		}
	}
	if len(u.Bootstrap) > 0 && len(hosts) > 1 {
		return d.Err("bootstrap holds the addresses of one host: give each host an upstream of its own")
	}
	for _, other := range p.Upstreams {
		if u.Name != "" && other.Name == u.Name {
			return d.Errf("there is already an upstream with the name %s: give this one another", u.Name)
		}
	}
	p.Upstreams = append(p.Upstreams, u)
	return nil
}

func (p *Pool) has(url string) bool {
	return slices.ContainsFunc(p.Upstreams, func(u *Upstream) bool { return slices.Contains(u.URLs, url) })
}

// options are those of an upstream of the handler.
func (u *Upstream) options() []caddyfileutil.Option {
	return []caddyfileutil.Option{
		{Name: "name", Parse: caddyfileutil.Text(&u.Name, "<name>", "nextdns")},
		{Name: "tier", Parse: caddyfileutil.Number(&u.Tier, 1, maxNumber)},
		{Name: "weight", Parse: caddyfileutil.Number(&u.Weight, 1, maxNumber)},
		{Name: "quota", Parse: caddyfileutil.Args("<n> [requests]/<period> [<account>] [<zone>]", "300000/month", u.setQuota)},
		{Name: "bootstrap", Parse: caddyfileutil.Args("<ip...>", "192.0.2.53", u.setBootstrap)},
		{Name: "header", Repeats: true, Parse: caddyfileutil.Header(&u.Headers)},
		{Name: "tls_ca", Parse: caddyfileutil.Text(&u.CA, "<file>", "/etc/ssl/my-ca.pem")},
	}
}

// proxyOptions are those of an upstream of a reverse_proxy.
func (u *Upstream) proxyOptions() []caddyfileutil.Option {
	options := u.options()
	for i, o := range options {
		if o.Name == "weight" {
			options[i] = caddyfileutil.Option{Name: o.Name, Instead: lbPolicyChooses}
		}
	}
	return options
}

func (u *Upstream) setQuota(args []string) (err error) {
	if u.Quota, err = quota.Parse(args); err == nil && u.Quota.Unit != "" {
		err = errors.New("a quota of queries has no unit; write one such as 300000/month")
	}
	return err
}

func (u *Upstream) setBootstrap(args []string) error {
	for _, arg := range args {
		if _, err := netip.ParseAddr(arg); err != nil {
			return fmt.Errorf("%q is not an IP address; write one such as 192.0.2.53", arg)
		}
	}
	u.Bootstrap = args
	return nil
}
