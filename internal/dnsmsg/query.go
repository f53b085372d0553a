package dnsmsg

import (
	"encoding/base64"
	"errors"
)

// Query is what a client asks. It serves one client, and is used for another
// one after Reset. What upstreams are asked does not refer to it.
type Query struct {
	// Raw is the message as it came. Parse reads it.
	Raw []byte

	// Question is the name, type and class in it, in the client's letter case.
	Question []byte

	ID     uint16
	Flags  uint16 // RD, AD and CD
	Opcode uint16

	EDNS, DO, Padded bool
	Version          byte // of EDNS

	// Subnet is the data of the client subnet option (RFC 7871): as the client
	// sent it, or as upstreams are told; nil if there is none.
	Subnet []byte
	// Echo says that Subnet is the client's own: then the response has it too.
	Echo bool

	// Values are what the placeholders in header fields of upstreams stand for;
	// nil if they have none.
	Values map[string]string

	// Key is room for the key of a cache.
	Key []byte

	out []byte // what the client is sent
}

var (
	errResponse  = errors.New("the message is a response, not a query")
	errQuestions = errors.New("the message must hold exactly one question")
	errRecords   = errors.New("a query has no records but OPT and TSIG")
)

// ParseQuery reads a message, which it keeps.
func ParseQuery(msg []byte) (*Query, error) {
	q := &Query{Raw: msg}
	return q, q.Parse()
}

// Decode sets Raw to a message in base64url without padding, the form that
// comes by GET (RFC 8484, section 4.1).
func (q *Query) Decode(text string) (err error) {
	q.out = append(q.out[:0], text...)
	q.Raw, err = base64.RawURLEncoding.AppendDecode(q.Raw[:0], q.out)
	return err
}

// Parse reads the message in Raw. Of a message with another opcode than QUERY
// it reads the question only.
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

// Reset makes q ready for another message, which is to be put into Raw.
func (q *Query) Reset() { *q = Query{Raw: q.Raw[:0], Key: q.Key[:0], out: q.out[:0]} }

// readRecord reads the EDNS record. Options other than padding and the client
// subnet end here: each of them is between two neighbours (RFC 6891, section
// 6.1.1), and some tell who the client is.
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

// Type returns the record type that is asked for.
func (q *Query) Type() uint16 { return questionType(q.Question) }

// Class returns the class that is asked for.
func (q *Query) Class() uint16 { return get16(q.Question, len(q.Question)-2) }

// Name returns the name asked for, in wire format and lower case, in buf.
func (q *Query) Name(buf *[MaxName]byte) []byte {
	n := copy(buf[:], q.Question[:len(q.Question)-4])
	for i, c := range buf[:n] {
		buf[i] = Lower(c)
	}
	return buf[:n]
}

func questionType(question []byte) uint16 { return get16(question, len(question)-4) }
