package doh

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
	"github.com/caddy-freetier/caddy-freetier/internal/domainset"
)

// Rebind protects against DNS rebinding: a web page reaches the local network
// through a name of its own site whose address has become a private one.
type Rebind struct {
	// Names whose private addresses are passed on; `example.com` stands for
	// itself and all names below it.
	Except []string `json:"except,omitempty"`
}

// filter withholds records of upstreams. It never changes.
type filter struct {
	types  []uint16 // withheld
	rebind bool     // whether private addresses are withheld
	except domainset.Set
}

// filterTypes are the values of `filter`.
var filterTypes = map[string]uint16{"a": dns.TypeA, "aaaa": dns.TypeAAAA, "https": dns.TypeHTTPS, "svcb": dns.TypeSVCB}

// newFilter returns the filter for `filter` and `rebind_protection`.
func newFilter(types []string, rebind *Rebind) (f filter, err error) {
	for _, name := range types {
		typ, ok := filterTypes[strings.ToLower(name)]
		if !ok {
			return f, fmt.Errorf("filter: %q is not one of a, aaaa, https and svcb", name)
		}
		f.types = append(f.types, typ)
	}
	if rebind == nil {
		return f, nil
	}
	f.rebind = true
	for _, name := range rebind.Except {
		if err := f.except.Add(name); err != nil {
			return f, fmt.Errorf("rebind_protection: %w", err)
		}
	}
	return f, nil
}

// refuse returns the response to a query for a type that is withheld, which denies
// that the name has records of it, and nil for other types.
func (f *filter) refuse(q *dnsmsg.Query) *dnsmsg.Response {
	if q.Class() == dnsmsg.ClassIN && f.withholds(q.Type()) {
		return denial(q, dnsmsg.RcodeNoError, 0)
	}
	return nil
}

// withholds reports whether records of a type are withheld.
func (f *filter) withholds(typ uint16) bool {
	return slices.Contains(f.types, typ)
}

// edit returns a response of an upstream without the records that are withheld.
// guarded is whether private addresses are withheld. If nothing is withheld, it
// returns resp itself. A response that cannot be unpacked is passed on as it is, but
// not when guarded: clients may well read the address beside what is malformed.
func (f *filter) edit(resp *dnsmsg.Response, guarded bool) *dnsmsg.Response {
	if len(f.types) == 0 && !guarded {
		return resp
	}
	var buf [dnsmsg.MaxName]byte
	guarded = guarded && f.except.Match(resp.Name(&buf)) == 0
	edited, ok := resp.Edit(func(m *dns.Msg) (changed bool, code int, reason string) {
		e := editor{filter: f, guarded: guarded}
		m.Answer, m.Ns, m.Extra = e.section(m.Answer), e.section(m.Ns), e.section(m.Extra)
		e.dropSignatures(m)
		switch {
		case e.private:
			return true, dnsmsg.EDEBlocked, "a private address was withheld (rebind_protection)"
		case e.changed:
			return true, -1, ""
		}
		return false, -1, ""
	})
	switch {
	case ok:
		return edited
	case guarded:
		return resp.Withhold(dnsmsg.EDEOther, "the response could not be checked (rebind_protection)")
	}
	return resp
}

// editor removes records from one message.
type editor struct {
	filter  *filter
	guarded bool

	changed bool
	private bool            // a private address was found
	edited  map[uint16]bool // types whose signatures are no longer valid
}

// section returns the records of a section that are passed on. It reuses the slice.
func (e *editor) section(records []dns.RR) []dns.RR {
	kept := records[:0]
	for _, rr := range records {
		if e.keep(rr) {
			kept = append(kept, rr)
			continue
		}
		e.mark(rr.Header().Rrtype)
	}
	return kept
}

// mark records that records of a type were changed.
func (e *editor) mark(typ uint16) {
	e.changed = true
	if e.edited == nil {
		e.edited = make(map[uint16]bool)
	}
	e.edited[typ] = true
}

// keep reports whether a record is passed on. It removes address hints from HTTPS
// and SVCB records.
func (e *editor) keep(rr dns.RR) bool {
	switch rr := rr.(type) {
	case *dns.A:
		return !e.filter.withholds(dns.TypeA) && !e.forbids(rr.A)
	case *dns.AAAA:
		return !e.filter.withholds(dns.TypeAAAA) && !e.forbids(rr.AAAA)
	case *dns.HTTPS:
		e.hints(&rr.SVCB)
		return !e.filter.withholds(dns.TypeHTTPS)
	case *dns.SVCB:
		e.hints(rr)
		return !e.filter.withholds(dns.TypeSVCB)
	}
	return true
}

// hints removes withheld addresses from an HTTPS or SVCB record (RFC 9460, section
// 7.3: ipv4hint, ipv6hint). A browser would connect to them without an A query.
func (e *editor) hints(rr *dns.SVCB) {
	kept := rr.Value[:0]
	for _, value := range rr.Value {
		drop := false
		switch hint := value.(type) {
		case *dns.SVCBIPv4Hint:
			drop = e.filter.withholds(dns.TypeA)
			for _, ip := range hint.Hint {
				drop = e.forbids(ip) || drop
			}
		case *dns.SVCBIPv6Hint:
			drop = e.filter.withholds(dns.TypeAAAA)
			for _, ip := range hint.Hint {
				drop = e.forbids(ip) || drop
			}
		}
		if drop {
			e.mark(rr.Hdr.Rrtype)
			continue
		}
		kept = append(kept, value)
	}
	rr.Value = kept
}

// forbids reports whether an address is withheld because it is private.
func (e *editor) forbids(raw []byte) bool {
	if !e.guarded {
		return false
	}
	ip, ok := netip.AddrFromSlice(raw)
	if !ok {
		return false
	}
	if !isInside(ip) {
		return false
	}
	e.private = true
	return true
}

// isInside reports whether an address belongs to this machine or the local network,
// also when it is an IPv4 address inside an IPv6 one (RFC 4291, section 2.5.5, and
// the NAT64 prefix of RFC 6052).
func isInside(ip netip.Addr) bool {
	ip = ip.Unmap()
	if nat64.Contains(ip) {
		bytes := ip.As16()
		ip = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	return ip.IsPrivate() || ip.IsLoopback() || ip.IsUnspecified() || ip.IsLinkLocalUnicast() ||
		sharedSpace.Contains(ip) || thisNetwork.Contains(ip)
}

var (
	nat64       = netip.MustParsePrefix("64:ff9b::/96")
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8")
)

// dropSignatures removes the signatures of records that were changed, and clears
// the AD bit, which states that all records were validated (RFC 4035, section
// 3.2.3).
func (e *editor) dropSignatures(m *dns.Msg) {
	if !e.changed {
		return
	}
	m.AuthenticatedData = false
	valid := func(records []dns.RR) []dns.RR {
		kept := records[:0]
		for _, rr := range records {
			if sig, ok := rr.(*dns.RRSIG); !ok || !e.edited[sig.TypeCovered] {
				kept = append(kept, rr)
			}
		}
		return kept
	}
	m.Answer, m.Ns, m.Extra = valid(m.Answer), valid(m.Ns), valid(m.Extra)
}
