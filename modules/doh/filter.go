package doh

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
	"github.com/caddy-freetier/caddy-freetier/internal/domainset"
)

// Rebind guards against DNS rebinding, in which a page of another site reaches
// the local network by a name of its own.
type Rebind struct {
	// Names whose private addresses are passed on; `example.com` stands for
	// itself and all names below it.
	Except []string `json:"except,omitempty"`
}

// filter withholds records of upstreams.
type filter struct {
	types  []uint16 // that are not answered
	rebind bool
	except domainset.Set
}

// filterTypes are the types that `filter` takes.
var filterTypes = map[string]uint16{"a": dns.TypeA, "aaaa": dns.TypeAAAA, "https": dns.TypeHTTPS, "svcb": dns.TypeSVCB}

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

// refuse answers a query for a type that is withheld as if the name had no
// record of it, and else returns nil.
func (f *filter) refuse(q *dnsmsg.Query) *dnsmsg.Response {
	if q.Class() == dnsmsg.ClassIN && f.withholds(q.Type()) {
		return denial(q, dnsmsg.RcodeNoError, 0)
	}
	return nil
}

func (f *filter) withholds(typ uint16) bool {
	for _, other := range f.types {
		if typ == other {
			return true
		}
	}
	return false
}

// edit returns a response of an upstream without what is withheld. guarded says
// that private addresses are.
func (f *filter) edit(resp *dnsmsg.Response, guarded bool) *dnsmsg.Response {
	if len(f.types) == 0 && !guarded {
		return resp
	}
	return resp.Edit(func(m *dns.Msg) (changed bool, code int, reason string) {
		guarded := guarded && len(m.Question) == 1 && !f.exempt(m.Question[0].Name)
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
}

func (f *filter) exempt(name string) bool {
	wire, err := domainset.Wire(strings.ToLower(name))
	return err == nil && f.except.Match([]byte(wire)) > 0
}

// editor goes through the records of a message.
type editor struct {
	filter  *filter
	guarded bool

	changed bool
	private bool            // a private address was found
	edited  map[uint16]bool // types whose signatures do not hold any more
}

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

func (e *editor) mark(typ uint16) {
	e.changed = true
	if e.edited == nil {
		e.edited = make(map[uint16]bool)
	}
	e.edited[typ] = true
}

// keep reports whether a record is passed on. Hints of HTTPS records are taken
// out of them.
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

// hints takes addresses that are withheld out of an HTTPS or SVCB record.
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

// forbids reports whether an address is one of a private network.
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

// isInside reports whether an address leads to this machine or the local
// network, also by way of IPv6 (RFC 4291, section 2.5.5; RFC 6052).
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

// dropSignatures takes out the signatures of records that were changed, and the
// bit that says that all were validated.
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
