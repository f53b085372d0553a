package domainset

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
)

// Hosts maps names to addresses, as a hosts file does, and addresses back to
// names. The zero value is empty.
type Hosts struct {
	exact, below Table // of indexes into lists, below without the asterisk
	lists        [][]netip.Addr
	index        map[string]uint32 // of lists, by the bytes of their addresses; used while it is built
	reverse      Table             // of indexes into names, by the name of the PTR record
	names        []string          // in wire format
}

// Add gives names an address. `*.example` stands for all names below example,
// unless they are given themselves. The first name that an address is given to
// is the one that its PTR record has.
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
			return err
		}
		if i == 0 && !wild {
			if err := h.addReverse(ip, wire); err != nil {
				return err
			}
		}
	}
	return nil
}

// add adds an address to a name's list. Lists are shared: a list of names to
// block has one list for all of them.
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

// addReverse keeps the first name of an address.
func (h *Hosts) addReverse(ip netip.Addr, name []byte) error {
	if ip.IsUnspecified() {
		return nil // that is no address, but says that a name is blocked
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

// Addrs returns the addresses of a name in wire format and lower case, and
// reports whether the name is there.
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

// Pointer returns the name, in wire format, that the PTR record of a name in
// wire format and lower case has, and reports whether there is one.
func (h *Hosts) Pointer(name []byte) (string, bool) {
	i, ok := h.reverse.Get(name)
	if !ok {
		return "", false
	}
	return h.names[i], true
}

// Len returns the number of names.
func (h *Hosts) Len() int { return h.exact.Len() + h.below.Len() }

// readHosts reads a hosts file: an address and names a line (hosts(5)).
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
			return nil // it has a meaning on the machine itself only
		}
		return h.Add(ip, words[1:]...)
	})
	h.index = nil
	return h, bad, err
}
