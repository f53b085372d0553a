package doh

import (
	"fmt"
	"net/netip"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
	"github.com/caddy-freetier/caddy-freetier/internal/domainset"
)

// Host gives names an address that is answered here, and the address the first
// of them as its PTR record. Types that the name has no record of get an empty
// answer.
type Host struct {
	// The IPv4 or IPv6 address.
	IP string `json:"ip,omitempty"`

	// The names. `*.example` stands for all names below example, unless
	// they are given themselves.
	Names []string `json:"names,omitempty"`

	// A hosts file, in place of an address and names. It is read again when it
	// changes. Names and addresses that are given themselves come first.
	File string `json:"file,omitempty"`
}

// hosts are the names that are answered here.
type hosts struct {
	given domainset.Hosts
	files []*domainset.File[domainset.Hosts]
}

// newHosts returns the hosts that are given, without their files.
func newHosts(configs []*Host) (*hosts, error) {
	h := new(hosts)
	for _, config := range configs {
		if config.File != "" {
			continue
		}
		ip, err := netip.ParseAddr(config.IP)
		if err != nil || ip.Zone() != "" {
			return nil, fmt.Errorf("hosts: %q is not an IP address", config.IP)
		}
		if err := h.given.Add(ip, config.Names...); err != nil {
			return nil, fmt.Errorf("hosts: %w", err)
		}
	}
	return h, nil
}

// addrs returns the addresses of a name in wire format and lower case.
func (h *hosts) addrs(name []byte) ([]netip.Addr, bool) {
	if ips, ok := h.given.Addrs(name); ok {
		return ips, true
	}
	for _, file := range h.files {
		if ips, ok := file.Content().Addrs(name); ok {
			return ips, true
		}
	}
	return nil, false
}

// pointer returns the name, in wire format, of a PTR record.
func (h *hosts) pointer(name []byte) (string, bool) {
	if target, ok := h.given.Pointer(name); ok {
		return target, true
	}
	for _, file := range h.files {
		if target, ok := file.Content().Pointer(name); ok {
			return target, true
		}
	}
	return "", false
}

// resolve answers the query if its name, which is in lower case, is one of
// these, and else returns nil.
func (h *hosts) resolve(q *dnsmsg.Query, name []byte) *dnsmsg.Response {
	typ := q.Type()
	if typ == dnsmsg.TypeHTTPS || typ == dnsmsg.TypeSVCB {
		// Browsers ask for _8443._https.demo.test as well, which nobody else
		// is to know.
		for len(name) > 1 && name[1] == '_' {
			name = name[1+name[0]:]
		}
	}
	if ips, ok := h.addrs(name); ok {
		return addresses(q, ips)
	}
	target, ok := h.pointer(name)
	switch {
	case !ok:
		return nil
	case typ != dnsmsg.TypePTR:
		return denial(q, dnsmsg.RcodeNoError, 0)
	}
	b := dnsmsg.NewBuilder(q, dnsmsg.RcodeNoError)
	b.Add(dnsmsg.TypePTR, []byte(target))
	return b.Response()
}

// addresses answers a query for a name that has these addresses.
func addresses(q *dnsmsg.Query, ips []netip.Addr) *dnsmsg.Response {
	b, found := dnsmsg.NewBuilder(q, dnsmsg.RcodeNoError), false
	for _, ip := range ips {
		if typ := q.Type(); typ == dnsmsg.TypeA && ip.Is4() || typ == dnsmsg.TypeAAAA && ip.Is6() {
			b.Add(typ, ip.AsSlice())
			found = true
		}
	}
	if !found {
		b.AddSOA(0)
	}
	return b.Response()
}
