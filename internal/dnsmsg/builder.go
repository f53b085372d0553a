package dnsmsg

// Builder builds a local response to a query, which does not come from an upstream.
type Builder struct {
	q        *Query
	msg      []byte
	extended []byte // extended error, as an EDNS option
	rcode    int
}

// localTTL is the TTL of local records, in seconds.
const localTTL = 60

// NewBuilder returns a Builder for a response without records, with a response code.
func NewBuilder(q *Query, rcode int) *Builder {
	msg := make([]byte, HeaderLen, 512)
	put16(msg, atFlags, q.Opcode|FlagQR|FlagRA|uint16(rcode)&maskRcode)
	put16(msg, atQD, 1)
	return &Builder{q: q, msg: append(msg, q.Question...), rcode: rcode}
}

// Add appends a record of the query's name to the answer section.
func (b *Builder) Add(typ uint16, data []byte) { b.record(atAN, 0, typ, data) }

// AddSOA appends the SOA record of a zone, which is the query's name from the offset
// zone on. Clients take from it how long they may cache a denial (RFC 2308). Its
// content follows RFC 6303, section 3.
func (b *Builder) AddSOA(zone int) {
	data := append16(nil, pointer(zone)) // MNAME: the zone itself
	data = append(data, "\x06nobody\x07invalid\x00"...)
	for _, n := range []uint32{1, 3600, 1200, 604800, localTTL} { // serial, refresh, retry, expire, minimum
		data = append32(data, n)
	}
	b.record(atNS, zone, TypeSOA, data)
}

// record appends a record to a section, given by the offset of its count. name is an
// offset into the query's name.
func (b *Builder) record(section, name int, typ uint16, data []byte) {
	b.msg = append16(b.msg, pointer(name))
	b.msg = append16(b.msg, typ)
	b.msg = append16(b.msg, ClassIN)
	b.msg = append32(b.msg, localTTL)
	b.msg = append16(b.msg, uint16(len(data)))
	b.msg = append(b.msg, data...)
	put16(b.msg, section, get16(b.msg, section)+1)
}

// pointer returns a compression pointer to an offset into the query's name.
func pointer(off int) uint16 { return 0xC000 | uint16(HeaderLen+off) }

// Explain sets an extended error (RFC 8914). Clients without EDNS do not get it.
func (b *Builder) Explain(code uint16, text string) { b.extended = appendEDE(nil, code, text) }

// Response returns the response. It panics if the Builder has made a malformed one,
// which is a bug.
func (b *Builder) Response() *Response {
	r, err := parseResponse(b.msg, b.q.Question, b.q.Opcode, 0)
	if err != nil {
		panic("dnsmsg: made a malformed response: " + err.Error())
	}
	r.rcode, r.extended = b.rcode, b.extended
	return r
}
