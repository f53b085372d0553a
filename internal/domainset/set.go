// Package domainset has large sets of domain names: the names of `for`, those that are
// exempt from a rule, and those of hosts files.
//
// A name is looked up in the wire format of DNS messages, in lower case, without an
// allocation. A million names need less than 64 MB of memory, in tables without
// pointers, which the garbage collector does not scan.
//
//	Set    names and wildcards ─┐
//	Hosts  names ──▶ addresses ─┴─▶ Table: name ──▶ number
//
//	File   a Set or Hosts that is read from a file, shared by configurations, and
//	       replaced as a whole when the file changes
//
// The files: wire.go converts names; table.go has the hash table; set.go and hosts.go
// are built on it; list.go reads lines and file.go watches the files.
package domainset

import (
	"fmt"
	"net/netip"
	"strings"
)

// The flags of a name in a Set's table.
const (
	plain   uint32 = 1 << iota // added as example.com
	starred                    // added as *.example.com
)

// Set is a set of domain names. `example.com` matches itself and all names
// below it, `*.example.com` only those below it. The zero value is empty.
type Set struct {
	names   Table
	longest int // the longest name in wire format, in bytes; Match skips longer suffixes
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

// Match returns the rank of the set's best match with a name, which is in wire format
// and lower case, and 0 if there is none. Of several sets the one with the highest rank
// has the longest match; of equally long ones, the one with the name itself, or with
// the wildcard above it, is ranked before the one with a name that it is below.
//
// The name itself and then each of its parents are looked up, so that the time depends
// on the number of labels and not on the size of the set.
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

// Size returns the memory that the set needs, in bytes.
func (s *Set) Size() int { return s.names.Size() }
