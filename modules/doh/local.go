package doh

import (
	"fmt"
	"net/netip"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
	"github.com/caddy-freetier/caddy-freetier/internal/domainset"
	"github.com/caddy-freetier/caddy-freetier/internal/localname"
	"github.com/caddy-freetier/caddy-freetier/modules/doh/pool"
)

// The values of `local_names`.
const (
	localNamesOn  = "on"
	localNamesOff = "off"
)

// resolverArpa is the zone in which clients discover the encrypted addresses of
// their resolver. An upstream would return its own, and clients would then bypass
// this server; RFC 9462, section 6.4, forbids forwarding.
var resolverArpa = []byte("\x08resolver\x04arpa\x00")

// protocol returns the response to a query that must not be forwarded in any
// configuration, and nil for other queries. name is in lower case.
func protocol(q *dnsmsg.Query, name []byte) *dnsmsg.Response {
	if q.Opcode != 0 {
		return dnsmsg.NewBuilder(q, dnsmsg.RcodeNotImp).Response()
	}
	if q.Version != 0 {
		return dnsmsg.NewBuilder(q, dnsmsg.RcodeBadVers).Response() // RFC 6891, section 6.1.3
	}
	zone := dnsmsg.Within(name, resolverArpa)
	if zone < 0 {
		return nil
	}
	return denial(q, dnsmsg.RcodeNoError, zone)
}

// denial returns a response without an answer section. Its SOA record, from which
// clients take the TTL (RFC 2308), is the one of the zone that begins at an offset
// into the query's name.
func denial(q *dnsmsg.Query, rcode, zone int) *dnsmsg.Response {
	b := dnsmsg.NewBuilder(q, rcode)
	b.AddSOA(zone)
	return b.Response()
}

// localResponse returns the response to a query for a local name, and nil for a
// public name. name is in lower case.
func localResponse(q *dnsmsg.Query, name []byte) *dnsmsg.Response {
	kind, zone := localname.Classify(name, q.Type())
	switch kind {
	case localname.Public:
		return nil
	case localname.NXDomain:
		return denial(q, dnsmsg.RcodeNXDomain, zone)
	case localname.NoData:
		return denial(q, dnsmsg.RcodeNoError, zone)
	}
	b := dnsmsg.NewBuilder(q, dnsmsg.RcodeNoError)
	switch {
	case kind == localname.Localhost:
		b.Add(dnsmsg.TypePTR, []byte(localname.LocalhostName))
	case q.Type() == dnsmsg.TypeA:
		b.Add(dnsmsg.TypeA, netip.AddrFrom4([4]byte{127, 0, 0, 1}).AsSlice())
	default:
		b.Add(dnsmsg.TypeAAAA, netip.IPv6Loopback().AsSlice())
	}
	return b.Response()
}

// answersLocalNames reports whether local names are answered here. By default they
// are if there is a public upstream, which must not see them, or no upstream.
func answersLocalNames(word string, upstreams []*pool.Upstream) (bool, error) {
	switch word {
	case localNamesOn:
		return true, nil
	case localNamesOff:
		return false, nil
	case "":
	default:
		return false, fmt.Errorf("local_names is on or off, not %q", word)
	}
	for _, u := range upstreams {
		for _, raw := range u.URLs {
			if !isPrivate(u, raw) {
				return true, nil
			}
		}
	}
	return len(upstreams) == 0, nil
}

// isPrivate reports whether an upstream is this machine's resolver or in a private
// network, so that it may be able to answer local names.
func isPrivate(u *pool.Upstream, raw string) bool {
	address, err := pool.ParseURL(caddy.NewReplacer().ReplaceAll(raw, ""))
	if err != nil {
		return false
	}
	if address.Scheme == pool.SchemeSystem {
		return true
	}
	hosts := u.Bootstrap
	if len(hosts) == 0 {
		hosts = []string{address.Hostname()}
	}
	for _, host := range hosts {
		if !privateHost(host) {
			return false
		}
	}
	return true
}

// privateHost reports whether a host is a private address or a local name.
func privateHost(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		ip = ip.Unmap()
		return ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || sharedSpace.Contains(ip)
	}
	wire, err := domainset.Wire(host)
	if err != nil {
		return false
	}
	kind, _ := localname.Classify([]byte(wire), dnsmsg.TypeA)
	return kind != localname.Public
}
