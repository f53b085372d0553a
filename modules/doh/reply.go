package doh

// reply builds an answer of our own.
type reply struct {
	q     *query
	msg   []byte
	ede   []byte
	rcode int
}

// localTTL is how long our own answers hold, in seconds.
const localTTL = 60

func newReply(q *query, rcode int) *reply {
	msg := make([]byte, headerLen, 512)
	flags := q.opcode | q.flags&(flagRD|flagCD) | flagQR | flagRA | uint16(rcode)&maskRcode
	put16(msg, atFlags, flags)
	put16(msg, atQD, 1)
	return &reply{q: q, msg: append(msg, q.question...), rcode: rcode}
}

// add appends a record for the name asked for to the answer section.
func (r *reply) add(typ uint16, data []byte) {
	r.record(atAN, 0, typ, data)
}

// addSOA appends the SOA of a zone that consists of the name asked for from
// its offset zone on, so that the denial can be kept. RFC 6303, section 3.
func (r *reply) addSOA(zone int) {
	data := append16(nil, pointer(zone)) // the server is the zone itself
	data = append(data, "\x06nobody\x07invalid\x00"...)
	for _, n := range []uint32{1, 3600, 1200, 604800, localTTL} {
		data = append32(data, n)
	}
	r.record(atNS, zone, typeSOA, data)
}

func (r *reply) record(section, name int, typ uint16, data []byte) {
	r.msg = append16(r.msg, pointer(name))
	r.msg = append16(r.msg, typ)
	r.msg = append16(r.msg, classIN)
	r.msg = append32(r.msg, localTTL)
	r.msg = append16(r.msg, uint16(len(data)))
	r.msg = append(r.msg, data...)
	put16(r.msg, section, get16(r.msg, section)+1)
}

// pointer points to an offset within the name asked for.
func pointer(off int) uint16 { return 0xC000 | uint16(headerLen+off) }

// explain adds an extended error, for those who can read it.
func (r *reply) explain(code uint16, text string) {
	r.ede = append16(nil, optEDE)
	r.ede = append16(r.ede, uint16(2+len(text)))
	r.ede = append16(r.ede, code)
	r.ede = append(r.ede, text...)
}

// answer completes the reply.
func (r *reply) answer() *answer {
	if r.q.edns {
		r.msg = appendOPT(r.msg, r.q.do)
		r.msg[len(r.msg)-6] = byte(r.rcode >> 4)
		put16(r.msg, len(r.msg)-2, uint16(len(r.ede)))
		r.msg = append(r.msg, r.ede...)
	}
	a, err := parseAnswer(r.msg, r.q, 0)
	if err != nil {
		panic("doh: made a malformed reply: " + err.Error())
	}
	return a
}
