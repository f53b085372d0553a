// Package dnsclient sends DNS queries over UDP, TCP, TLS and HTTPS. It forwards
// messages unchanged, except for the ID, which is its own on the wire.
//
// Each call sends one query, so that the caller can count the queries of an account.
// Whether to try again is the caller's decision.
//
//	HTTPS           conns.go, https.go      one HTTP/2 connection for all queries
//	StreamClient    stream.go, conn.go      one TCP or TLS connection for all queries
//	DatagramClient  datagram.go             one UDP socket per query
//	SystemClient    system.go               the name servers of resolv.conf
package dnsclient

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
)

const (
	maxMessage = 65535
	headerLen  = 12

	// idleTime is how long a connection without queries stays open. Servers close
	// theirs after 10 to 30 seconds.
	idleTime = 10 * time.Second

	// silence is how long a server may not respond to pending queries before its
	// connection is considered dead.
	silence = 5 * time.Second
)

var (
	// ErrClosed is the error of a connection that ended before the answer.
	ErrClosed = errors.New("the connection was closed before the answer")
	errShort  = errors.New("the message is too short")
	errLong   = errors.New("the message is too long")
)

// Dial opens a connection, as net.Dialer.DialContext does.
type Dial func(ctx context.Context, network, addr string) (net.Conn, error)

// Stream sends queries over TCP (RFC 7766) or TLS (RFC 7858). One connection carries
// many queries at once; it is opened when it is needed and replaced when it is dead.
type Stream struct {
	addr   string
	dial   Dial
	config *tls.Config // nil: plain TCP
	limits limits
	clock  clockwork.Clock

	mu      sync.Mutex // guards the fields below
	conn    *conn      // nil before the first query
	dialing *dialing   // shared by all that wait for a connection; nil: none
}

// dialing is a connection that is being opened. conn and err may be read once done is
// closed.
type dialing struct {
	done chan struct{}
	conn *conn
	err  error
}

// NewStream returns a Stream to an address, over TLS if config is not nil.
func NewStream(addr string, dial Dial, config *tls.Config) *Stream {
	return &Stream{addr: addr, dial: dial, config: config, limits: limits{idleTime, silence}, clock: clockwork.NewRealClock()}
}

// Exchange sends a message and returns the response with the message's ID. If ctx is
// canceled, the connection stays open.
//
// If no connection can be opened, the error is a *net.OpError with operation "dial",
// also when TLS fails; for an untrusted certificate it wraps a
// *tls.CertificateVerificationError. If the connection ends before the response, the
// error is ErrClosed.
func (s *Stream) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	return s.exchange(ctx, msg, new(Attempt))
}

// exchange is Exchange with the attempt of a StreamClient. A connection that ends before
// it has taken the query is replaced; after that, the caller decides.
func (s *Stream) exchange(ctx context.Context, msg []byte, a *Attempt) ([]byte, error) {
	switch {
	case len(msg) < headerLen:
		return nil, errShort
	case len(msg) > maxMessage:
		return nil, errLong
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	c, pending, err := s.send(ctx, msg, a)
	if err != nil {
		return nil, err
	}
	select {
	case answer, ok := <-pending:
		if !ok {
			return nil, c.err
		}
		copy(answer, msg[:2])
		return answer, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close ends the connection after its pending responses. A later query opens another
// one, which ends when it is idle.
func (s *Stream) Close() error {
	s.mu.Lock()
	c := s.conn
	s.conn = nil
	s.mu.Unlock()
	if c != nil {
		c.retire()
	}
	return nil
}

// send queues the message on a connection, which it opens if necessary. The response
// is sent to the channel.
func (s *Stream) send(ctx context.Context, msg []byte, a *Attempt) (*conn, <-chan []byte, error) {
	for reused := true; ; reused = false {
		s.mu.Lock()
		c := s.conn
		if c != nil && c.live.inDoubt() {
			c.retire() // and not end: other queries may still get their responses
			s.conn, c = nil, nil
		}
		if c != nil {
			if pending := c.send(msg, a, reused); pending != nil {
				s.mu.Unlock()
				return c, pending, nil
			}
		}
		d := s.dialing
		if d == nil {
			d = s.open()
		}
		s.mu.Unlock()
		select {
		case <-d.done:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
		if d.err != nil {
			return nil, nil, d.err
		}
		if pending := d.conn.send(msg, a, false); pending != nil {
			return d.conn, pending, nil
		}
		if d.conn.ended() {
			// The server closes connections at once. Opening more would go on
			// until ctx is done.
			return nil, nil, d.conn.err
		}
	}
}

// open opens a connection in the background: it must not end with the query that needs
// it first, since others may wait for it. The goroutine ends by its timeout. The
// caller holds the lock.
func (s *Stream) open() *dialing {
	d := &dialing{done: make(chan struct{})}
	s.dialing = d
	go func() {
		defer close(d.done)
		ctx, cancel := context.WithTimeout(context.Background(), s.limits.silence)
		defer cancel()
		open, err := s.connect(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.dialing, d.err = nil, err
		if err == nil {
			d.conn = newConn(open, s.limits, s.clock)
			s.conn = d.conn
		}
	}()
	return d
}

// connect opens a TCP connection, with TLS if it is configured.
func (s *Stream) connect(ctx context.Context) (net.Conn, error) {
	plain, err := s.dial(ctx, "tcp", s.addr)
	if err != nil || s.config == nil {
		return plain, err
	}
	secure := tls.Client(plain, s.config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = plain.Close()
		// No query was sent yet, so the error is one of dialing.
		return nil, &net.OpError{Op: "dial", Net: "tls", Addr: plain.RemoteAddr(), Err: err}
	}
	return secure, nil
}
