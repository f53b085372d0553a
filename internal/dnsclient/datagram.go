package dnsclient

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"time"
)

// attempt is how long Exchange waits for a response. After that time the datagram or
// its response is most likely lost.
const attempt = 1200 * time.Millisecond

// ErrNoAnswer is the error of a datagram without a response.
var ErrNoAnswer = errors.New("no answer came, the datagram may be lost")

// buffers hold datagrams of any size.
var buffers = sync.Pool{New: func() any { return new([maxMessage]byte) }}

// Datagram sends queries over UDP, each from a new port and with a random ID, so that
// responses are hard to forge (RFC 5452, section 9.2).
type Datagram struct {
	addr    string
	dial    Dial
	attempt time.Duration
}

// NewDatagram returns a Datagram to an address.
func NewDatagram(addr string, dial Dial) *Datagram {
	return &Datagram{addr: addr, dial: dial, attempt: attempt}
}

// Exchange sends a message and returns the response with the message's ID. If the
// response is truncated, the caller uses a Stream. Datagrams that are not a response
// to the message are ignored, so that a forged one does not end the wait.
func (d *Datagram) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	switch {
	case len(msg) < headerLen:
		return nil, errShort
	case len(msg) > maxMessage:
		return nil, errLong
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	conn, err := d.dial(ctx, "udp", d.addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(d.attempt)); err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	buf := buffers.Get().(*[maxMessage]byte)
	defer buffers.Put(buf)

	id := uint16(rand.Uint32())
	query := buf[:copy(buf[:], msg)]
	binary.BigEndian.PutUint16(query, id)
	if _, err := conn.Write(query); err != nil {
		return nil, lost(ctx, err)
	}
	for {
		n, err := conn.Read(buf[:])
		if err != nil {
			return nil, lost(ctx, err)
		}
		if !answers(buf[:n], msg, id) {
			continue // forged, or late
		}
		answer := bytes.Clone(buf[:n])
		copy(answer, msg[:2])
		return answer, nil
	}
}

// lost returns the error of a query that was canceled or has no response, and err for
// other errors of the socket.
func lost(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrNoAnswer
	}
	return err
}

// answers reports whether a datagram is the response to the query that was sent with
// the ID. It must contain the same question, except for letter case, or no question
// and an error code, as some servers respond.
func answers(datagram, query []byte, id uint16) bool {
	const (
		flags     = 2
		response  = 0x80
		rcode     = 3
		questions = 4
	)
	if len(datagram) < headerLen || binary.BigEndian.Uint16(datagram) != id || datagram[flags]&response == 0 {
		return false
	}
	if binary.BigEndian.Uint16(datagram[questions:]) == 0 {
		return datagram[rcode]&0xF != 0
	}
	end := headerLen
	for end < len(query) && query[end] != 0 {
		end += int(query[end]) + 1
	}
	end += 5
	return len(query) >= end && len(datagram) >= end &&
		equalFold(datagram[headerLen:end-4], query[headerLen:end-4]) &&
		bytes.Equal(datagram[end-4:end], query[end-4:end])
}

// equalFold reports whether two names of the same length are equal except for the case
// of ASCII letters (RFC 4343). Lengths of labels are at most 63, and so no letters.
func equalFold(a, b []byte) bool {
	for i, c := range a {
		if c != b[i] && (c^b[i] != 'a'-'A' || c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}
