package domainset

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
)

// maxAddresses is how many addresses a name can have. Each one more makes another list,
// and all lists stay, so that without a bound the memory for a file would grow with the
// square of its lines. As many addresses also fit into any response, even all of IPv6
// into one of 1232 bytes, the usual size over UDP.
const maxAddresses = 32

var errAddresses = fmt.Errorf("a name has at most %d addresses", maxAddresses)

// Hosts maps names to addresses, as a hosts file does, and addresses back to
// names. The zero value is empty.
type Hosts struct {
	exact Table // name ──▶ index into lists
	below Table // the same for *.name, without the asterisk

	// lists are the different lists of addresses. A list of names to block has
	// only one, for all its names.
	lists [][]netip.Addr

	// index is the index into lists by the bytes of a list's addresses. It is used
	// only while names are added.
	index map[string]uint32

	reverse Table    // name of a PTR record ──▶ index into names
	names   []string // the targets of PTR records, in wire format
}

// Add adds an address to names. `*.example` stands for all names below example, except
// those that are added themselves. The PTR record of an address has the first name that
// the address was added to.
func (h *Hosts) Add(ip netip.Addr, names ...string) error {
	ip = ip.Unmap()
	for i, name := range names {
		table := &h.exact
		rest, wild := strings.CutPrefix(name, "*.")
		if wild {
			table = &h.below
		}
		var buf [maxName + 1]byte
		wire, err := appendWire(buf[:0], rest)
		if err == nil && wire[0] == 0 {
			err = errLabel // the root has no address
		}
		if err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
		if err := h.add(table, wire, ip); err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
		if i == 0 && !wild {
			if err := h.addReverse(ip, wire); err != nil {
				return err
			}
		}
	}
	return nil
}

// add replaces a name's list by one that has the address as well, which may be shared
// with other names.
func (h *Hosts) add(table *Table, name []byte, ip netip.Addr) error {
	var list []netip.Addr
	if i, ok := table.Get(name); ok {
		list = h.lists[i]
	}
	var key []byte
	for _, other := range list {
		if other == ip {
			return nil
		}
		key = append(key, other.AsSlice()...)
		key = append(key, '/')
	}
	if len(list) == maxAddresses {
		return errAddresses
	}
	key = append(key, ip.AsSlice()...)
	i, ok := h.index[string(key)]
	if !ok {
		if h.index == nil {
			h.index = make(map[string]uint32)
		}
		i = uint32(len(h.lists))
		h.lists = append(h.lists, append(slices.Clip(list), ip))
		h.index[string(key)] = i
	}
	return table.Set(name, i)
}

// addReverse sets the target of an address's PTR record, unless it has one.
func (h *Hosts) addReverse(ip netip.Addr, name []byte) error {
	if ip.IsUnspecified() {
		return nil // 0.0.0.0 and :: mark blocked names
	}
	text, err := Reverse(netip.PrefixFrom(ip, ip.BitLen()))
	if err != nil {
		return err
	}
	var buf [maxName + 1]byte
	reverse, err := appendWire(buf[:0], text)
	if err != nil {
		return err
	}
	if _, ok := h.reverse.Get(reverse); ok {
		return nil
	}
	h.names = append(h.names, string(name))
	return h.reverse.Set(reverse, uint32(len(h.names)-1))
}

// Addrs returns the addresses of a name, which is in wire format and lower case, and
// whether the name or a wildcard above it was added.
func (h *Hosts) Addrs(name []byte) ([]netip.Addr, bool) {
	if i, ok := h.exact.Get(name); ok {
		return h.lists[i], true
	}
	if h.below.Len() == 0 {
		return nil, false
	}
	for name[0] != 0 {
		name = name[1+name[0]:]
		if i, ok := h.below.Get(name); ok {
			return h.lists[i], true
		}
	}
	return nil, false
}

// Pointer returns the target of a PTR record, and whether there is one. Both the
// record's name and the target are in wire format, the name in lower case.
func (h *Hosts) Pointer(name []byte) (string, bool) {
	i, ok := h.reverse.Get(name)
	if !ok {
		return "", false
	}
	return h.names[i], true
}

// Len returns the number of names.
func (h *Hosts) Len() int { return h.exact.Len() + h.below.Len() }

// readHosts reads a hosts file, in which a line has an address and its names; see
// hosts(5).
func readHosts(r io.Reader) (*Hosts, LineErrors, error) {
	h := new(Hosts)
	bad, err := readLines(r, func(words []string) error {
		ip, err := netip.ParseAddr(words[0])
		if err != nil {
			return fmt.Errorf("%q is not an IP address", words[0])
		}
		if len(words) < 2 {
			return errors.New("there is no name behind the address")
		}
		if ip.Zone() != "" {
			return nil // a link-local address has a meaning on this machine only
		}
		return h.Add(ip, words[1:]...)
	})
	h.index = nil
	return h, bad, err
}
