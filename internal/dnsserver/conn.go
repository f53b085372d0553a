package dnsserver

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jonboulle/clockwork"
)

const (
	// handshakeTimeout bounds the TLS handshake. writeTimeout bounds the write of a
	// response to a client that does not read.
	handshakeTimeout = 10 * time.Second
	writeTimeout     = 10 * time.Second

	// idleTimeout is how long a connection without a pending query stays open.
	// Android closes its own connections after 20 seconds, so that it closes first.
	// If the server did, a query could be sent at the same moment and be lost, since
	// some clients do not repeat it.
	idleTimeout = 30 * time.Second

	// maxPipelined is how many queries of a connection are answered at once (RFC
	// 7766, section 6.2.1.1). With more of them, the connection is not read until
	// one is answered.
	maxPipelined = 128

	lengthLen = 2    // of the length before a message
	frameStep = 4096 // by which buffers grow; see frame.read
)

// conn is a connection over TCP or TLS.
//
//	handshake ──▶ idle ◀── begin, end ──▶ queries pending
//	                │ idleTimeout, or evicted by streams
//	                ▼
//	             closed
type conn struct {
	server  *streams
	raw     net.Conn
	tls     *tls.Conn // nil over TCP
	clock   clockwork.Clock
	client  netip.Addr
	network netip.Prefix
	asker   *client // all connections of the network

	slots   chan struct{}  // one element for each pending query
	name    string         // the client's server name (SNI), in lower case
	running sync.WaitGroup // the goroutines of pending queries

	writing sync.Mutex   // responses must not be mixed; see Request.Ready
	unsent  atomic.Int64 // bytes of the response that is being sent

	mu      sync.Mutex      // guards the fields below
	timer   clockwork.Timer // calls closeIdle; nil before the handshake has succeeded
	pending int             // queries without a response yet
	idle    time.Time       // when pending became 0
	closed  bool
}

func newConn(t *streams, raw net.Conn, service *Service) *conn {
	c := &conn{server: t, raw: raw, clock: service.clock, slots: make(chan struct{}, maxPipelined), idle: service.clock.Now()}
	if addr, err := netip.ParseAddrPort(raw.RemoteAddr().String()); err == nil {
		c.client = addr.Addr().Unmap().WithZone("")
	}
	c.network = clientNetwork(c.client)
	if config := t.config(service); config != nil {
		c.tls = tls.Server(raw, config)
	}
	return c
}

// stream returns what messages are read from and written to.
func (c *conn) stream() net.Conn {
	if c.tls != nil {
		return c.tls
	}
	return c.raw
}

// serve reads queries until the connection ends, and waits for those that are pending:
// a client may close its own direction after its last query.
func (c *conn) serve() {
	defer c.server.running.Done()
	defer c.server.remove(c)
	defer c.close()
	if !c.handshake() {
		return
	}
	c.mu.Lock()
	c.timer = c.clock.AfterFunc(idleTimeout, c.closeIdle)
	c.mu.Unlock()
	c.read()
	c.running.Wait()
}

// handshake performs the TLS handshake, and reports whether the connection is ready.
func (c *conn) handshake() bool {
	if c.tls == nil {
		return c.server.socket.address.Network == TCP
	}
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
	defer cancel()
	if c.tls.HandshakeContext(ctx) != nil {
		return false
	}
	c.name = strings.ToLower(c.tls.ConnectionState().ServerName)
	return true
}

// read reads one query after the other. Each is answered by a goroutine of its
// own, so that a slow one holds up no other.
func (c *conn) read() {
	reader := bufio.NewReaderSize(c.stream(), 4096)
	var length [lengthLen]byte
	for {
		if _, err := io.ReadFull(reader, length[:]); err != nil {
			return
		}
		frame := frames.Get().(*frame)
		if frame.read(reader, int(binary.BigEndian.Uint16(length[:]))) != nil {
			return
		}
		c.slots <- struct{}{}
		c.asker.slots <- struct{}{}
		c.server.slots <- struct{}{}
		if !c.begin() {
			c.releaseSlots()
			return
		}
		c.running.Add(1)
		go c.answer(frame)
	}
}

// frame holds a query, and its response with the length before it.
type frame struct {
	in, out []byte
	request Request
}

// frames are reused, so that a query allocates no buffers.
var frames = sync.Pool{New: func() any { return new(frame) }}

// read reads a query of n bytes. The buffer grows only as data arrives: otherwise two
// bytes of a client could make the server allocate 64 KB.
func (f *frame) read(r io.Reader, n int) error {
	f.in = f.in[:0]
	for len(f.in) < n {
		at := len(f.in)
		f.in = slices.Grow(f.in, min(n-at, frameStep))[:at+min(n-at, frameStep)]
		if _, err := io.ReadFull(r, f.in[at:]); err != nil {
			return err
		}
	}
	return nil
}

// release returns the frame for reuse, unless it is unusually large.
func (f *frame) release() {
	f.request = Request{}
	if cap(f.in)+cap(f.out) <= 4*frameStep {
		frames.Put(f)
	}
}

// grown returns a buffer of length n, which is buf if that is large enough.
func grown(buf []byte, n int) []byte {
	if cap(buf) < n {
		return make([]byte, n, max(n, 512))
	}
	return buf[:n]
}

// answer answers a query.
func (c *conn) answer(f *frame) {
	defer c.running.Done()
	defer c.end()
	service := c.server.socket.acquire()
	if service == nil {
		return
	}
	defer service.done()
	f.request = Request{Network: c.server.socket.address.Network, Client: c.client, ServerName: c.name, Message: f.in, conn: c}
	f.out = grown(f.out, lengthLen)
	response := c.server.socket.handle(service, &f.request, f.out[lengthLen:lengthLen])
	f.request.Ready() // unless the handler has called it
	defer c.writing.Unlock()
	if len(response) == 0 || len(response) > maxMessage {
		return
	}
	f.out = append(f.out[:lengthLen], response...)
	binary.BigEndian.PutUint16(f.out, uint16(len(response)))
	c.server.queue(c, len(f.out))
	c.write(f.out)
	c.server.dequeue(c, len(f.out))
	f.release()
}

// write sends a message and its length with one write, as RFC 7766, section 8,
// recommends. After an error the connection is closed, since a part of the message may
// have been sent. The caller holds the lock writing.
func (c *conn) write(message []byte) {
	stream := c.stream()
	if stream.SetWriteDeadline(time.Now().Add(writeTimeout)) != nil {
		return
	}
	if _, err := stream.Write(message); err != nil {
		_ = c.raw.Close()
	}
}

// begin counts a pending query. It returns false if the connection is closed.
func (c *conn) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	if c.pending++; c.pending == 1 {
		c.timer.Stop()
	}
	return true
}

// end ends a pending query. After the last one the connection is idle.
func (c *conn) end() {
	c.mu.Lock()
	if c.pending--; c.pending == 0 && !c.closed {
		c.idle = c.clock.Now()
		c.timer.Reset(idleTimeout)
	}
	c.mu.Unlock()
	c.releaseSlots()
}

// releaseSlots lets another query of the client and of the listener begin.
func (c *conn) releaseSlots() {
	<-c.server.slots
	<-c.asker.slots
	<-c.slots
}

// idleSince returns when the connection became idle, and whether it still is.
func (c *conn) idleSince() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.idle, c.pending == 0
}

// backlog returns how many bytes wait for the client, and 0 if the connection is
// closed: then they wait no more.
func (c *conn) backlog() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0
	}
	return c.unsent.Load()
}

// closeIdle closes the connection, unless a query has arrived meanwhile.
func (c *conn) closeIdle() {
	if _, idle := c.idleSince(); idle {
		c.close()
	}
}

// close closes the connection, over TLS with the alert close_notify.
func (c *conn) close() {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	if c.timer != nil {
		c.timer.Stop()
	}
	c.mu.Unlock()
	if c.tls != nil {
		_ = c.tls.Close() // waits at most five seconds for the alert to be written
	}
	_ = c.raw.Close()
}
