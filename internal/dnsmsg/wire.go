// Package dnsmsg reads and writes DNS messages for a forwarder (RFC 1035, section 4).
// Messages are read in place: a forwarder needs the header, the question, the TTLs
// and the EDNS options, and unpacking all records would cost more than everything
// else that it does.
//
//	client ── Query.Parse ─▶ Query ── Outgoing ──▶ Outgoing ──▶ upstream
//	                           │
//	client ◀── Response.Render ┘◀── Response ◀── ParseResponse ◀── upstream
//
// A Query belongs to one client. An Outgoing contains nothing of the client but the
// question, and a Response nothing at all. Both are immutable and shared by all
// clients with the same question.
//
// A message is a header, one question, and three sections of records:
//
//	 0  2  4  6  8  10 12
//	+--+--+--+--+--+--+----------------------+--------+-----------+------------+
//	|ID|fl|QD|AN|NS|AR| name | type | class  | answer | authority | additional |
//	+--+--+--+--+--+--+----------------------+--------+-----------+------------+
package dnsmsg

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// Sizes in bytes.
const (
	HeaderLen  = 12
	MaxMessage = 65535
	MaxName    = 255
)

// Offsets into the header (RFC 1035, section 4.1.1). Each field has 16 bits; the last
// four are the numbers of questions and of records in the three sections.
const (
	atID    = 0
	atFlags = 2
	atQD    = 4
	atAN    = 6
	atNS    = 8
	atAR    = 10
)

// Bits of the header's flags (RFC 1035, section 4.1.1; RFC 4035, section 3 for AD and
// CD):
//
//	QR | Opcode (4) | AA | TC | RD | RA | Z | AD | CD | RCODE (4)
const (
	FlagQR     = 1 << 15
	FlagTC     = 1 << 9
	FlagRD     = 1 << 8
	FlagRA     = 1 << 7
	FlagAD     = 1 << 5
	FlagCD     = 1 << 4
	maskOpcode = 0xF << 11
	maskRcode  = 0xF
)

// Record types, and the class of the Internet.
const (
	TypeA     = 1
	TypeNS    = 2
	TypeCNAME = 5
	TypeSOA   = 6
	TypePTR   = 12
	TypeMX    = 15
	TypeAAAA  = 28
	TypeDNAME = 39
	TypeOPT   = 41
	TypeSVCB  = 64
	TypeHTTPS = 65
	typeTSIG  = 250
	TypeANY   = 255
	ClassIN   = 1
)

// Response codes.
const (
	RcodeNoError  = 0
	RcodeFormErr  = 1
	RcodeServFail = 2
	RcodeNXDomain = 3
	RcodeNotImp   = 4
	RcodeRefused  = 5
	RcodeBadVers  = 16
)

// ErrMalformed is the error of a message that does not parse.
var ErrMalformed = errors.New("the message is malformed")

// maxPointers bounds the work for one name: a name of 255 bytes has at most 126
// labels that are not empty, and a useful pointer leads to at least one.
const maxPointers = 126

func get16(msg []byte, at int) uint16      { return binary.BigEndian.Uint16(msg[at:]) }
func put16(msg []byte, at int, v uint16)   { binary.BigEndian.PutUint16(msg[at:], v) }
func get32(msg []byte, at int) uint32      { return binary.BigEndian.Uint32(msg[at:]) }
func put32(msg []byte, at int, v uint32)   { binary.BigEndian.PutUint32(msg[at:], v) }
func append16(msg []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(msg, v) }
func append32(msg []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(msg, v) }

// skipName returns the offset after the name at off, or -1 if the name is malformed.
// It follows compression pointers (RFC 1035, section 4.1.4) to check the whole name.
// The two highest bits of a length tell a label (00) from a pointer (11).
func skipName(msg []byte, off int) int {
	// A pointer must lead to a place before the name and before the target of
	// the previous pointer, so there are no loops.
	end, length, before, pointers := -1, 0, off, 0
	for off < len(msg) {
		c := int(msg[off])
		switch c & 0xC0 {
		case 0x00:
			if length += c + 1; length > MaxName {
				return -1
			}
			off += c + 1
			if c > 0 {
				continue
			}
			if end < 0 {
				end = off
			}
			return end
		case 0xC0:
			if off+1 >= len(msg) {
				return -1
			}
			if end < 0 {
				end = off + 2
			}
			target := int(get16(msg, off) & 0x3FFF)
			if pointers++; target >= before || target < HeaderLen || pointers > maxPointers {
				return -1
			}
			off, before = target, target
		default:
			return -1
		}
	}
	return -1
}

// questionEnd returns the offset after the message's only question, or -1 if it is
// malformed.
func questionEnd(msg []byte) int {
	off := HeaderLen
	for off < len(msg) {
		c := int(msg[off])
		off += c + 1
		switch {
		case c > 63: // a pointer: nothing comes before the first name that it could lead to
			return -1
		case c > 0:
			continue
		case off-HeaderLen > MaxName || off+4 > len(msg):
			return -1
		}
		return off + 4
	}
	return -1
}

// record is the offsets of a resource record (RFC 1035, section 4.1.3):
//
//	name | type (2) | class (2) | TTL (4) | length of data (2) | data
//	^at    ^head                                                 ^data  ^end
type record struct {
	at   int // of the name
	head int // of the type
	data int // of the data
	end  int // after the record
}

func (r record) typ(msg []byte) uint16 { return get16(msg, r.head) }

func (r record) ttl(msg []byte) uint32 { return get32(msg, r.head+4) }

// records calls yield for each record from off on, with the number of its section (1
// answer, 2 authority, 3 additional), and returns the offset after the last one.
func records(msg []byte, off int, yield func(section int, r record) error) (int, error) {
	for section := 1; section <= 3; section++ {
		for range get16(msg, atQD+2*section) {
			r := record{at: off, head: skipName(msg, off)}
			r.data = r.head + 10
			if r.head < 0 || r.data > len(msg) {
				return 0, ErrMalformed
			}
			r.end = r.data + int(get16(msg, r.head+8))
			if r.end > len(msg) || !soundData(msg, r) {
				return 0, ErrMalformed
			}
			if err := yield(section, r); err != nil {
				return 0, err
			}
			off = r.end
		}
	}
	return off, nil
}

// soundData reports whether the data of a common type has the right form. Clients rely
// on the lengths of addresses and names.
func soundData(msg []byte, r record) bool {
	length := r.end - r.data
	switch r.typ(msg) {
	case TypeA:
		return length == 4
	case TypeAAAA:
		return length == 16
	case TypeNS, TypeCNAME, TypePTR, TypeDNAME:
		return skipName(msg[:r.end], r.data) == r.end
	case TypeMX:
		return length > 2 && skipName(msg[:r.end], r.data+2) == r.end
	case TypeSOA:
		mname := skipName(msg[:r.end], r.data)
		return mname > 0 && skipName(msg[:r.end], mname) == r.end-20
	}
	return true
}

// sameQuestion reports whether two questions are equal except for letter case.
// Lengths of labels are at most 63 and letters begin at 65, so that both can be
// lowered alike.
func sameQuestion(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	name := len(a) - 4
	for i, c := range a {
		if c != b[i] && (i >= name || Lower(c) != Lower(b[i])) {
			return false
		}
	}
	return true
}

// Lower returns an ASCII letter in lower case, and other bytes as they are.
func Lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// Within returns the offset in name at which the zone begins, or -1 if name is not in
// the zone. Both are in wire format and lower case. The offset must be the beginning
// of a label: the bytes of a zone may also occur inside one.
func Within(name, zone []byte) int {
	at := len(name) - len(zone)
	if at < 0 || !bytes.Equal(name[at:], zone) {
		return -1
	}
	for off := 0; off < len(name); off += 1 + int(name[off]) {
		if off == at {
			return at
		}
	}
	return -1
}

// Rcode returns the response code in a message's header. ok is false if the message
// is too short or not a response.
func Rcode(msg []byte) (rcode int, ok bool) {
	if len(msg) < HeaderLen || get16(msg, atFlags)&FlagQR == 0 {
		return 0, false
	}
	return int(get16(msg, atFlags) & maskRcode), true
}

// Truncated reports whether a message has the TC bit.
func Truncated(msg []byte) bool { return len(msg) >= HeaderLen && get16(msg, atFlags)&FlagTC != 0 }
