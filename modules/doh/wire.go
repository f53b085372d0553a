package doh

import (
	"encoding/binary"
	"errors"
)

// Messages are read where they lie: a forwarder needs the header, the
// question, the TTLs and the EDNS options, and unpacking the rest would cost
// more than all else it does. RFC 1035, section 4.

const (
	headerLen  = 12
	maxMessage = 65535
	maxName    = 255
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
	flagQR     = 1 << 15
	flagTC     = 1 << 9
	flagRD     = 1 << 8
	flagRA     = 1 << 7
	flagAD     = 1 << 5
	flagCD     = 1 << 4
	maskOpcode = 0xF << 11
	maskRcode  = 0xF
)

// Record types and the class that matter here.
const (
	typeA     = 1
	typeNS    = 2
	typeCNAME = 5
	typeSOA   = 6
	typePTR   = 12
	typeMX    = 15
	typeAAAA  = 28
	typeDNAME = 39
	typeOPT   = 41
	typeSVCB  = 64
	typeHTTPS = 65
	typeANY   = 255
	classIN   = 1
)

// Response codes that are told apart here.
const (
	rcodeNoError  = 0
	rcodeServFail = 2
	rcodeNXDomain = 3
	rcodeNotImp   = 4
	rcodeRefused  = 5
	rcodeBadVers  = 16
)

var errMalformed = errors.New("the message is malformed")

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
	end, length, before := -1, 0, off
	for off < len(msg) {
		c := int(msg[off])
		switch c & 0xC0 {
		case 0x00:
			if length += c + 1; length > maxName {
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
			if target >= before || target < headerLen {
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
	off := headerLen
	for off < len(msg) {
		c := int(msg[off])
		off += c + 1
		switch {
		case c > 63: // nothing stands before it that it could point to
			return -1
		case c > 0:
			continue
		case off-headerLen > maxName || off+4 > len(msg):
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
				return 0, errMalformed
			}
			r.end = r.data + int(get16(msg, r.head+8))
			if r.end > len(msg) || !soundData(msg, r) {
				return 0, errMalformed
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
	case typeA:
		return length == 4
	case typeAAAA:
		return length == 16
	case typeNS, typeCNAME, typePTR, typeDNAME:
		return skipName(msg[:r.end], r.data) == r.end
	case typeMX:
		return length > 2 && skipName(msg[:r.end], r.data+2) == r.end
	case typeSOA:
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
		if c != b[i] && (i >= name || lower(c) != lower(b[i])) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
