// Package dnsconn asks DNS servers over TCP, TLS and UDP. It forwards messages
// as they are: only the ID is its own on the wire.
//
// Each call sends one query, so that the caller can count what an account is
// sent; trying again is the caller's decision, too.
package dnsconn

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

const (
	maxMessage = 65535
	headerLen  = 12

	// idleTime is how long a connection without queries stays open. Servers
	// close theirs after 10 to 30 seconds.
	idleTime = 10 * time.Second
	// silence is how long a server may owe answers before its connection counts
	// as dead.
	silence = 5 * time.Second
	// maxPending is how many queries a connection carries at once; each needs
	// an ID of its own.
	maxPending = 1 << 14
)

var (
	// ErrClosed is the error of a connection that ended before the answer.
	ErrClosed = errors.New("the connection was closed before the answer")
	errShort  = errors.New("the message is too short")
	errLong   = errors.New("the message is too long")
)

// Dial opens a connection, as net.Dialer.DialContext does.
type Dial func(ctx context.Context, network, addr string) (net.Conn, error)

// Stream asks a server over TCP (RFC 7766) or TLS (RFC 7858). One connection
// carries many queries at once; it is opened when it is needed, and replaced
// when it is dead.
type Stream struct {
	addr   string
	dial   Dial
	config *tls.Config // nil: plain TCP

	mu      sync.Mutex
	conn    *stream
	dialing *dialing
}

type dialing struct {
	done chan struct{}
	err  error // read after done
}

// NewStream returns a Stream to an address, over TLS if config is not nil.
func NewStream(addr string, dial Dial, config *tls.Config) *Stream {
	return &Stream{addr: addr, dial: dial, config: config}
}

// Exchange sends a message and returns the answer, with the message's ID. When
// ctx ends the query is abandoned, and the connection stays.
func (s *Stream) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	switch {
	case len(msg) < headerLen:
		return nil, errShort
	case len(msg) > maxMessage:
		return nil, errLong
	}
	for {
		conn, err := s.get(ctx)
		if err != nil {
			return nil, err
		}
		id, pending := conn.expect()
		if pending == nil {
			continue // it has just ended
		}
		if err := conn.send(msg, id); err != nil {
			return nil, err
		}
		select {
		case answer, ok := <-pending:
			if !ok {
				return nil, conn.err
			}
			copy(answer, msg[:2])
			return answer, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Close ends the connection when its queries are answered. For a query that
// comes later there is another one, which ends when it is idle.
func (s *Stream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		s.conn.retire()
	}
	return nil
}

// get returns a connection that takes queries.
func (s *Stream) get(ctx context.Context) (*stream, error) {
	for {
		s.mu.Lock()
		if s.conn != nil && s.conn.usable() {
			defer s.mu.Unlock()
			return s.conn, nil
		}
		d := s.dialing
		if d == nil {
			d = s.open()
		}
		s.mu.Unlock()
		select {
		case <-d.done:
			if d.err != nil {
				return nil, d.err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// open opens a connection in the background, since others may wait for it when
// the query that asked for it has ended. The caller holds the lock.
func (s *Stream) open() *dialing {
	d := &dialing{done: make(chan struct{})}
	s.dialing = d
	go func() {
		defer close(d.done)
		ctx, cancel := context.WithTimeout(context.Background(), silence)
		defer cancel()
		conn, err := s.connect(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.dialing, d.err = nil, err
		if err != nil {
			return
		}
		s.conn = newStream(conn)
	}()
	return d
}

func (s *Stream) connect(ctx context.Context) (net.Conn, error) {
	conn, err := s.dial(ctx, "tcp", s.addr)
	if err != nil || s.config == nil {
		return conn, err
	}
	secure := tls.Client(conn, s.config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}

// stream is one connection. Its reader runs until it ends.
type stream struct {
	net.Conn
	write sync.Mutex

	mu      sync.Mutex
	pending map[uint16]chan []byte // by the ID on the wire; closed without an answer when it ends
	retired bool                   // takes no queries and ends after the last answer
	err     error                  // why it ended
}

func newStream(conn net.Conn) *stream {
	c := &stream{Conn: conn, pending: make(map[uint16]chan []byte)}
	_ = conn.SetReadDeadline(time.Now().Add(idleTime))
	go c.read()
	return c
}

func (c *stream) usable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err == nil && !c.retired && len(c.pending) < maxPending
}

// expect reserves an ID. It stays reserved when the query is abandoned, so
// that a late answer is not taken for that to another query.
func (c *stream) expect() (uint16, chan []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, nil
	}
	id := uint16(rand.Uint32())
	for c.pending[id] != nil {
		id++
	}
	answer := make(chan []byte, 1)
	c.pending[id] = answer
	if len(c.pending) == 1 {
		_ = c.SetReadDeadline(time.Now().Add(silence))
	}
	return id, answer
}

func (c *stream) send(msg []byte, id uint16) error {
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, len(msg)+2), uint16(len(msg)))
	framed = append(framed, msg...)
	binary.BigEndian.PutUint16(framed[2:], id)
	c.write.Lock()
	defer c.write.Unlock()
	_ = c.SetWriteDeadline(time.Now().Add(silence))
	if _, err := c.Write(framed); err != nil {
		c.end()
		return ErrClosed
	}
	return nil
}

// read hands out answers until the connection ends.
func (c *stream) read() {
	for {
		answer, err := readFrame(c.Conn)
		if err != nil {
			c.end()
			return
		}
		if !c.deliver(answer) {
			c.end()
			return
		}
	}
}

// deliver gives an answer to the one who waits for it, and tells whether the
// connection goes on.
func (c *stream) deliver(answer []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := binary.BigEndian.Uint16(answer)
	if pending := c.pending[id]; pending != nil {
		delete(c.pending, id)
		pending <- answer
	}
	wait := silence
	if len(c.pending) == 0 {
		wait = idleTime
	}
	_ = c.SetReadDeadline(time.Now().Add(wait))
	return !c.retired || len(c.pending) > 0
}

// retire ends the connection after the last answer.
func (c *stream) retire() {
	c.mu.Lock()
	c.retired = true
	idle := len(c.pending) == 0
	c.mu.Unlock()
	if idle {
		c.end()
	}
}

// end ends the connection and all that wait for answers.
func (c *stream) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = ErrClosed
	_ = c.Close()
	for _, pending := range c.pending {
		close(pending)
	}
	c.pending = nil
}

// readFrame reads a message with its length before it (RFC 1035, section
// 4.2.2).
func readFrame(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint16(length[:])
	if n < headerLen {
		return nil, errShort
	}
	msg := make([]byte, n)
	_, err := io.ReadFull(r, msg)
	return msg, err
}
