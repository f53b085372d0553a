// Package dnsmsg reads and makes DNS messages for a forwarder. Messages are
// read where they lie: a forwarder needs the header, the question, the TTLs and
// the EDNS options, and unpacking the rest would cost more than all else it
// does. RFC 1035, section 4.
//
//	what a client sent ── ParseQuery ──▶ Query ── Outgoing ──▶ Outgoing ──▶ upstreams
//	                                       │
//	what it is sent ◀── Response.Render ───┘◀── Response ◀── ParseResponse ◀── upstreams
//
// A Query belongs to one client. An Outgoing holds nothing of the client but
// the question, and a Response nothing at all: both are immutable, and are
// shared by all clients that ask the same.
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

// Offsets into the header.
const (
	atID    = 0
	atFlags = 2
	atQD    = 4
	atAN    = 6
	atNS    = 8
	atAR    = 10
)

// Bits of the header's flags.
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
// labels with something in them.
const maxPointers = 126

func get16(msg []byte, at int) uint16      { return binary.BigEndian.Uint16(msg[at:]) }
func put16(msg []byte, at int, v uint16)   { binary.BigEndian.PutUint16(msg[at:], v) }
func get32(msg []byte, at int) uint32      { return binary.BigEndian.Uint32(msg[at:]) }
func put32(msg []byte, at int, v uint32)   { binary.BigEndian.PutUint32(msg[at:], v) }
func append16(msg []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(msg, v) }
func append32(msg []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(msg, v) }

// skipName returns the offset behind the name at off, having followed it to
// its end, or -1 if it is malformed.
func skipName(msg []byte, off int) int {
	// A pointer must lead back, before where the name or the last pointer led
	// to: so there is no loop.
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

// questionEnd returns the offset behind the message's one question, or -1.
func questionEnd(msg []byte) int {
	off := HeaderLen
	for off < len(msg) {
		c := int(msg[off])
		off += c + 1
		switch {
		case c > 63: // nothing stands before it that it could point to
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

// record is a resource record within a message.
type record struct {
	at   int // of the name
	head int // of type, class, TTL and length
	data int // of the data
	end  int
}

func (r record) typ(msg []byte) uint16 { return get16(msg, r.head) }

func (r record) ttl(msg []byte) uint32 { return get32(msg, r.head+4) }

// records calls yield for each record from off on, with the number of its
// section (1 answer, 2 authority, 3 additional), and returns the offset behind
// the last one.
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

// soundData checks the data of the types that are met most, whose lengths
// clients rely on.
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

// sameQuestion compares two questions, letter case aside. Lengths of labels
// are below the letters, so that they can be treated alike.
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

// Within returns where in name the zone begins, or -1 if it is outside. Both
// are in wire format and lower case.
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

// Rcode returns the response code in a message's header, and whether there is a
// response's header at all.
func Rcode(msg []byte) (rcode int, ok bool) {
	if len(msg) < HeaderLen || get16(msg, atFlags)&FlagQR == 0 {
		return 0, false
	}
	return int(get16(msg, atFlags) & maskRcode), true
}

// Truncated reports whether a message says that it was truncated.
func Truncated(msg []byte) bool { return len(msg) >= HeaderLen && get16(msg, atFlags)&FlagTC != 0 }
