package dnsmsg

import "slices"

// Outgoing is a query as upstreams are sent it. But for Values it is the same for
// all clients that ask the same: it has RD and AD set and an EDNS record of our own, and
// differs in DO, CD and the client subnet only. The ID is 0, so that the HTTP
// caches of upstreams can do their work (RFC 8484, section 4.1).
type Outgoing struct {
	// Padded is the message for encrypted connections (RFC 8467).
	Padded []byte
	// Question is the name, type and class in it.
	Question []byte
	// Values are what the placeholders in header fields of upstreams stand for:
	// those of the client that asked first.
	Values map[string]string
	// Subnet reports whether upstreams are told a client subnet.
	Subnet bool

	bare int // the length without padding
}

// Outgoing returns the query as upstreams are to be sent it.
func (q *Query) Outgoing() *Outgoing {
	// Of the right size, since it is made for each query.
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

// Bare returns the message without its padding, for upstreams that are not
// reached by encryption.
func (o *Outgoing) Bare() []byte {
	msg := slices.Clone(o.Padded[:o.bare])
	if !o.EDNS() {
		return msg
	}
	opt := HeaderLen + len(o.Question) + 1
	put16(msg, opt+8, uint16(len(msg)-opt-10))
	return msg
}

// Plain returns the query without EDNS, for upstreams that do not know it. It
// asks neither for DNSSEC records nor by a client subnet.
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

// EDNS reports whether the query has an EDNS record.
func (o *Outgoing) EDNS() bool { return o.bare > HeaderLen+len(o.Question) }
