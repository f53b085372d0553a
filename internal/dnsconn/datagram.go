package dnsconn

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"time"
)

// attempt is how long an answer to a datagram is waited for. Longer than that
// it most often was lost.
const attempt = 1200 * time.Millisecond

// ErrNoAnswer is the error of a datagram without an answer: it or the answer
// was lost.
var ErrNoAnswer = errors.New("no answer came, the datagram may be lost")

// Datagram asks a server over UDP, each time from a new port and with a random
// ID, so that answers are hard to forge (RFC 5452).
type Datagram struct {
	addr string
	dial Dial
}

// NewDatagram returns a Datagram to an address.
func NewDatagram(addr string, dial Dial) *Datagram {
	return &Datagram{addr: addr, dial: dial}
}

// Exchange sends a message and returns the answer, with the message's ID. It
// can be truncated: the caller asks a Stream then.
func (d *Datagram) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	if len(msg) < headerLen {
		return nil, errShort
	}
	conn, err := d.dial(ctx, "udp", d.addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if err := conn.SetDeadline(time.Now().Add(attempt)); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	query := append(make([]byte, 0, len(msg)), msg...)
	binary.BigEndian.PutUint16(query, uint16(rand.Uint32()))
	if _, err := conn.Write(query); err != nil {
		return nil, err
	}
	for buf := make([]byte, maxMessage); ; {
		n, err := conn.Read(buf)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, ErrNoAnswer
		case err != nil:
			return nil, err
		case n < headerLen || !bytes.Equal(buf[:2], query[:2]) || !sameQuestion(buf[:n], query):
			continue // forged, or an answer to somebody else
		}
		answer := bytes.Clone(buf[:n])
		copy(answer, msg[:2])
		return answer, nil
	}
}

// sameQuestion tells whether an answer repeats the question, letter case
// aside, or leaves it out, as servers do with an error.
func sameQuestion(answer, query []byte) bool {
	const count = 4
	if binary.BigEndian.Uint16(answer[count:]) == 0 {
		return answer[3]&0xF != 0
	}
	end := headerLen
	for end < len(query) && query[end] != 0 {
		end += int(query[end]) + 1
	}
	end += 5
	return len(query) >= end && len(answer) >= end &&
		bytes.EqualFold(answer[headerLen:end-4], query[headerLen:end-4]) &&
		bytes.Equal(answer[end-4:end], query[end-4:end])
}
