package doh

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-freetier/caddy-freetier/internal/caddyfileutil"
)

// UnmarshalCaddyfile sets up the source. Syntax:
//
//	dynamic doh {
//		upstream    <url...> {
//			name      <name>
//			tier      <number>
//			quota     <n>/<period> [<account>] [<zone>]
//			bootstrap <ip...>
//			header    <name> <value>
//			tls_ca    <file>
//		}
//		timeout     <duration>
//		hedge       <duration>|off
//		log_queries
//	}
//
// The proxy's `lb_policy` chooses among the upstreams. The proxy needs `transport
// doh` as well.
func (s *Source) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the source's name
	s.Place = caddyfileutil.SourceOf(d)
	if d.NextArg() {
		return d.Err("dynamic doh takes no value; write its upstreams into a block")
	}
	if err := caddyfileutil.ParseBlock(d, "dynamic doh", s.options()); err != nil {
		return err
	}
	if len(s.Upstreams) == 0 {
		return d.Err("dynamic doh needs an upstream, such as upstream https://dns.example/dns-query")
	}
	return nil
}

// options are the options in the block of `dynamic doh`. `policy` is among them only for
// its error, which names the option of the proxy to use instead.
func (s *Source) options() []caddyfileutil.Option {
	return []caddyfileutil.Option{
		{Name: "upstream", Repeats: true, Block: true, Parse: upstreamParser(&s.Config, proxyUpstreamOptions)},
		{Name: "timeout", Parse: caddyfileutil.Duration(&s.Timeout, leastDuration)},
		{Name: "hedge", Parse: caddyfileutil.DurationOrOff(&s.Hedge, leastDuration)},
		{Name: "log_queries", Parse: caddyfileutil.Flag(&s.LogQueries)},
		{Name: "policy", Instead: lbPolicyChooses},
	}
}

// lbPolicyChooses is the error for options of the handler that have no effect in a
// proxy.
const lbPolicyChooses = "the choice among the upstreams of a reverse_proxy is its lb_policy"

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

// Interface guards
var (
	_ caddyfile.Unmarshaler = (*Source)(nil)
	_ caddyfile.Unmarshaler = (*Transport)(nil)
)
