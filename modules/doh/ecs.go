package doh

import (
	"errors"
	"net/http"
	"net/netip"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// The values of `ecs`, besides a prefix.
const (
	ecsStrip  = "strip"
	ecsPass   = "pass"
	ecsClient = "client"
)

// How many bits of a client's address `ecs client` sends. RFC 7871, section 11.1,
// recommends at most 24 for IPv4 and 56 for IPv6.
const (
	clientBits4 = 24
	clientBits6 = 56
)

// subnets decides which client subnet (RFC 7871) is sent to upstreams, so that they
// can answer with a nearby server. Responses to clients contain a subnet only if
// the client's own was passed on. It never changes.
type subnets struct {
	mode  string // one of the words above; empty for a prefix
	fixed []byte // the EDNS option of the prefix
}

var errECS = errors.New("ecs is strip, pass, client, or a prefix like 192.0.2.0/24")

// newSubnets returns the subnets for a value of `ecs`; empty is `strip`.
func newSubnets(word string) (*subnets, error) {
	switch word {
	case "":
		return &subnets{mode: ecsStrip}, nil
	case ecsStrip, ecsPass, ecsClient:
		return &subnets{mode: word}, nil
	}
	prefix, err := netip.ParsePrefix(word)
	if err != nil {
		return nil, errECS
	}
	return &subnets{fixed: dnsmsg.SubnetOption(prefix)}, nil
}

// apply sets the subnet that is sent with a query. A client that sends a prefix of
// length 0 wants no part of its address to be sent, in any mode (RFC 7871, section
// 7.1.2).
func (s *subnets) apply(q *dnsmsg.Query, ip netip.Addr) {
	const source = 2 // offset of SOURCE PREFIX-LENGTH, after FAMILY (RFC 7871, section 6)
	switch {
	case s.mode == ecsStrip:
		q.Subnet = nil
	case s.mode == ecsPass, len(q.Subnet) > source && q.Subnet[source] == 0:
		q.Echo = q.Subnet != nil
	case s.mode == ecsClient:
		q.Subnet = dnsmsg.SubnetOption(shown(ip))
	default:
		q.Subnet = s.fixed
	}
}

// private reports whether responses depend on the client's address. A shared HTTP
// cache must not give them to others (RFC 9111, section 5.2.2.7).
func (s *subnets) private() bool { return s.mode == ecsPass || s.mode == ecsClient }

// shown returns the part of an address that may be sent to upstreams. It is invalid
// for an address without a location, such as a private one.
func shown(ip netip.Addr) netip.Prefix {
	if !ip.IsValid() || !ip.IsGlobalUnicast() || ip.IsPrivate() || sharedSpace.Contains(ip) {
		return netip.Prefix{}
	}
	bits := clientBits6
	if ip.Is4() {
		bits = clientBits4
	}
	prefix, _ := ip.Prefix(bits)
	return prefix
}

// sharedSpace is the address space of carrier-grade NAT (RFC 6598).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// clientIP returns the client's address, as Caddy determines it with
// `trusted_proxies`. IPv4 addresses in IPv6 are unmapped, so that a client counts
// once.
func clientIP(r *http.Request) netip.Addr {
	text, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	ip, _ := netip.ParseAddr(text)
	return ip.Unmap().WithZone("")
}
