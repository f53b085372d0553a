package doh

import (
	"encoding/base64"
	"errors"
	"slices"
)

// query is a question on its way to an answer. Afterwards its buffers are used
// for another one.
type query struct {
	in       []byte // the message as it came
	question []byte // the name, type and class in it, in the asker's letter case

	// id is the asker's, to be put into the answer.
	id uint16
	// flags are RD, AD and CD, which are passed on.
	flags  uint16
	opcode uint16

	edns, do, padded bool
	json             bool // the asker reads JSON
	version          byte // of EDNS

	// options are those of the EDNS record that are passed on.
	options []byte
	// subnet is the client subnet as the asker sent it, and after the
	// handler's `ecs` as it is passed on; nil if there is none. echo says that
	// the asker may see it in the answer.
	subnet []byte
	echo   bool

	key   []byte // of the cache
	msg   []byte // what upstreams are sent
	param string // the same as a parameter of an address, unless it is long
	out   []byte // what the asker is sent

	// busy says that an upstream may still be asked when the asker has an
	// answer: then the query is not used again.
	busy bool
}

// maxGet is the longest message that goes by GET. It takes one frame and no
// body, but servers bound the length of addresses.
const maxGet = 512

var (
	errResponse  = errors.New("the message is a response, not a query")
	errQuestions = errors.New("the message must hold exactly one question")
)

// parseQuery reads a message, which it keeps.
func parseQuery(msg []byte) (*query, error) {
	q := &query{in: msg}
	return q, q.parse()
}

// parse reads the message in q.in.
func (q *query) parse() error {
	msg := q.in
	if len(msg) < headerLen {
		return errMalformed
	}
	flags := get16(msg, atFlags)
	if flags&flagQR != 0 {
		return errResponse
	}
	if get16(msg, atQD) != 1 {
		return errQuestions
	}
	end := questionEnd(msg)
	if end < 0 {
		return errMalformed
	}
	q.question = msg[headerLen:end]
	q.id = get16(msg, atID)
	q.flags, q.opcode = flags&(flagRD|flagAD|flagCD), flags&maskOpcode
	end, err := records(msg, end, q.note)
	if err != nil {
		return err
	}
	if end != len(msg) {
		return errMalformed
	}
	return nil
}

// reset makes q ready for another message, which is to be put into q.in.
func (q *query) reset() {
	*q = query{in: q.in[:0], options: q.options[:0], key: q.key[:0], msg: q.msg[:0], out: q.out[:0]}
}

// note takes note of the EDNS record. Options that are between the asker and
// us alone end here.
func (q *query) note(section int, r record) error {
	if r.typ(q.in) != typeOPT {
		return nil
	}
	if q.edns || section != 3 || r.head != r.at+1 {
		return errMalformed
	}
	ttl := r.ttl(q.in)
	q.edns, q.do, q.version = true, ttl&flagDO != 0, byte(ttl>>16)
	return options(q.in, r, func(code uint16, at, end int) {
		switch code {
		case optPadding:
			q.padded = true
		case optSubnet:
			q.subnet = q.in[at+4 : end]
		case optCookie, optKeepalive:
		default:
			q.options = append(q.options, q.in[at:end]...)
		}
	})
}

// compose makes the message for upstreams: the question and an EDNS record of
// our own. The ID is 0, so that the upstreams' HTTP caches can do their work
// (RFC 8484, section 4.1).
func (q *query) compose() {
	if len(q.msg) > 0 {
		return
	}
	msg := slices.Grow(q.msg, padQuery*2)[:headerLen]
	clear(msg)
	put16(msg, atFlags, q.flags)
	put16(msg, atQD, 1)
	msg = append(msg, q.question...)
	if q.edns || q.subnet != nil {
		opt := len(msg) + 1
		msg = appendOPT(msg, q.do)
		msg = append(msg, q.options...)
		if q.subnet != nil {
			msg = append16(msg, optSubnet)
			msg = append16(msg, uint16(len(q.subnet)))
			msg = append(msg, q.subnet...)
		}
		put16(msg, opt+8, uint16(len(msg)-opt-10))
		msg = appendPadding(msg, opt, padQuery)
	}
	q.msg = msg
	if len(msg) <= maxGet {
		q.out = base64.RawURLEncoding.AppendEncode(append(q.out[:0], "dns="...), msg)
		q.param = string(q.out)
	} else {
		q.busy = true // the body may be read after the answer has come
	}
}

// bare returns the message without its padding, for upstreams that are not
// reached by encryption.
func (q *query) bare() []byte {
	end := headerLen + len(q.question)
	if len(q.msg) == end {
		return q.msg
	}
	opt := record{at: end, head: end + 1, data: end + 11, end: len(q.msg)}
	msg, _ := dropOptions(slices.Clone(q.msg), opt, func(code uint16) bool { return code == optPadding })
	return msg
}

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
