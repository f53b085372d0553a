package fastestswagger

import (
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/dustin/go-humanize"
)

const policyNamespace = "http.reverse_proxy.selection_policies."

// UnmarshalCaddyfile sets up the policy from Caddyfile tokens. Syntax:
//
//	lb_policy fastest-swagger [<path>] {
//		path     <path>
//		interval <duration>
//		timeout  <duration>
//		expect   <status...>
//		contains <text>
//		max_size <size>
//		margin   <percent>
//		fallback <policy>
//	}
func (s *Selection) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the policy's name
	if d.NextArg() {
		if err := s.unmarshalPath(d); err != nil {
			return err
		}
	}
	if d.NextArg() {
		return d.Errf("unexpected %q: the only argument of fastest-swagger is the path of the page; other options stand in a block", d.Val())
	}
	given := make(map[string]bool)
	for d.NextBlock(0) {
		option := d.Val()
		if given[option] {
			return d.Errf("%s is given twice", option)
		}
		given[option] = true
		if err := s.unmarshalOption(d, option); err != nil {
			return err
		}
	}
	return nil
}

func (s *Selection) unmarshalOption(d *caddyfile.Dispenser, option string) error {
	switch option {
	case "expect":
		return s.unmarshalExpect(d)
	case "fallback":
		return s.unmarshalFallback(d)
	}
	unmarshal, ok := map[string]func(*caddyfile.Dispenser) error{
		"path":     s.unmarshalPath,
		"interval": func(d *caddyfile.Dispenser) error { return unmarshalDuration(d, &s.Interval) },
		"timeout":  func(d *caddyfile.Dispenser) error { return unmarshalDuration(d, &s.Timeout) },
		"contains": s.unmarshalContains,
		"max_size": s.unmarshalMaxSize,
		"margin":   s.unmarshalMargin,
	}[option]
	if !ok {
		return d.Errf("unknown option %q; fastest-swagger knows path, interval, timeout, expect, contains, max_size, margin and fallback", option)
	}
	if !d.NextArg() {
		return d.Errf("%s needs a value", option)
	}
	if err := unmarshal(d); err != nil {
		return err
	}
	if d.NextArg() {
		return d.Errf("unexpected %q: %s takes one value; put a value with spaces in quotes", d.Val(), option)
	}
	return nil
}

// unmarshalPath reads the path, which may be given as argument and as option.
func (s *Selection) unmarshalPath(d *caddyfile.Dispenser) error {
	path := d.Val()
	if !strings.HasPrefix(path, "{") { // a placeholder is replaced later
		if _, err := parsePage(path); err != nil {
			return d.Err(err.Error())
		}
	}
	if s.Path != "" && s.Path != path {
		return d.Errf("path %s differs from %s, which was given as argument; give one of them", path, s.Path)
	}
	s.Path = path
	return nil
}

func unmarshalDuration(d *caddyfile.Dispenser, to *caddy.Duration) error {
	duration, err := caddy.ParseDuration(d.Val())
	if err != nil || duration <= 0 {
		return d.Errf("%q is not a duration: write a number above 0 with its unit, such as 30s or 2m", d.Val())
	}
	*to = caddy.Duration(duration)
	return nil
}

func (s *Selection) unmarshalExpect(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.Err("expect needs one or several statuses, such as 2xx or 200")
	}
	for _, arg := range args {
		digits := arg
		if len(arg) == 3 {
			digits = strings.TrimSuffix(arg, "xx")
		}
		status, err := strconv.Atoi(digits)
		if err != nil || !validStatus(status) || len(arg) != 3 {
			return d.Errf("%q is not a status: write a class such as 2xx or a code such as 200", arg)
		}
		s.Expect = append(s.Expect, status)
	}
	return nil
}

func (s *Selection) unmarshalContains(d *caddyfile.Dispenser) error {
	if d.Val() == "" {
		return d.Err("contains needs a text of the page, such as swagger-ui")
	}
	s.Contains = d.Val()
	return nil
}

func (s *Selection) unmarshalMaxSize(d *caddyfile.Dispenser) error {
	size, err := humanize.ParseBytes(d.Val())
	if err != nil || size == 0 || size > 1<<40 {
		return d.Errf("%q is not a size: write a number above 0 with its unit, such as 4MB", d.Val())
	}
	s.MaxSize = int64(size)
	return nil
}

func (s *Selection) unmarshalMargin(d *caddyfile.Dispenser) error {
	number, ok := strings.CutSuffix(d.Val(), "%")
	percent, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(percent >= 0 && percent < 100) {
		return d.Errf("%q is not a margin: write a percentage from 0%% to below 100%%, such as 15%%", d.Val())
	}
	margin := percent / 100
	s.Margin = &margin
	return nil
}

func (s *Selection) unmarshalFallback(d *caddyfile.Dispenser) error {
	if !d.NextArg() {
		return d.Err("fallback needs a policy, such as random or round_robin")
	}
	name := d.Val()
	if name == "fastest-swagger" {
		return d.Err("fallback: fastest-swagger cannot stand in for itself; name another policy, such as random")
	}
	if _, err := caddy.GetModule(policyNamespace + name); err != nil {
		return d.Errf("fallback: there is no policy %q; name one that Caddy has, such as random, first or least_conn", name)
	}
	module, err := caddyfile.UnmarshalModule(d, policyNamespace+name)
	if err != nil {
		return err
	}
	policy, ok := module.(reverseproxy.Selector)
	if !ok {
		return d.Errf("fallback: %s is not a policy", name)
	}
	s.FallbackRaw = caddyconfig.JSONModuleObject(policy, "policy", name, nil)
	return nil
}

// Interface guards
var _ caddyfile.Unmarshaler = (*Selection)(nil)
