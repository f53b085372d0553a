package doh

import (
	"errors"
	"math"
)

// answer is a valid answer to a query. It does not change any more: it is
// kept in the cache, and several askers can be given it at once.
type answer struct {
	msg   []byte
	ttls  []uint16 // where the TTLs are
	opt   record   // the EDNS record, which comes last; zero if there is none
	rcode int      // with the bits that EDNS adds
	ede   int      // the extended error, -1 if there is none
	ttl   uint32   // how long the answer may be kept, in seconds

	// positive says that there is a record of the type asked for, soa that
	// there is a SOA with a denial, and lasts that ttl follows from either.
	positive, soa, lasts bool
}

var (
	errNoResponse    = errors.New("the message is not a response")
	errWrongID       = errors.New("the answer has another ID")
	errWrongQuestion = errors.New("the answer is to another question")
)

// parseAnswer checks that msg, which it keeps and changes, answers q. It takes
// age, the seconds that the answer spent in an HTTP cache, off the TTLs (RFC
// 8484, section 5.1), cuts off what stands behind the last record, and takes
// out the EDNS options that are between the upstream and us alone.
func parseAnswer(msg []byte, q *query, age uint32) (*answer, error) {
	if len(msg) < headerLen {
		return nil, errMalformed
	}
	flags := get16(msg, atFlags)
	switch {
	case flags&flagQR == 0:
		return nil, errNoResponse
	case get16(msg, atID) != 0:
		return nil, errWrongID
	case flags&maskOpcode != q.opcode || get16(msg, atQD) != 1:
		return nil, errWrongQuestion
	}
	end := questionEnd(msg)
	if end < 0 {
		return nil, errMalformed
	}
	if !sameQuestion(msg[headerLen:end], q.question) {
		return nil, errWrongQuestion
	}
	a := &answer{msg: msg, rcode: int(flags & maskRcode)}
	if err := a.read(q, end, age); err != nil {
		return nil, err
	}
	if a.opt.end != 0 && a.opt.end < len(a.msg) && a.moveOPT() {
		if err := a.read(q, end, 0); err != nil {
			return nil, err
		}
	}
	if a.opt.end == len(a.msg) {
		a.msg, a.opt = dropOptions(a.msg, a.opt, func(code uint16) bool {
			return code == optPadding || code == optCookie || code == optKeepalive || code == optSubnet && !q.echo
		})
		if !q.edns {
			a.msg, a.opt = a.msg[:a.opt.at], record{}
			put16(a.msg, atAR, get16(a.msg, atAR)-1)
		}
	}
	if a.lasts = a.saysLasts(flags); !a.lasts {
		a.ttl = 0
	}
	return a, nil
}

// saysLasts tells whether the answer says how long it holds. A denial does so by
// its SOA (RFC 2308, section 5).
func (a *answer) saysLasts(flags uint16) bool {
	switch {
	case flags&flagTC != 0:
		return false
	case a.rcode == rcodeNoError:
		return a.positive || a.soa
	}
	return a.rcode == rcodeNXDomain && a.soa
}

// read takes note of the records, which begin at offset from.
func (a *answer) read(q *query, from int, age uint32) error {
	a.ttls = make([]uint16, 0, get16(a.msg, atAN)+get16(a.msg, atNS))
	a.opt, a.ede, a.ttl = record{}, -1, math.MaxUint32
	end, err := records(a.msg, from, func(section int, r record) error {
		typ := r.typ(a.msg)
		if typ == typeOPT {
			return a.noteOPT(section, r)
		}
		a.positive = a.positive || section == 1 && (typ == q.qtype() || q.qtype() == typeANY)
		a.soa = a.soa || section == 2 && typ == typeSOA
		a.noteTTL(section, r, age)
		return nil
	})
	if err != nil {
		return err
	}
	a.msg = a.msg[:end]
	return nil
}

func (a *answer) noteOPT(section int, r record) error {
	if a.opt.end != 0 || section != 3 || r.head != r.at+1 {
		return errMalformed
	}
	a.opt = r
	a.rcode |= int(r.ttl(a.msg)>>24) << 4
	return options(a.msg, r, func(code uint16, at, end int) {
		if code == optEDE && end >= at+6 && a.ede < 0 {
			a.ede = int(get16(a.msg, at+4))
		}
	})
}

// noteTTL makes a record older by age.
func (a *answer) noteTTL(section int, r record, age uint32) {
	a.ttls = append(a.ttls, uint16(r.head+4))
	ttl := r.ttl(a.msg)
	if ttl > math.MaxInt32 {
		ttl = 0 // RFC 2181, section 8
	}
	left := ttl - min(age, ttl)
	if age > 0 {
		put32(a.msg, r.head+4, left)
	}
	if section == 2 && r.typ(a.msg) == typeSOA {
		// RFC 2308, section 5
		minimum := get32(a.msg, r.end-4)
		left = min(left, minimum-min(age, minimum))
	}
	a.ttl = min(a.ttl, left)
}

// clamp keeps the TTLs within bounds, before the answer is shared. Where
// nothing says how long the answer holds, it stays so.
func (a *answer) clamp(least, most uint32) {
	if !a.lasts {
		return
	}
	for _, at := range a.ttls {
		ttl := get32(a.msg, int(at))
		if clamped := min(max(ttl, least), most); clamped != ttl {
			put32(a.msg, int(at), clamped)
		}
	}
	a.ttl = min(max(a.ttl, least), most)
}

// servfail tells whether another upstream may know better. A name that fails
// DNSSEC fails everywhere. REFUSED is an answer: resolvers that filter
// block names with it.
func (a *answer) servfail() bool {
	return a.rcode == rcodeServFail && !dnssecFailed(a.ede)
}

// stale returns a copy that says that it is old (RFC 8767, section 4).
func (a *answer) stale() *answer {
	old := *a
	old.ttl = staleTTL
	old.msg = append(make([]byte, 0, len(a.msg)+6), a.msg...)
	for _, at := range old.ttls {
		put32(old.msg, int(at), staleTTL)
	}
	if old.opt.end == len(old.msg) && a.ede < 0 {
		code := uint16(edeStale)
		if a.rcode == rcodeNXDomain {
			code = edeStaleNXDomain
		}
		old.msg = append16(append16(append16(old.msg, optEDE), 2), code)
		old.opt.end = len(old.msg)
		put16(old.msg, old.opt.head+8, uint16(old.opt.end-old.opt.data))
	}
	return &old
}

// render returns the message for an asker, in a buffer of the query's: with
// their ID, letter case and wish for padding, and elapsed seconds older.
func (a *answer) render(q *query, elapsed uint32) []byte {
	msg := append(q.out[:0], a.msg...)
	put16(msg, atID, q.id)
	copy(msg[headerLen:], q.question)
	if elapsed > 0 {
		for _, at := range a.ttls {
			ttl := get32(msg, int(at))
			put32(msg, int(at), ttl-min(ttl, elapsed))
		}
	}
	if q.padded {
		msg = pad(msg, a.opt, q.do)
	}
	q.out = msg
	return msg
}
