package doh

import (
	"errors"
	"net/http"
	"net/netip"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// The words that `ecs` takes, beside a prefix.
const (
	ecsStrip  = "strip"
	ecsPass   = "pass"
	ecsClient = "client"
)

// How much of a client's address `ecs client` shows. RFC 7871, section 11.1.
const (
	clientBits4 = 24
	clientBits6 = 56
)

// subnets decides which client subnet upstreams are told (RFC 7871), so that
// they can answer with a server that is near. It is in their answers only if
// the asker's own was passed on.
type subnets struct {
	mode  string
	fixed []byte // the option of a prefix
}

var errECS = errors.New("ecs is strip, pass, client, or a prefix like 192.0.2.0/24")

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

// apply sets the subnet that is passed on with a query. An asker who wants
// none to be shown is heeded (RFC 7871, section 7.1.2).
func (s *subnets) apply(q *dnsmsg.Query, ip netip.Addr) {
	const source = 2 // where the length of the asker's prefix is
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

// private reports whether responses are for the client alone: a shared HTTP cache
// must not give them to others (RFC 9111, section 5.2.2.7).
func (s *subnets) private() bool { return s.mode == ecsPass || s.mode == ecsClient }

// shown returns the part of an address that upstreams may see. It is not valid
// if there is none: an address without a place in the world.
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

// sharedSpace is for carriers' translators (RFC 6598).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// clientIP returns the asker's address, as the server sees it behind proxies
// that it trusts.
func clientIP(r *http.Request) netip.Addr {
	text, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	ip, _ := netip.ParseAddr(text)
	return ip.Unmap().WithZone("")
}
