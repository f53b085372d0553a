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
	// maxPending is how many queries a connection carries at once; each needs
	// an ID of its own.
	maxPending = 1 << 14
	// maxUnsent is how many bytes may wait for a server that takes none.
	maxUnsent = 1 << 20
	// maxKept is the size of the buffers that are kept for the next messages.
	maxKept = 1 << 16
)

// limits are the times after which a connection ends by itself.
type limits struct {
	idle    time.Duration // without a query
	silence time.Duration // without an answer that is owed
}

// conn is one connection. Its reader and its writer run until it ends. There
// is a writer since a query must be able to give up on a server that takes
// nothing, without breaking the connection in the middle of a message.
type conn struct {
	net.Conn
	limits limits
	clock  clockwork.Clock
	live   liveness
	wake   chan struct{} // there is something to write
	over   chan struct{} // closed when it has ended

	mu      sync.Mutex
	unsent  []byte
	pending map[uint16]chan []byte // by the ID on the wire; closed without an answer when it ends
	asked   bool                   // since the last answer
	retired bool                   // takes no queries and ends after the last answer
	err     error                  // why it ended

	// deadline is when the connection ends by itself, which timer sees to.
	deadline time.Time
	timer    clockwork.Timer
}

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

// send queues a message with an ID that no other has, and returns where its
// answer will come, or nil if the connection takes no more. The ID stays
// reserved when the query is abandoned, so that a late answer is not taken for
// that to another query.
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
		// Only the first query: those behind it must not prolong the wait.
		c.asked = true
		c.endAfter(c.limits.silence)
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return answer
}

// write sends what is queued, all that there is at once.
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

// read hands out answers until the connection ends.
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

// deliver gives an answer to the one who waits for it. One that nobody asked
// for does not count as a sign of life.
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

// retire ends the connection after the last answer.
func (c *conn) retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retired = true
	if len(c.pending) == 0 {
		c.endAfter(0)
	}
}

func (c *conn) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err != nil
}

// end ends the connection and all that wait for answers.
func (c *conn) end(cause error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	// The cause is for the reader of a log. That it was a time-out is not the
	// query's matter.
	c.err = fmt.Errorf("%w: %v", ErrClosed, cause)
	c.timer.Stop()
	close(c.over)
	for _, pending := range c.pending {
		close(pending)
	}
	c.pending, c.unsent = nil, nil
	c.mu.Unlock()
	// Over TLS it says goodbye, for which a dead peer makes it wait.
	_ = c.Close()
}

// endAfter ends the connection after a time without another call. The caller holds
// the lock.
func (c *conn) endAfter(wait time.Duration) {
	c.deadline = c.clock.Now().Add(wait)
	c.timer.Reset(wait)
}

// expire ends the connection unless its end was put off meanwhile.
func (c *conn) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.clock.Now().Before(c.deadline) {
		_ = c.SetReadDeadline(time.Unix(1, 0))
	}
}

// readFrame reads a message with its length before it (RFC 1035, section
// 4.2.2).
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
