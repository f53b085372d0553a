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
	"github.com/caddy-freetier/caddy-freetier/modules/doh/pool"
)

// maxNumber is the largest tier or weight. It guards against typos.
const maxNumber = 1_000_000

// upstreamParser returns a parser of `upstream` and its block. The upstream is
// added to c.
func upstreamParser(c *pool.Config, options func(*pool.Upstream) []caddyfileutil.Option) caddyfileutil.Parser {
	return func(d *caddyfile.Dispenser) error { return parseUpstream(d, c, options) }
}

// parseUpstream parses one line of `upstream`. Addresses without placeholders are
// checked here, with their line; others when the configuration is loaded. Errors show
// hosts only, since a path can be a secret.
func parseUpstream(d *caddyfile.Dispenser, c *pool.Config, options func(*pool.Upstream) []caddyfileutil.Option) error {
	u := new(pool.Upstream)
	hosts := make(map[string]bool)
	args, err := caddyfileutil.Arguments(d, "<url...>", "https://dns.example/dns-query, or upstream system")
	if err != nil {
		return err
	}
	for _, arg := range args {
		raw := strings.TrimSuffix(arg, "{?dns}") // the URI template of RFC 8484, as providers publish it
		if !strings.Contains(raw, "{") {
			address, err := pool.ParseURL(raw)
			if err != nil {
				return d.WrapErr(err)
			}
			if has(c, raw) || slices.Contains(u.URLs, raw) {
				return d.Errf("upstream at %s is listed twice: to send it more queries, use weight", cmp.Or(address.Hostname(), raw))
			}
			hosts[address.Hostname()] = true
		}
		u.URLs = append(u.URLs, raw)
	}
	if err := caddyfileutil.ParseBlock(d, "upstream", options(u)); err != nil {
		return err
	}
	for _, raw := range u.URLs {
		if address, err := pool.ParseURL(raw); err == nil {
			if err := u.Check(address); err != nil {
				return d.WrapErr(err)
			}
		}
	}
	if len(u.Bootstrap) > 0 && len(hosts) > 1 {
		return d.Err("bootstrap is for the addresses of one host: write one upstream for each host")
	}
	for _, other := range c.Upstreams {
		if u.Name != "" && other.Name == u.Name {
			return d.Errf("there is already an upstream with the name %s: give this one another name", u.Name)
		}
	}
	c.Upstreams = append(c.Upstreams, u)
	return nil
}

// has reports whether an upstream of c has the address.
func has(c *pool.Config, url string) bool {
	return slices.ContainsFunc(c.Upstreams, func(u *pool.Upstream) bool { return slices.Contains(u.URLs, url) })
}

// upstreamOptions are the options of an upstream of the handler.
func upstreamOptions(u *pool.Upstream) []caddyfileutil.Option {
	return []caddyfileutil.Option{
		{Name: "name", Parse: caddyfileutil.Text(&u.Name, "<name>", "nextdns")},
		{Name: "tier", Parse: caddyfileutil.Number(&u.Tier, 1, maxNumber)},
		{Name: "weight", Parse: caddyfileutil.Number(&u.Weight, 1, maxNumber)},
		{Name: "quota", Parse: caddyfileutil.Args("<n> [requests]/<period> [<account>] [<zone>]", "300000/month", func(args []string) error { return setQuota(u, args) })},
		{Name: "bootstrap", Parse: caddyfileutil.Args("<ip...>", "192.0.2.53", func(args []string) error { return setBootstrap(u, args) })},
		{Name: "header", Repeats: true, Parse: caddyfileutil.Header(&u.Headers)},
		{Name: "tls_ca", Parse: caddyfileutil.Text(&u.CA, "<file>", "/etc/ssl/my-ca.pem")},
	}
}

// proxyUpstreamOptions are the options of an upstream of a reverse_proxy.
func proxyUpstreamOptions(u *pool.Upstream) []caddyfileutil.Option {
	options := upstreamOptions(u)
	for i, o := range options {
		if o.Name == "weight" {
			options[i] = caddyfileutil.Option{Name: o.Name, Instead: lbPolicyChooses}
		}
	}
	return options
}

// setQuota sets `quota`, which counts queries.
func setQuota(u *pool.Upstream, args []string) (err error) {
	if u.Quota, err = quota.Parse(args); err == nil && u.Quota.Unit != "" {
		err = errors.New("a quota of queries has no unit; write 300000/month, for example")
	}
	return err
}

// setBootstrap sets `bootstrap`. A name would have to be looked up, which is what the
// option avoids.
func setBootstrap(u *pool.Upstream, args []string) error {
	for _, arg := range args {
		if _, err := netip.ParseAddr(arg); err != nil {
			return fmt.Errorf("%q is not an IP address; write one such as 192.0.2.53", arg)
		}
	}
	u.Bootstrap = args
	return nil
}
