package doh

import (
	"cmp"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// parseUpstream parses a line with upstreams, and its block, which parseDirective
// describes.
func (p *Pool) parseUpstream(d *caddyfile.Dispenser) error {
	u := new(Upstream)
	hosts := make(map[string]bool)
	for d.NextArg() {
		raw := strings.TrimSuffix(d.Val(), "{?dns}") // as in the templates that providers show
		if !strings.Contains(raw, "{") {
			address, err := parseURL(raw)
			if err != nil {
				return d.Err(err.Error())
			}
			if p.has(raw) || slices.Contains(u.URLs, raw) {
				return d.Errf("upstream at %s is there twice: to send it more queries, use weight", cmp.Or(address.Hostname(), raw))
			}
			hosts[address.Hostname()] = true
		}
		u.URLs = append(u.URLs, raw)
	}
	if len(u.URLs) == 0 {
		return d.Err("upstream takes one or several addresses, like https://dns.example/dns-query")
	}
	nesting, seen := d.Nesting(), make(map[string]bool)
	for d.NextBlock(nesting) {
		if err := u.parseOption(d, seen); err != nil {
			return err
		}
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

func (u *Upstream) parseOption(d *caddyfile.Dispenser, seen map[string]bool) (err error) {
	option := d.Val()
	if option != "header" && option != "bootstrap" {
		if err := once(d, seen); err != nil {
			return err
		}
	}
	switch option {
	case "name":
		u.Name, err = oneArg(d)
	case "tier":
		u.Tier, err = number(d)
	case "weight":
		u.Weight, err = number(d)
	case "quota":
		if u.Quota, err = quota.Parse(d.RemainingArgs()); err == nil && u.Quota.Unit != "" {
			err = errors.New("a quota of queries has no unit: write it like quota 300000/month")
		}
		if err != nil {
			return d.WrapErr(err)
		}
	case "bootstrap":
		err = u.parseBootstrap(d)
	case "header":
		args := d.RemainingArgs()
		if len(args) != 2 {
			return d.Err("header takes a field and a value, like header X-Name value")
		}
		if u.Headers == nil {
			u.Headers = make(http.Header)
		}
		u.Headers.Add(args[0], args[1])
	case "tls_ca":
		u.CA, err = oneArg(d)
	default:
		return d.Errf("unknown option %s: an upstream has name, tier, weight, quota, bootstrap, header and tls_ca", option)
	}
	if err != nil {
		return err
	}
	return noBlock(d, option)
}

func (u *Upstream) parseBootstrap(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.Err("bootstrap takes IP addresses, like bootstrap 192.0.2.53")
	}
	for _, arg := range args {
		if _, err := netip.ParseAddr(arg); err != nil {
			return d.Errf("bootstrap: %s is not an IP address", arg)
		}
		u.Bootstrap = append(u.Bootstrap, arg)
	}
	return nil
}
