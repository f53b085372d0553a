// Package domainset holds large sets of domain names: what `for` routes, names
// that are exempt from a rule, and the names of hosts files.
//
// A name is looked up as it stands in a DNS message, in lower case, without an
// allocation. A million names take less than 64 MB.
package domainset

import (
	"fmt"
	"net/netip"
	"strings"
)

// How a name was added.
const (
	plain uint32 = 1 << iota
	starred
)

// Set is a set of domain names. `example.com` matches itself and all names
// below it, `*.example.com` only those below it. The zero value is empty.
type Set struct {
	names   Table
	longest int // of the names, in bytes
}

// Add adds a name, such as `example.com`, `*.example.com` or `.` for all
// names, or the reverse zone of a network, such as `192.168.0.0/16`.
func (s *Set) Add(name string) error {
	if strings.Contains(name, "/") {
		prefix, err := netip.ParsePrefix(name)
		if err != nil {
			return fmt.Errorf("%q is neither a name nor a network such as 192.168.0.0/16", name)
		}
		if name, err = Reverse(prefix); err != nil {
			return err
		}
	}
	how := plain
	rest, wild := strings.CutPrefix(name, "*.")
	if wild {
		how = starred
	}
	var buf [maxName + 1]byte
	wire, err := appendWire(buf[:0], rest)
	if err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	s.longest = max(s.longest, len(wire))
	before, _ := s.names.Get(wire)
	return s.names.Set(wire, before|how)
}

// Match returns how well the set matches a name, which is in wire format and
// lower case, or 0 if it does not. The set that returns the greatest number has
// the longest match. Among equally long ones that is the set with the name
// itself, or with an asterisk before the rest.
func (s *Set) Match(name []byte) int {
	if s.names.Len() == 0 {
		return 0
	}
	off := 0
	for len(name)-off > s.longest {
		off += 1 + int(name[off])
	}
	for ; ; off += 1 + int(name[off]) {
		how, _ := s.names.Get(name[off:])
		length := 2 * (len(name) - off)
		switch {
		case off == 0 && how&plain != 0, off > 0 && how&starred != 0:
			return length + 1
		case off > 0 && how&plain != 0:
			return length
		case name[off] == 0:
			return 0
		}
	}
}

// Len returns the number of names.
func (s *Set) Len() int { return s.names.Len() }

// Size returns the memory that the set takes, in bytes.
func (s *Set) Size() int { return s.names.Size() }
