package doh

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

func init() {
	// Not a handler directive: their first argument is a matcher if it looks
	// like a path, and here it is the path.
	httpcaddyfile.RegisterDirective("doh", parseDirective)
	httpcaddyfile.RegisterDirectiveOrder("doh", httpcaddyfile.Before, "respond")
}

const defaultPath = "/dns-query"

// parseDirective sets up the handler and a route for its paths. Syntax:
//
//	doh [<path>] {
//		upstream <url...>|system {
//			name      <name>
//			tier      <number>
//			weight    <number>
//			quota     <n>/<period> [<account>] [<zone>]
//			bootstrap <ip...>
//			header    <field> <value>
//			tls_ca    <file>
//		}
//		policy      quota|random|fastest|round_robin
//		timeout     <duration>
//		hedge       <duration>|off
//		cache       [<entries>] {
//			min_ttl <duration>
//			max_ttl <duration>
//			stale   <duration>|off
//		}
//		cache       off
//		per_ip      <n>/<period>
//		ecs         strip|pass|client|<prefix>
//		json
//		hosts       <ip> <name...>
//		client      <name> <path> {
//			limit <n>/<period>
//		}
//		log_queries
//	}
//
// `upstream`, `hosts` and `client` can be repeated. With clients, only their
// paths answer.
func parseDirective(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	handler := new(Handler)
	paths, err := handler.parse(h.Dispenser)
	if err != nil {
		return nil, err
	}
	matcher := caddy.ModuleMap{"path": h.JSON(paths)}
	return h.NewRoute(matcher, handler), nil
}

// parse returns the paths that answer.
func (h *Handler) parse(d *caddyfile.Dispenser) (caddyhttp.MatchPath, error) {
	d.Next() // the directive's name
	path := defaultPath
	if d.NextArg() {
		path = d.Val()
		if err := checkPath(path); err != nil {
			return nil, d.Errf("%s: %v, like %s", path, err, defaultPath)
		}
	}
	if d.NextArg() {
		return nil, d.Errf("unexpected argument %s: doh takes one path; for several, use client", d.Val())
	}
	if err := h.parseBlock(d); err != nil {
		return nil, err
	}
	if len(h.Upstreams) == 0 && len(h.Hosts) == 0 {
		return nil, d.Err("doh needs an upstream, like upstream https://dns.example/dns-query, or hosts")
	}
	if len(h.Clients) == 0 {
		return caddyhttp.MatchPath{path, path + profileName}, nil
	}
	var paths caddyhttp.MatchPath
	for _, c := range h.Clients {
		paths = append(paths, c.Path, c.Path+profileName)
	}
	return paths, nil
}

func (h *Handler) parseBlock(d *caddyfile.Dispenser) error {
	nesting, seen := d.Nesting(), make(map[string]bool)
	for d.NextBlock(nesting) {
		var err error
		switch option := d.Val(); option {
		case "policy":
			if err = once(d, seen); err == nil {
				err = h.parsePolicy(d)
			}
		case "cache":
			if err = once(d, seen); err == nil {
				err = h.parseCache(d)
			}
		case "per_ip", "ecs", "json":
			if err = once(d, seen); err == nil {
				err = h.parseOnce(d, option)
			}
		case "hosts":
			err = h.parseHosts(d)
		case "client":
			err = h.parseClient(d)
		default:
			var known bool
			if known, err = h.Pool.parseOption(d, seen); !known {
				err = d.Errf("unknown option %s: doh has upstream, policy, timeout, hedge, cache, per_ip, ecs, json, hosts, client and log_queries", option)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (h *Handler) parsePolicy(d *caddyfile.Dispenser) error {
	name, err := oneArg(d)
	if err != nil {
		return err
	}
	if !slices.Contains(policies, name) {
		return d.Errf("unknown policy %s: choose %s", name, strings.Join(policies, " or "))
	}
	h.Policy = name
	return nil
}

// parseOnce parses an option that takes one line.
func (h *Handler) parseOnce(d *caddyfile.Dispenser, option string) (err error) {
	switch option {
	case "per_ip":
		if h.PerIP, err = quota.ParseLimit(d.RemainingArgs()); err == nil {
			_, err = newPerIP(h.PerIP, nil)
		}
	case "ecs":
		if h.ECS, err = oneArg(d); err == nil {
			_, err = newSubnets(h.ECS)
		}
	case "json":
		h.JSON = true
		if d.NextArg() {
			err = fmt.Errorf("unexpected argument %s: json stands alone", d.Val())
		}
	}
	if err != nil {
		return d.WrapErr(err)
	}
	return noBlock(d, option)
}

func (h *Handler) parseCache(d *caddyfile.Dispenser) error {
	h.Cache = new(Cache)
	args := d.RemainingArgs()
	switch {
	case len(args) > 1:
		return d.Errf("unexpected argument %s: cache takes a number of entries, or off", args[1])
	case len(args) == 1 && args[0] == "off":
		h.Cache.Entries = -1
		return noBlock(d, "cache off")
	case len(args) == 1:
		n, err := strconv.Atoi(args[0])
		if err != nil || n < 1 || n > 1e9 {
			return d.Errf("cache: %s is neither a number of entries, like 10000, nor off", args[0])
		}
		h.Cache.Entries = n
	}
	nesting, seen := d.Nesting(), make(map[string]bool)
	for d.NextBlock(nesting) {
		if err := once(d, seen); err != nil {
			return err
		}
		var err error
		switch option := d.Val(); option {
		case "min_ttl":
			h.Cache.MinTTL, err = duration(d)
		case "max_ttl":
			h.Cache.MaxTTL, err = duration(d)
		case "stale":
			h.Cache.Stale, err = duration(d)
		default:
			err = d.Errf("unknown option %s: cache has min_ttl, max_ttl and stale", option)
		}
		if err != nil {
			return err
		}
	}
	if err := h.Cache.check(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func (h *Handler) parseHosts(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) < 2 {
		return d.Err("hosts takes an IP address and names, like hosts 192.0.2.1 demo.test *.demo.test")
	}
	host := &Host{IP: args[0], Names: args[1:]}
	if _, err := newHosts([]*Host{host}); err != nil {
		return d.Err(err.Error())
	}
	h.Hosts = append(h.Hosts, host)
	return noBlock(d, "hosts")
}

func (h *Handler) parseClient(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) != 2 {
		return d.Err("client takes a name and a path, like client alice /dns-query/s3cret")
	}
	c := &Client{Name: args[0], Path: args[1]}
	if err := checkPath(c.Path); err != nil && !strings.HasPrefix(c.Path, "{") {
		return d.Errf("client %s: %v", c.Name, err)
	}
	for _, other := range h.Clients {
		if other.Name == c.Name {
			return d.Errf("there is already a client %s: give this one another name", c.Name)
		}
		if other.Path == c.Path {
			return d.Errf("client %s has this path already: give %s another one", other.Name, c.Name)
		}
	}
	h.Clients = append(h.Clients, c)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if d.Val() != "limit" {
			return d.Errf("unknown option %s: a client has limit", d.Val())
		}
		limit, err := quota.ParseLimit(d.RemainingArgs())
		if err == nil && limit.Unit != "" {
			err = errors.New("a limit of queries has no unit: write it like limit 20000/day")
		}
		if err != nil {
			return d.WrapErr(err)
		}
		c.Limits = append(c.Limits, limit)
	}
	return nil
}

// UnmarshalCaddyfile sets up the source. Syntax:
//
//	dynamic doh {
//		upstream <url...> {
//			name      <name>
//			tier      <number>
//			quota     <n>/<period> [<account>] [<zone>]
//			bootstrap <ip...>
//			header    <field> <value>
//			tls_ca    <file>
//		}
//		timeout     <duration>
//		hedge       <duration>|off
//		log_queries
//	}
//
// The choice among the upstreams is the proxy's `lb_policy`. The block needs
// `transport doh` beside it.
func (s *Source) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the source's name
	if d.NextArg() {
		return d.Errf("unexpected argument %s: dynamic doh takes a block with upstream lines", d.Val())
	}
	nesting, seen := d.Nesting(), make(map[string]bool)
	for d.NextBlock(nesting) {
		option := d.Val()
		if option == "policy" {
			return d.Err("the choice among upstreams of a reverse_proxy is its lb_policy")
		}
		known, err := s.Pool.parseOption(d, seen)
		if !known {
			return d.Errf("unknown option %s: dynamic doh has upstream, timeout, hedge and log_queries", option)
		}
		if err != nil {
			return err
		}
	}
	if len(s.Upstreams) == 0 {
		return d.Err("dynamic doh needs an upstream, like upstream https://dns.example/dns-query")
	}
	return nil
}

// UnmarshalCaddyfile sets up the transport, which has no options of its own.
// Syntax:
//
//	transport doh
func (*Transport) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the transport's name
	if d.NextArg() || d.NextBlock(d.Nesting()) {
		return d.Errf("unexpected %s: transport doh has no options; those of its upstreams are given in dynamic doh", d.Val())
	}
	return nil
}

// parseOption parses an option that handler and source share, or returns false.
func (p *Pool) parseOption(d *caddyfile.Dispenser, seen map[string]bool) (known bool, err error) {
	option := d.Val()
	if option == "upstream" {
		return true, p.parseUpstream(d)
	}
	if !slices.Contains([]string{"timeout", "hedge", "log_queries"}, option) {
		return false, nil
	}
	if err := once(d, seen); err != nil {
		return true, err
	}
	switch option {
	case "timeout":
		p.Timeout, err = duration(d)
	case "hedge":
		p.Hedge, err = duration(d)
	case "log_queries":
		p.LogQueries = true
		if d.NextArg() {
			err = d.Errf("unexpected argument %s: log_queries stands alone", d.Val())
		}
	}
	if err != nil {
		return true, err
	}
	return true, noBlock(d, option)
}

// once refuses an option that is there twice.
func once(d *caddyfile.Dispenser, seen map[string]bool) error {
	if seen[d.Val()] {
		return d.Errf("%s is given twice: only one is possible", d.Val())
	}
	seen[d.Val()] = true
	return nil
}

func oneArg(d *caddyfile.Dispenser) (string, error) {
	option := d.Val()
	args := d.RemainingArgs()
	if len(args) != 1 || args[0] == "" {
		return "", d.Errf("%s takes one value", option)
	}
	return args[0], nil
}

func number(d *caddyfile.Dispenser) (int, error) {
	option := d.Val()
	arg, err := oneArg(d)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(arg)
	if err != nil || n < 1 || n > 1_000_000 {
		return 0, d.Errf("%s: %s is not a number from 1 on", option, arg)
	}
	return n, nil
}

func duration(d *caddyfile.Dispenser) (caddy.Duration, error) {
	option := d.Val()
	arg, err := oneArg(d)
	if err != nil {
		return 0, err
	}
	if arg == "off" && (option == "hedge" || option == "stale") {
		return -1, nil
	}
	dur, err := caddy.ParseDuration(arg)
	least := time.Millisecond
	if option == "min_ttl" {
		least = 0
	}
	if err != nil || dur < least {
		return 0, d.Errf("%s: %s is not a duration like 400ms or 5s", option, arg)
	}
	return caddy.Duration(dur), nil
}

func noBlock(d *caddyfile.Dispenser, option string) error {
	if d.NextBlock(d.Nesting()) {
		return d.Errf("unknown option %s: %s has none", d.Val(), option)
	}
	return nil
}

// Interface guards
var (
	_ caddyfile.Unmarshaler = (*Source)(nil)
	_ caddyfile.Unmarshaler = (*Transport)(nil)
)
