package fastestswagger

import (
	"fmt"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-freetier/caddy-freetier/internal/caddyfileutil"
)

// UnmarshalCaddyfile sets up the policy from Caddyfile tokens. Syntax:
//
//	lb_policy fastest-swagger [<path>] {
//		path     <path>
//		interval <duration>
//		timeout  <duration>
//		expect   <status...>
//		contains <text>
//		header   <name> <value>
//		max_size <size>
//		margin   <percent>
//		fallback <policy>
//	}
func (s *Selection) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the policy's name
	s.Source = fmt.Sprintf("%s:%d", d.File(), d.Line())
	args, err := caddyfileutil.Arguments(d, "[<path>]", defaultPath+"; other options stand in a block")
	if err != nil {
		return err
	}
	if len(args) > 0 {
		if err := s.setPath(args[0]); err != nil {
			return d.WrapErr(err)
		}
	}
	return caddyfileutil.ParseBlock(d, "fastest-swagger", s.options())
}

const (
	minDuration = time.Millisecond

	// hastyInterval is an interval below which its unit is probably wrong.
	hastyInterval = time.Second
)

func (s *Selection) options() []caddyfileutil.Option {
	return []caddyfileutil.Option{
		{Name: "path", Parse: caddyfileutil.One("<path>", defaultPath, s.setPath)},
		{Name: "interval", Parse: caddyfileutil.Duration(&s.Interval, minDuration)},
		{Name: "timeout", Parse: caddyfileutil.Duration(&s.Timeout, minDuration)},
		{Name: "expect", Parse: caddyfileutil.Statuses(&s.Expect, 1, 5, "200 or 2xx")},
		{Name: "contains", Parse: caddyfileutil.Text(&s.Contains, "<text>", "swagger-ui")},
		{Name: "header", Repeats: true, Parse: s.parseHeader},
		{Name: "max_size", Parse: caddyfileutil.Size(&s.MaxSize)},
		{Name: "margin", Parse: caddyfileutil.Percent(&s.Margin, true)},
		{Name: "fallback", Block: true, Parse: s.parseFallback},
	}
}

// setPath sets the path, which may be given as argument and as option.
func (s *Selection) setPath(path string) error {
	if !strings.HasPrefix(path, "{") { // a placeholder is replaced later
		if _, err := parsePage(path); err != nil {
			return err
		}
	}
	if s.Path != "" && s.Path != path {
		return fmt.Errorf("path %s differs from %s, which was given as argument; give one of them", path, s.Path)
	}
	s.Path = path
	return nil
}

func (s *Selection) parseHeader(d *caddyfile.Dispenser) error {
	if ahead := *d; ahead.NextArg() {
		if err := checkHeaderName(strings.TrimSuffix(ahead.Val(), ":")); err != nil {
			return d.WrapErr(err)
		}
	}
	return caddyfileutil.Header(&s.Header)(d)
}

func (s *Selection) parseFallback(d *caddyfile.Dispenser) error {
	if ahead := *d; ahead.NextArg() && ahead.Val() == "fastest-swagger" {
		return d.Err("fallback: fastest-swagger cannot stand in for itself; write another policy, such as random")
	}
	return caddyfileutil.Policy(&s.FallbackRaw)(d)
}

// Interface guards
var _ caddyfile.Unmarshaler = (*Selection)(nil)
