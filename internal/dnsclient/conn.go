package dnsclient

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
)

const (
	// maxPending is how many queries a connection carries at once. Each needs an
	// ID of its own, and a quarter of the IDs are found quickly at random.
	maxPending = 1 << 14

	// maxUnsent bounds the bytes that wait for a server which does not read.
	maxUnsent = 1 << 20

	// maxKept is the largest buffer that is reused for the next messages.
	maxKept = 1 << 16
)

// limits are the times after which a connection ends by itself.
type limits struct {
	idle    time.Duration // without a query
	silence time.Duration // without a response while one is pending
}

// conn is one connection. It has a reader and a writer, which run until it ends. The
// writer is a goroutine of its own since a query must be able to end while the server
// does not read, without leaving half a message on the connection.
type conn struct {
	net.Conn
	limits limits
	clock  clockwork.Clock
	live   liveness
	wake   chan struct{} // capacity 1; filled when there is something to write
	over   chan struct{} // closed when the connection has ended

	mu      sync.Mutex // guards the fields below
	unsent  []byte
	pending map[uint16]chan []byte // by ID on the wire; closed without a response when the connection ends
	asked   bool                   // whether a query was sent since the last response
	retired bool                   // takes no more queries and ends after the last response
	err     error                  // why the connection has ended; nil: it has not

	// deadline is when the connection ends by itself. The timer calls expire.
	deadline time.Time
	timer    clockwork.Timer
}

// newConn starts the reader and the writer of an open connection.
func newConn(open net.Conn, l limits, clock clockwork.Clock) *conn {
	c := &conn{
		Conn:    open,
		limits:  l,
		clock:   clock,
		wake:    make(chan struct{}, 1),
		over:    make(chan struct{}),
		pending: make(map[uint16]chan []byte),
	}
	c.deadline = clock.Now().Add(l.idle)
	c.timer = clock.AfterFunc(l.idle, c.expire)
	go c.read()
	go c.write()
	return c
}

// send queues a message with an ID that no pending one has, and returns the channel
// of its response, or nil if the connection takes no more queries. The ID stays
// reserved if the caller no longer waits, so that a late response is not taken for
// the one to another query.
func (c *conn) send(msg []byte, a *Attempt, reused bool) <-chan []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.retired || len(c.pending) >= maxPending || len(c.unsent) > maxUnsent {
		return nil
	}
	id := uint16(rand.Uint32())
	for c.pending[id] != nil {
		id++
	}
	a.begin(&c.live, reused)
	answer := make(chan []byte, 1)
	c.pending[id] = answer
	c.unsent = binary.BigEndian.AppendUint16(c.unsent, uint16(len(msg)))
	c.unsent = binary.BigEndian.AppendUint16(c.unsent, id)
	c.unsent = append(c.unsent, msg[2:]...)
	if !c.asked {
		// Only for the first query since a response: later ones must not extend
		// the deadline.
		c.asked = true
		c.endAfter(c.limits.silence)
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return answer
}

// write writes the queued messages, all of them with one call.
func (c *conn) write() {
	var buf []byte
	for {
		select {
		case <-c.wake:
		case <-c.over:
			return
		}
		c.mu.Lock()
		buf, c.unsent = c.unsent, buf[:0]
		c.mu.Unlock()
		_ = c.SetWriteDeadline(time.Now().Add(c.limits.silence))
		if _, err := c.Write(buf); err != nil {
			c.end(err)
			return
		}
		if cap(buf) > maxKept {
			buf = nil
		}
	}
}

// read delivers responses until the connection ends.
func (c *conn) read() {
	r := bufio.NewReader(c.Conn)
	for {
		answer, err := readFrame(r)
		if err != nil {
			c.end(err)
			return
		}
		c.deliver(answer)
	}
}

// deliver passes a response to the query that waits for it. A response without a query
// is dropped, and does not extend the deadline.
func (c *conn) deliver(answer []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := binary.BigEndian.Uint16(answer)
	pending := c.pending[id]
	if pending == nil {
		return
	}
	delete(c.pending, id)
	c.live.hear()
	pending <- answer
	wait := c.limits.silence
	switch {
	case len(c.pending) > 0:
	case c.retired:
		wait = 0
	default:
		wait = c.limits.idle
	}
	c.asked = false
	c.endAfter(wait)
}

// retire ends the connection after the last pending response.
func (c *conn) retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retired = true
	if len(c.pending) == 0 {
		c.endAfter(0)
	}
}

// ended reports whether the connection has ended.
func (c *conn) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err != nil
}

// end ends the connection and all pending queries.
func (c *conn) end(cause error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	// %v and not %w: the cause is for logs. Callers must not take the
	// connection's timeout for that of their query.
	c.err = fmt.Errorf("%w: %v", ErrClosed, cause)
	c.timer.Stop()
	close(c.over)
	for _, pending := range c.pending {
		close(pending)
	}
	c.pending, c.unsent = nil, nil
	c.mu.Unlock()
	// Without the lock: over TLS it sends an alert, which can block for seconds
	// if the peer is dead.
	_ = c.Close()
}

// endAfter ends the connection after a time without another call. The caller holds
// the lock.
func (c *conn) endAfter(wait time.Duration) {
	c.deadline = c.clock.Now().Add(wait)
	c.timer.Reset(wait)
}

// expire ends the connection, unless its deadline was moved meanwhile. It makes the
// reader fail, which then calls end.
func (c *conn) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.clock.Now().Before(c.deadline) {
		_ = c.SetReadDeadline(time.Unix(1, 0))
	}
}

// readFrame reads a message after its length in two bytes (RFC 1035, section 4.2.2).
func readFrame(r *bufio.Reader) ([]byte, error) {
	length, err := r.Peek(2)
	if err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint16(length)
	if n < headerLen {
		return nil, errShort
	}
	_, _ = r.Discard(2)
	msg := make([]byte, n)
	_, err = io.ReadFull(r, msg)
	return msg, err
}
