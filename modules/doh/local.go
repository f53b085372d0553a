package doh

import "bytes"

// resolverArpa is the zone in which clients look for the encrypted addresses
// of their resolver: an upstream would name its own. RFC 9462, section 6.4.
var resolverArpa = []byte("\x08resolver\x04arpa\x00")

// local answers what no upstream may be asked, and else returns nil.
func local(q *query) *answer {
	if q.opcode != 0 {
		return newReply(q, rcodeNotImp).answer()
	}
	if q.version != 0 {
		return newReply(q, rcodeBadVers).answer() // RFC 6891, section 6.1.3
	}
	var buf [maxName]byte
	zone := within(q.name(&buf), resolverArpa)
	if zone < 0 {
		return nil
	}
	reply := newReply(q, rcodeNoError)
	reply.addSOA(zone)
	return reply.answer()
}

// within returns where in name the zone begins, or -1 if it is outside. Both
// are in wire format and lower case.
func within(name, zone []byte) int {
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
