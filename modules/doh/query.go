package doh

import "errors"

// query is a question on its way to an answer.
type query struct {
	// msg is the message as it is sent to upstreams: with ID 0, so that
	// their HTTP caches can do their work (RFC 8484, section 4.1).
	msg []byte
	// question is the name, type and class in msg, in the asker's letter case.
	question []byte
	// id is the asker's, to be put into the answer.
	id uint16
	// get says that the question came by GET, and is passed on so.
	get bool

	edns, do, padded bool
}

var (
	errResponse  = errors.New("the message is a response, not a query")
	errQuestions = errors.New("the message must hold exactly one question")
)

// parseQuery reads a message, which it keeps.
func parseQuery(msg []byte) (*query, error) {
	if len(msg) < headerLen {
		return nil, errMalformed
	}
	if get16(msg, atFlags)&flagQR != 0 {
		return nil, errResponse
	}
	if get16(msg, atQD) != 1 {
		return nil, errQuestions
	}
	end := questionEnd(msg)
	if end < 0 {
		return nil, errMalformed
	}
	q := &query{msg: msg, question: msg[headerLen:end], id: get16(msg, atID)}
	end, err := records(msg, end, q.note)
	if err != nil {
		return nil, err
	}
	if end != len(msg) {
		return nil, errMalformed
	}
	put16(msg, atID, 0)
	return q, nil
}

// note takes note of the EDNS record.
func (q *query) note(section int, r record) error {
	if r.typ(q.msg) != typeOPT {
		return nil
	}
	if q.edns || section != 3 || r.head != r.at+1 {
		return errMalformed
	}
	q.edns, q.do = true, r.ttl(q.msg)&flagDO != 0
	return options(q.msg, r, func(code uint16, _, _ int) {
		q.padded = q.padded || code == optPadding
	})
}

func (q *query) opcode() uint16 { return get16(q.msg, atFlags) & maskOpcode }

func (q *query) qtype() uint16 { return get16(q.question, len(q.question)-4) }

func (q *query) qclass() uint16 { return get16(q.question, len(q.question)-2) }

// name returns the name asked for, in wire format and lower case, in buf.
func (q *query) name(buf *[maxName]byte) []byte {
	n := copy(buf[:], q.question[:len(q.question)-4])
	for i, c := range buf[:n] {
		buf[i] = lower(c)
	}
	return buf[:n]
}
