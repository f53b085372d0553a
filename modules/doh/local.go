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

// The words that `local_names` takes.
const (
	localNamesOn  = "on"
	localNamesOff = "off"
)

// resolverArpa is the zone in which clients look for the encrypted addresses
// of their resolver: an upstream would name its own. RFC 9462, section 6.4.
var resolverArpa = []byte("\x08resolver\x04arpa\x00")

// protocol answers what no upstream may be asked whatever the configuration, and
// else returns nil. The name is in lower case.
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

// denial returns a response without an answer section, with the SOA of the zone
// that begins at an offset into the name.
func denial(q *dnsmsg.Query, rcode, zone int) *dnsmsg.Response {
	b := dnsmsg.NewBuilder(q, rcode)
	b.AddSOA(zone)
	return b.Response()
}

// localResponse answers the query if its name, which is in lower case, is not
// for public resolvers, and else returns nil.
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

// answersLocalNames reports whether local names are answered here: unless the
// configuration says so or not, when there is a public upstream to keep them
// from.
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

// isPrivate reports whether an upstream is this machine's resolver or one in a
// private network: it may know local names.
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
