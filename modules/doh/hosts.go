package doh

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// Host gives names an address that is answered here. Other types than A and
// AAAA get an empty answer.
type Host struct {
	// The IPv4 or IPv6 address.
	IP string `json:"ip,omitempty"`

	// The names. `*.example` stands for all names below example, unless
	// they are given themselves.
	Names []string `json:"names,omitempty"`
}

// hosts are the addresses of names in wire format and lower case. Names that
// stand for all below them are in below, without their asterisk.
type hosts struct {
	exact map[string][]netip.Addr
	below map[string][]netip.Addr
}

func newHosts(configs []*Host) (*hosts, error) {
	h := &hosts{make(map[string][]netip.Addr), make(map[string][]netip.Addr)}
	for _, config := range configs {
		ip, err := netip.ParseAddr(config.IP)
		if err != nil || ip.Zone() != "" {
			return nil, fmt.Errorf("hosts: %q is not an IP address", config.IP)
		}
		for _, name := range config.Names {
			names := h.exact
			rest, wild := strings.CutPrefix(name, "*.")
			if wild {
				names = h.below
			}
			wire, err := wireName(rest)
			if err != nil {
				return nil, fmt.Errorf("hosts: %q: %w", name, err)
			}
			names[wire] = append(names[wire], ip.Unmap())
		}
	}
	return h, nil
}

// wireName returns a name in wire format and lower case.
func wireName(name string) (string, error) {
	name = strings.TrimSuffix(name, ".")
	var wire []byte
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return "", errors.New("a name consists of labels of 1 to 63 characters with dots between them")
		}
		wire = append(wire, byte(len(label)))
		for _, c := range []byte(label) {
			if c <= ' ' || c > '~' || c == '*' || c == '/' || c == ':' || c == '\\' {
				return "", errors.New("a name consists of letters, digits and hyphens (xn--… for others), with *. before it or not")
			}
			wire = append(wire, dnsmsg.Lower(c))
		}
	}
	if wire = append(wire, 0); len(wire) > dnsmsg.MaxName {
		return "", errors.New("the name is too long")
	}
	return string(wire), nil
}

// lookUp returns the addresses of a name in wire format and lower case.
func (h *hosts) lookUp(name []byte) ([]netip.Addr, bool) {
	if ips, ok := h.exact[string(name)]; ok {
		return ips, true
	}
	for len(name) > 1 {
		name = name[1+name[0]:]
		if ips, ok := h.below[string(name)]; ok {
			return ips, true
		}
	}
	return nil, false
}

// resolve answers the query if it is for one of the names, and else returns nil.
func (h *hosts) resolve(q *dnsmsg.Query) *dnsmsg.Response {
	if q.Class() != dnsmsg.ClassIN || len(h.exact)+len(h.below) == 0 {
		return nil
	}
	var buf [dnsmsg.MaxName]byte
	name := q.Name(&buf)
	if typ := q.Type(); typ == dnsmsg.TypeHTTPS || typ == dnsmsg.TypeSVCB {
		// Browsers ask for _8443._https.demo.test as well, which nobody else
		// is to know.
		for len(name) > 1 && name[1] == '_' {
			name = name[1+name[0]:]
		}
	}
	ips, ok := h.lookUp(name)
	if !ok {
		return nil
	}
	reply, found := dnsmsg.NewBuilder(q, dnsmsg.RcodeNoError), false
	for _, ip := range ips {
		if typ := q.Type(); typ == dnsmsg.TypeA && ip.Is4() || typ == dnsmsg.TypeAAAA && ip.Is6() {
			reply.Add(typ, ip.AsSlice())
			found = true
		}
	}
	if !found {
		reply.AddSOA(0)
	}
	return reply.Response()
}
