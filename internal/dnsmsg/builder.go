package dnsmsg

// Builder makes a response of our own to a query.
type Builder struct {
	q        *Query
	msg      []byte
	extended []byte
	rcode    int
}

// localTTL is how long our own responses hold, in seconds.
const localTTL = 60

// NewBuilder begins a response with a code.
func NewBuilder(q *Query, rcode int) *Builder {
	msg := make([]byte, HeaderLen, 512)
	put16(msg, atFlags, q.Opcode|FlagQR|FlagRA|uint16(rcode)&maskRcode)
	put16(msg, atQD, 1)
	return &Builder{q: q, msg: append(msg, q.Question...), rcode: rcode}
}

// Add appends a record for the name asked for to the answer section.
func (b *Builder) Add(typ uint16, data []byte) { b.record(atAN, 0, typ, data) }

// AddSOA appends the SOA of a zone that consists of the name asked for from
// its offset zone on, so that the denial can be kept. RFC 6303, section 3.
func (b *Builder) AddSOA(zone int) {
	data := append16(nil, pointer(zone)) // the server is the zone itself
	data = append(data, "\x06nobody\x07invalid\x00"...)
	for _, n := range []uint32{1, 3600, 1200, 604800, localTTL} {
		data = append32(data, n)
	}
	b.record(atNS, zone, TypeSOA, data)
}

func (b *Builder) record(section, name int, typ uint16, data []byte) {
	b.msg = append16(b.msg, pointer(name))
	b.msg = append16(b.msg, typ)
	b.msg = append16(b.msg, ClassIN)
	b.msg = append32(b.msg, localTTL)
	b.msg = append16(b.msg, uint16(len(data)))
	b.msg = append(b.msg, data...)
	put16(b.msg, section, get16(b.msg, section)+1)
}

// pointer points to an offset within the name asked for.
func pointer(off int) uint16 { return 0xC000 | uint16(HeaderLen+off) }

// Explain adds an extended error, for those who can read it.
func (b *Builder) Explain(code uint16, text string) { b.extended = appendEDE(nil, code, text) }

// Response completes the response.
func (b *Builder) Response() *Response {
	r, err := parseResponse(b.msg, b.q.Question, b.q.Opcode, 0)
	if err != nil {
		panic("dnsmsg: made a malformed response: " + err.Error())
	}
	r.rcode, r.extended = b.rcode, b.extended
	return r
}
