package dnsmsg

import "slices"

// Outgoing is a query for upstreams. It is immutable. Except for Values it is the same
// for all clients with the same question: it has RD and AD set and an OPT record of
// its own, and differs only in DO, CD and the client subnet. The ID is 0, so that
// HTTP caches of upstreams work (RFC 8484, section 4.1).
type Outgoing struct {
	// Padded is the message for encrypted connections (RFC 8467).
	Padded []byte

	// Question is the name, type and class, a part of Padded.
	Question []byte

	// Values are the values of placeholders in header fields of upstreams. They
	// are those of the client that asked first.
	Values map[string]string

	// Subnet reports whether the message has a client subnet.
	Subnet bool

	bare int // the length without padding
}

// Outgoing returns the query for upstreams. It does not refer to q, which may be
// reset.
func (q *Query) Outgoing() *Outgoing {
	// Allocated once with the right size, since it is made for each query.
	room := HeaderLen + len(q.Question) + optLen + optionLen
	if q.Subnet != nil {
		room += optionLen + len(q.Subnet)
	}
	msg := make([]byte, HeaderLen, roundUp(room, padQuery))
	put16(msg, atFlags, FlagRD|FlagAD|q.Flags&FlagCD)
	put16(msg, atQD, 1)
	msg = append(msg, q.Question...)
	end := len(msg)
	msg = appendOPT(msg, q.DO)
	if q.Subnet != nil {
		msg = append16(msg, OptionSubnet)
		msg = append16(msg, uint16(len(q.Subnet)))
		msg = append(msg, q.Subnet...)
	}
	bare := len(msg)
	msg = appendPadding(msg, end+1, padQuery)
	return &Outgoing{Padded: msg, Question: msg[HeaderLen:end:end], Subnet: q.Subnet != nil, Values: q.Values, bare: bare}
}

// Bare returns a copy of the message without padding, for unencrypted connections.
func (o *Outgoing) Bare() []byte {
	msg := slices.Clone(o.Padded[:o.bare])
	if !o.EDNS() {
		return msg
	}
	opt := HeaderLen + len(o.Question) + 1
	put16(msg, opt+8, uint16(len(msg)-opt-10))
	return msg
}

// Plain returns the query without an OPT record, for upstreams without EDNS. It
// requests no DNSSEC records and has no client subnet.
func (o *Outgoing) Plain() *Outgoing {
	end := HeaderLen + len(o.Question)
	msg := slices.Clone(o.Padded[:end])
	put16(msg, atAR, 0)
	return &Outgoing{
		Padded:   msg,
		Question: msg[HeaderLen:end:end],
		Values:   o.Values,
		bare:     end,
	}
}

// EDNS reports whether the query has an OPT record.
func (o *Outgoing) EDNS() bool { return o.bare > HeaderLen+len(o.Question) }
