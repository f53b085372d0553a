package dnsmsg

import (
	"encoding/base64"
	"errors"
)

// Query is the query of a client. It belongs to one client at a time, and can be used
// for another one after Reset, so that its buffers are reused.
type Query struct {
	// Raw is the message. Parse reads it, and other fields refer to it.
	Raw []byte

	// Question is the name, type and class, in the client's letter case.
	Question []byte

	ID     uint16
	Flags  uint16 // RD, AD and CD
	Opcode uint16 // in the position of the header's flags; 0: QUERY

	EDNS    bool // whether there is an OPT record
	DO      bool // whether DNSSEC records are requested
	Padded  bool // whether the message has padding
	Version byte // of EDNS

	// UDPSize is how long a response over UDP may be, in bytes: what the client
	// says in its OPT record, and MinUDPSize without one.
	UDPSize int

	// Subnet is the data of the client subnet option (RFC 7871): that of the
	// client after Parse, later that for upstreams. Nil if there is none.
	Subnet []byte

	// Echo reports whether Subnet is the client's own, so that the response must
	// contain it.
	Echo bool

	// Values are the values of placeholders in header fields of upstreams; nil if
	// there are none.
	Values map[string]string

	// Key is a buffer for the key of a cache.
	Key []byte

	out []byte // buffer for the response
}

var (
	errResponse  = errors.New("the message is a response, not a query")
	errQuestions = errors.New("the message must contain exactly one question")
	errRecords   = errors.New("a query has no records but OPT and TSIG")
)

// ParseQuery parses a message. The Query refers to msg, which must not be changed.
func ParseQuery(msg []byte) (*Query, error) {
	q := &Query{Raw: msg}
	return q, q.Parse()
}

// Decode sets Raw to a message in base64url without padding, the form of GET (RFC
// 8484, section 4.1).
func (q *Query) Decode(text string) (err error) {
	q.out = append(q.out[:0], text...)
	q.Raw, err = base64.RawURLEncoding.AppendDecode(q.Raw[:0], q.out)
	return err
}

// Parse parses the message in Raw. If its opcode is not QUERY, only the question is
// read.
func (q *Query) Parse() error {
	msg := q.Raw
	if len(msg) < HeaderLen {
		return ErrMalformed
	}
	flags := get16(msg, atFlags)
	if flags&FlagQR != 0 {
		return errResponse
	}
	if get16(msg, atQD) != 1 {
		return errQuestions
	}
	end := questionEnd(msg)
	if end < 0 {
		return ErrMalformed
	}
	q.Question = msg[HeaderLen:end]
	q.ID = get16(msg, atID)
	q.Flags, q.Opcode = flags&(FlagRD|FlagAD|FlagCD), flags&maskOpcode
	q.UDPSize = MinUDPSize
	if q.Opcode != 0 {
		return nil
	}
	if get16(msg, atAN) != 0 || get16(msg, atNS) != 0 || get16(msg, atAR) > 2 {
		return errRecords
	}
	end, err := records(msg, end, q.readRecord)
	if err != nil {
		return err
	}
	if end != len(msg) {
		return ErrMalformed
	}
	return nil
}

// maxKept is the largest buffer that Reset keeps, in bytes. Those of a burst of long
// messages must not stay.
const maxKept = 16 << 10

// Reset clears q and keeps its buffers, unless they are unusually large. The next
// message belongs into Raw.
func (q *Query) Reset() { *q = Query{Raw: reusable(q.Raw), Key: q.Key[:0], out: reusable(q.out)} }

// reusable returns an empty buffer that is buf, or nil if buf is too large to be kept.
func reusable(buf []byte) []byte {
	if cap(buf) > maxKept {
		return nil
	}
	return buf[:0]
}

// readRecord reads the OPT record. Options other than padding and the client subnet
// are ignored and not forwarded: EDNS is hop by hop (RFC 6891, section 6.1.1), and
// some options, such as cookies, identify the client.
func (q *Query) readRecord(_ int, r record) error {
	switch r.typ(q.Raw) {
	case typeTSIG:
		return nil
	case TypeOPT:
	default:
		return errRecords
	}
	if q.EDNS || r.head != r.at+1 {
		return ErrMalformed
	}
	ttl := r.ttl(q.Raw)
	q.EDNS, q.DO, q.Version = true, ttl&FlagDO != 0, byte(ttl>>16)
	q.UDPSize = max(int(get16(q.Raw, r.head+2)), MinUDPSize)
	sound := true
	err := options(q.Raw, r, func(code uint16, at, end int) {
		switch code {
		case OptionPadding:
			q.Padded = true
		case OptionSubnet:
			q.Subnet = q.Raw[at+4 : end]
			sound = soundSubnet(q.Subnet)
		}
	})
	if !sound {
		return ErrMalformed
	}
	return err
}

// Type returns the type of the question.
func (q *Query) Type() uint16 { return questionType(q.Question) }

// Class returns the class of the question.
func (q *Query) Class() uint16 { return get16(q.Question, len(q.Question)-2) }

// Name returns the name of the question in wire format and lower case. It is written
// to buf, so that the caller can have it on its stack.
func (q *Query) Name(buf *[MaxName]byte) []byte { return lowerName(buf, q.Question) }

// lowerName returns the name of a question in lower case, in buf.
func lowerName(buf *[MaxName]byte, question []byte) []byte {
	n := copy(buf[:], question[:len(question)-4])
	for i, c := range buf[:n] {
		buf[i] = Lower(c)
	}
	return buf[:n]
}

func questionType(question []byte) uint16 { return get16(question, len(question)-4) }
