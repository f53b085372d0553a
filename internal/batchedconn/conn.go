// Package batchedconn joins small writes to a network connection.
//
// The HTTP/2 client of net/http writes the header fields of a request and its body one
// right after the other, and flushes both. Each flush is a TLS record and a system call,
// and for a short request the second call costs more than everything that is done with
// the body. A Conn below TLS leaves small writes to a goroutine. It runs when the writer
// waits for the response, and writes all that has come by then at once, also what other
// requests on the same connection have written meanwhile.
//
// No timer is involved: the goroutine is ready to run from the first byte on, so what has
// been written leaves without anything else having to happen.
package batchedconn

import (
	"net"
	"sync"
	"time"
)

// maxBatch is how much may wait to be written, in bytes: the header fields of a request
// and a short body. A larger write is not deferred, and takes along what waits.
const maxBatch = 4 << 10

// Conn is a connection that writes at once until Start is called, and joins small writes
// from then on.
//
// Write reports success for bytes that still wait. If writing them fails, the connection is
// closed, so that whoever waits for a response learns of it, and each later Write returns
// the error. A protocol that needs to know whether a write arrived must not Start: to
// HTTP/1.1 it is the reason to repeat a request. To HTTP/2 it makes no difference,
// because there only the server's frames tell.
type Conn struct {
	net.Conn

	mu      sync.Mutex // guards the fields below; not held while the connection writes
	free    sync.Cond  // writing has become false
	started bool
	pending []byte // waits to be written, at most maxBatch bytes
	spare   []byte // the previous buffer of pending, to be used again
	flushes bool   // flush is under way and will write what is pending
	writing bool   // a call of Conn.Write is under way
	err     error  // why pending bytes were not written
}

// New returns a Conn that writes to conn.
func New(conn net.Conn) *Conn {
	c := &Conn{Conn: conn}
	c.free.L = &c.mu
	return c
}

// Start begins to join small writes.
func (c *Conn) Start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.started = true
}

// stop makes all later writes wait until they are written.
func (c *Conn) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.started = false
}

// Write implements net.Conn. It copies b if it defers the write.
func (c *Conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.started || c.err != nil || len(c.pending)+len(b) > maxBatch {
		return c.write(b)
	}
	c.pending = append(c.pending, b...)
	if !c.flushes {
		c.flushes = true
		go c.flush()
	}
	return len(b), nil
}

// flush writes what is pending until nothing is. It ends at the latest when the
// connection is closed, which makes its write fail.
func (c *Conn) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.pending) > 0 && c.err == nil {
		if _, err := c.write(nil); err != nil {
			_ = c.Close()
		}
	}
	c.flushes = false
}

// write writes what is pending, and then b. It returns how many bytes of b
// were written. The caller holds the lock, which write releases meanwhile.
func (c *Conn) write(b []byte) (int, error) {
	for c.writing {
		c.free.Wait()
	}
	if c.err != nil {
		return 0, c.err
	}
	if len(c.pending) == 0 {
		if len(b) == 0 {
			return 0, nil
		}
		c.unlock()
		n, err := c.Conn.Write(b)
		c.relock()
		return n, err
	}
	pending := c.pending
	c.pending, c.spare = c.spare[:0], nil
	c.unlock()
	all := net.Buffers{pending}
	if len(b) > 0 {
		all = append(all, b) // one system call for both, and no copy of a large b
	}
	n, err := all.WriteTo(c.Conn)
	c.relock()
	c.spare = pending
	if err != nil {
		c.err = err
		c.pending = nil
	}
	return max(int(n)-len(pending), 0), err
}

// unlock releases the lock for a call of Conn.Write, and relock acquires it again.
func (c *Conn) unlock() {
	c.writing = true
	c.mu.Unlock()
}

func (c *Conn) relock() {
	c.mu.Lock()
	c.writing = false
	c.free.Broadcast()
}

// SetDeadline implements net.Conn. See SetWriteDeadline.
func (c *Conn) SetDeadline(t time.Time) error {
	c.stop()
	return c.Conn.SetDeadline(t)
}

// SetWriteDeadline implements net.Conn. The deadline also holds for what is pending.
// Later writes are not deferred anymore, since whoever sets a deadline means a write of
// its own: TLS sets one for its last message before it closes a connection, and one that
// has passed right after it.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.stop()
	return c.Conn.SetWriteDeadline(t)
}
