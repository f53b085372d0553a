package dnsmsg

// MinUDPSize is what every client receives over UDP, in bytes (RFC 1035, section
// 4.2.1).
const MinUDPSize = 512

// Truncate shortens a response to the header, the question and, if the query has one,
// an OPT record, with the TC bit set: the client asks again over TCP (RFC 2181,
// section 9). The records are cut off unread. Whoever sends queries over UDP can have
// somebody else's address, so that a response of 64 KB must not cost more than others.
//
// Extended errors are lost with the old OPT record, as are the upper bits of the
// response code, which no response with many records has. A response without a sound
// question is cut to its header.
func Truncate(response []byte, q *Query) []byte {
	end := questionEnd(response)
	if end < 0 || get16(response, atQD) != 1 {
		response = response[:HeaderLen]
		clear(response[atQD:])
		put16(response, atFlags, get16(response, atFlags)|FlagTC)
		return response
	}
	response = response[:end]
	put16(response, atFlags, get16(response, atFlags)|FlagTC)
	clear(response[atAN:HeaderLen])
	if q.EDNS {
		return appendOPT(response, q.DO)
	}
	return response
}
