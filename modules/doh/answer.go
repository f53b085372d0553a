package doh

import (
	"errors"
	"math"
)

// answer is a valid answer to a query.
type answer struct {
	msg   []byte
	opt   record // the EDNS record; zero if there is none
	rcode int    // with the bits that EDNS adds
	ede   int    // the extended error, -1 if there is none
	ttl   uint32 // how long the answer may be kept, in seconds
}

var (
	errNoResponse    = errors.New("the message is not a response")
	errWrongID       = errors.New("the answer has another ID")
	errWrongQuestion = errors.New("the answer is to another question")
)

// parseAnswer checks that msg, which it keeps and changes, answers q. It gives
// back the question in the asker's letter case, takes age, the seconds that
// the answer spent in an HTTP cache, off the TTLs (RFC 8484, section 5.1), and
// cuts off what stands behind the last record.
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
	case flags&maskOpcode != q.opcode() || get16(msg, atQD) != 1:
		return nil, errWrongQuestion
	}
	end := questionEnd(msg)
	if end < 0 {
		return nil, errMalformed
	}
	if !sameQuestion(msg[headerLen:end], q.question) {
		return nil, errWrongQuestion
	}
	copy(msg[headerLen:end], q.question)

	a := &answer{msg: msg, rcode: int(flags & maskRcode), ede: -1, ttl: math.MaxUint32}
	end, err := records(msg, end, func(section int, r record) error {
		if r.typ(msg) == typeOPT {
			return a.noteOPT(section, r)
		}
		a.noteTTL(section, r, age)
		return nil
	})
	if err != nil {
		return nil, err
	}
	a.msg = msg[:end]
	if a.ttl == math.MaxUint32 || a.rcode != rcodeNoError && a.rcode != rcodeNXDomain {
		a.ttl = 0 // nothing says how long it holds
	}
	return a, nil
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

// servfail tells whether another upstream may know better. A name that fails
// DNSSEC fails everywhere. REFUSED is an answer: resolvers that filter
// block names with it.
func (a *answer) servfail() bool {
	return a.rcode == rcodeServFail && !dnssecFailed(a.ede)
}

// bytes returns the message for the asker. The answer is done with then.
func (a *answer) bytes(q *query) []byte {
	msg := a.msg
	if q.padded && (len(msg)%padBlock != 0 || a.opt.end == 0) {
		msg = pad(msg, a.opt, q.do)
	}
	put16(msg, atID, q.id)
	return msg
}
