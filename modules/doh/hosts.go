package doh

import (
	"fmt"
	"net/netip"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
	"github.com/caddy-freetier/caddy-freetier/internal/domainset"
)

// Host is an address of names that are answered here. The first name is the
// address's PTR record. Other types of the names get an empty answer.
type Host struct {
	// The IPv4 or IPv6 address.
	IP string `json:"ip,omitempty"`

	// The names. `*.example` stands for all names below example, except those
	// that are listed themselves.
	Names []string `json:"names,omitempty"`

	// A hosts file, instead of an address and names. It is read again when it
	// changes. Names and addresses in the configuration have precedence.
	File string `json:"file,omitempty"`
}

// hosts are the names that are answered here. A look-up takes no lock: given does
// not change after Provision, and the content of a file is replaced as a whole.
type hosts struct {
	given domainset.Hosts
	files []*domainset.File[domainset.Hosts]
}

// newHosts returns the hosts in the configuration, without those of files.
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

// pointer returns the target of a PTR record, given its name (4.3.2.1.in-addr.arpa);
// both are in wire format.
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

// resolve returns the response to a query for one of the hosts, and nil for other
// names. name is in lower case.
func (h *hosts) resolve(q *dnsmsg.Query, name []byte) *dnsmsg.Response {
	typ := q.Type()
	if typ == dnsmsg.TypeHTTPS || typ == dnsmsg.TypeSVCB {
		// Browsers look up _8443._https.demo.test as well (RFC 9460, section
		// 9.1). Such names must not reach an upstream.
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

// addresses returns the response to a query for a name with these addresses.
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
