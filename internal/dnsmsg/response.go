package dnsmsg

import (
	"errors"
	"math"
	"slices"

	"github.com/miekg/dns"
)

// Response is a valid response to an Outgoing. It is immutable once it is shared: a
// cache stores it, and it is rendered for several clients at once.
type Response struct {
	msg      []byte   // without the OPT record
	ttls     []uint16 // offsets of the TTLs
	extended []byte   // the extended errors, as EDNS options
	opt      record   // only during parsing; zero if there is none
	rcode    int      // with the upper bits of the OPT record
	ede      int      // the first extended error; -1: there is none
	scope    int      // of the client subnet; -1: there is none
	ttl      uint32   // how long the response may be stored, in seconds

	positive bool // whether there is a record of the question's type
	soa      bool // whether there is an SOA record in the authority section
	lasts    bool // whether ttl follows from either
}

// The errors of messages that are not the response to a query.
var (
	ErrNoResponse    = errors.New("the message is not a response")
	ErrWrongID       = errors.New("the response has another ID")
	ErrWrongQuestion = errors.New("the response is to another question")
)

// ParseResponse parses msg and checks that it is a response to the question with ID
// 0. It takes ownership of msg. age is the time that the response has spent in an
// HTTP cache, in seconds, which is subtracted from the TTLs (RFC 8484, section 5.1).
// Bytes after the last record are cut off.
func ParseResponse(msg, question []byte, age uint32) (*Response, error) {
	return parseResponse(msg, question, 0, age)
}

func parseResponse(msg, question []byte, opcode uint16, age uint32) (*Response, error) {
	if len(msg) < HeaderLen {
		return nil, ErrMalformed
	}
	flags := get16(msg, atFlags)
	switch {
	case flags&FlagQR == 0:
		return nil, ErrNoResponse
	case get16(msg, atID) != 0:
		return nil, ErrWrongID
	case flags&maskOpcode != opcode || get16(msg, atQD) != 1:
		return nil, ErrWrongQuestion
	}
	end := questionEnd(msg)
	if end < 0 {
		return nil, ErrMalformed
	}
	if !sameQuestion(msg[HeaderLen:end], question) {
		return nil, ErrWrongQuestion
	}
	r := &Response{msg: msg, rcode: int(flags & maskRcode)}
	if err := r.read(end, age); err != nil {
		return nil, err
	}
	if r.opt.end != 0 && r.opt.end < len(r.msg) {
		if !r.moveOPT() {
			return nil, ErrMalformed
		}
		if err := r.read(end, 0); err != nil {
			return nil, err
		}
	}
	r.detachOPT()
	if r.lasts = r.saysLasts(flags); !r.lasts {
		r.ttl = 0
	}
	return r, nil
}

// saysLasts reports whether the response states how long it is valid: by records of
// the type, or for a denial by an SOA record (RFC 2308, section 5).
func (r *Response) saysLasts(flags uint16) bool {
	switch {
	case flags&FlagTC != 0:
		return false
	case r.rcode == RcodeNoError:
		return r.positive || r.soa
	}
	return r.rcode == RcodeNXDomain && r.soa
}

// read records the offsets in the message and its smallest TTL. Records begin at the
// offset from.
func (r *Response) read(from int, age uint32) error {
	qtype := questionType(r.msg[HeaderLen:from])
	r.ttls = make([]uint16, 0, get16(r.msg, atAN)+get16(r.msg, atNS))
	r.opt, r.ede, r.scope, r.ttl = record{}, -1, -1, math.MaxUint32
	end, err := records(r.msg, from, func(section int, rec record) error {
		typ := rec.typ(r.msg)
		if typ == TypeOPT {
			return r.readOPT(section, rec)
		}
		r.positive = r.positive || section == 1 && (typ == qtype || qtype == TypeANY)
		r.soa = r.soa || section == 2 && typ == TypeSOA
		r.readTTL(section, rec, age)
		return nil
	})
	if err != nil {
		return err
	}
	r.msg = r.msg[:end]
	return nil
}

// readOPT reads the OPT record.
func (r *Response) readOPT(section int, opt record) error {
	if r.opt.end != 0 || section != 3 || opt.head != opt.at+1 {
		return ErrMalformed
	}
	r.opt = opt
	r.rcode |= int(opt.ttl(r.msg)>>24) << 4
	return options(r.msg, opt, func(code uint16, at, end int) {
		switch {
		case code == OptionEDE && end >= at+6 && r.ede < 0:
			r.ede = int(get16(r.msg, at+4))
		case code == OptionSubnet && end >= at+8:
			r.scope = int(r.msg[at+7])
		}
	})
}

// readTTL subtracts age from the TTL of a record. A denial may be stored for the
// smaller of its SOA record's TTL and MINIMUM field, which is the last one.
func (r *Response) readTTL(section int, rec record, age uint32) {
	r.ttls = append(r.ttls, uint16(rec.head+4))
	ttl := rec.ttl(r.msg)
	left := ttl - min(age, ttl)
	if ttl > math.MaxInt32 {
		left = 0 // RFC 2181, section 8
	}
	if left != ttl {
		put32(r.msg, rec.head+4, left)
	}
	if section == 2 && rec.typ(r.msg) == TypeSOA {
		// RFC 2308, section 5
		minimum := get32(r.msg, rec.end-4)
		left = min(left, minimum-min(age, minimum))
	}
	r.ttl = min(r.ttl, left)
}

// detachOPT removes the OPT record from the end of the message, since each client gets
// one of its own. Extended errors are kept; other options are hop by hop.
func (r *Response) detachOPT() {
	if r.opt.end == 0 {
		return
	}
	_ = options(r.msg, r.opt, func(code uint16, at, end int) {
		if code == OptionEDE {
			r.extended = append(r.extended, r.msg[at:end]...)
		}
	})
	r.msg = r.msg[:r.opt.at]
	put16(r.msg, atAR, get16(r.msg, atAR)-1)
	r.opt = record{}
}

// moveOPT packs the message again with its OPT record at the end, and returns false if
// that fails. The record cannot just be cut out: pointers may lead to names after it.
// Servers that do not put it at the end are rare.
func (r *Response) moveOPT() bool {
	var m dns.Msg
	if m.Unpack(r.msg) != nil {
		return false
	}
	slices.SortStableFunc(m.Extra, func(a, b dns.RR) int { return isOPT(a) - isOPT(b) })
	m.Compress = true
	packed, err := m.Pack()
	if err != nil || len(packed) > MaxMessage {
		return false
	}
	r.msg = packed
	return true
}

func isOPT(rr dns.RR) int {
	if rr.Header().Rrtype == dns.TypeOPT {
		return 1
	}
	return 0
}

// Name returns the name of the question in wire format and lower case, in buf.
func (r *Response) Name(buf *[MaxName]byte) []byte {
	return lowerName(buf, r.msg[HeaderLen:questionEnd(r.msg)])
}

// Rcode returns the response code, with the upper bits of the OPT record.
func (r *Response) Rcode() int { return r.rcode }

// ExtendedError returns the code of the first extended error (RFC 8914), and -1 if
// there is none.
func (r *Response) ExtendedError() int { return r.ede }

// Scope returns the scope prefix length of the client subnet (RFC 7871), and -1 if the
// response has none.
func (r *Response) Scope() int { return r.scope }

// TTL returns how long the response may be stored, in seconds. It is 0 if Lasts is
// false.
func (r *Response) TTL() uint32 { return r.ttl }

// Lasts reports whether the response states how long it is valid. A failure does not.
func (r *Response) Lasts() bool { return r.lasts }

// Truncated reports whether records are missing.
func (r *Response) Truncated() bool { return Truncated(r.msg) }

// Size returns the size of the message in memory, in bytes.
func (r *Response) Size() int { return len(r.msg) + len(r.extended) }

// Clamp limits the TTLs to bounds, in seconds. It must be called before the response
// is shared. A TTL of 0 is not changed, since such a record must not be cached (RFC
// 1035, section 3.2.1), and neither is a response whose Lasts is false.
func (r *Response) Clamp(least, most uint32) {
	if !r.lasts {
		return
	}
	for _, at := range r.ttls {
		ttl := get32(r.msg, int(at))
		if clamped := clamp(ttl, least, most); clamped != ttl {
			put32(r.msg, int(at), clamped)
		}
	}
	r.ttl = clamp(r.ttl, least, most)
}

func clamp(ttl, least, most uint32) uint32 {
	if ttl == 0 {
		return 0
	}
	return min(max(ttl, least), most)
}

// Stale returns a copy with all TTLs set to ttl seconds and the extended error Stale
// Answer (RFC 8767, section 4), unless it has another one.
func (r *Response) Stale(ttl uint32) *Response {
	old := *r
	old.ttl = ttl
	old.msg = slices.Clone(r.msg)
	for _, at := range old.ttls {
		put32(old.msg, int(at), ttl)
	}
	if r.ede < 0 {
		old.ede = EDEStale
		if r.rcode == RcodeNXDomain {
			old.ede = EDEStaleNXDomain
		}
		old.extended = appendEDE(nil, uint16(old.ede), "")
	}
	return &old
}

// Render returns the message for a client: with its ID, letter case and flags, an OPT
// record if it has sent one, padding if it has sent padding (RFC 8467), and TTLs
// reduced by elapsed seconds. The message is in a buffer of the query and valid until
// q is used again.
func (r *Response) Render(q *Query, elapsed uint32) []byte {
	msg := append(q.out[:0], r.msg...)
	put16(msg, atID, q.ID)
	flags := get16(msg, atFlags)&^(FlagRD|FlagCD) | q.Flags&(FlagRD|FlagCD)
	if !q.DO && q.Flags&FlagAD == 0 {
		flags &^= FlagAD // RFC 6840, section 5.8
	}
	if !q.EDNS && r.rcode > maskRcode {
		flags = flags&^maskRcode | RcodeServFail // the upper bits need an OPT record
	}
	put16(msg, atFlags, flags)
	copy(msg[HeaderLen:], q.Question)
	if elapsed > 0 {
		for _, at := range r.ttls {
			ttl := get32(msg, int(at))
			put32(msg, int(at), ttl-min(ttl, elapsed))
		}
	}
	if q.EDNS {
		msg = r.appendOPT(msg, q)
	}
	q.out = msg
	return msg
}

// appendOPT appends the OPT record for a client. If the message would become too long,
// it is returned as it is.
func (r *Response) appendOPT(msg []byte, q *Query) []byte {
	const room = optLen + optionLen
	if len(msg)+room+len(r.extended)+len(q.Subnet) > MaxMessage {
		return msg
	}
	head := len(msg) + 1
	msg = appendOPT(msg, q.DO)
	msg[head+4] = byte(r.rcode >> 4)
	msg = append(msg, r.extended...)
	if q.Echo && r.scope >= 0 {
		const scope = 3 // offset in the option's data
		at := len(msg) + 4
		msg = append16(msg, OptionSubnet)
		msg = append16(msg, uint16(len(q.Subnet)))
		msg = append(msg, q.Subnet...)
		msg[at+scope] = byte(r.scope)
	}
	if q.Padded {
		return appendPadding(msg, head, PadResponse)
	}
	put16(msg, head+8, uint16(len(msg)-head-10))
	return msg
}
