package dnsclient

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// conns is the pool of connections to one HTTPS server. Over HTTP/2 a single
// connection carries all queries at once; it is opened when it is needed, checked by
// pings and replaced when it is dead. A server without HTTP/2 gets one connection per
// concurrent query.
//
// http.Transport has a pool of its own, but finding the connection there costs a third
// of a query: for each request it computes the host again, international names
// included.
type conns struct {
	transport *http.Transport
	addr      string // host:port
	most      int    // connections; maxOpen, except in tests

	mu      sync.Mutex // guards the fields below
	open    []httpConn
	opened  uint64       // number of connections so far
	begun   int          // connections that are being opened
	dialing *httpDialing // shared by all that wait for a connection; nil: none
	serial  bool         // the server takes one request at a time on a connection
	closed  bool         // connections end after their last request
}

// httpConn is a connection in the pool.
type httpConn struct {
	*http.ClientConn
	live   *liveness
	number uint64    // in the order of opening, from 1
	used   time.Time // last; set only if conns.serial
}

// httpDialing is a connection that is being opened.
type httpDialing struct {
	done chan struct{}
	err  error // may be read once done is closed
}

// forgotten is how long a connection without pings may be idle before it is assumed to
// have been dropped by the network.
const forgotten = 20 * time.Second

// roundTrip sends a request over a connection that has capacity for it.
func (c *conns) roundTrip(req *http.Request, a *Attempt) (*http.Response, error) {
	conn, reused, err := c.acquire(req.Context())
	if err != nil {
		return nil, err
	}
	defer conn.live.pending.Add(-1)
	a.begin(conn.live, reused)
	resp, err := conn.RoundTrip(req)
	if err == nil {
		conn.live.served.Store(true)
	}
	return resp, err
}

// maxOpen is how many connections to one server are open at once, whatever it does with
// them. Without HTTP/2 as many queries are sent at once.
const maxOpen = 1024

// The errors of queries that are not sent for want of a connection. They are errors of
// dialing, after which another upstream is asked.
var (
	errNoStreams = &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("the server takes no requests on its connections")}
	errMaxOpen   = &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("too many connections to the server are open")}
)

// acquire reserves a connection for a request, and opens one if necessary. It also
// reports whether the connection was open before the call.
func (c *conns) acquire(ctx context.Context) (conn httpConn, reused bool, err error) {
	c.mu.Lock()
	before := c.opened
	c.mu.Unlock()
	for waited := false; ; waited = true {
		c.mu.Lock()
		if conn, ok := c.reserve(); ok {
			c.mu.Unlock()
			return conn, conn.number <= before, nil
		}
		if c.dropUseless() && waited {
			c.mu.Unlock()
			return httpConn{}, false, errNoStreams
		}
		d := c.dialing
		if d == nil || c.serial {
			if len(c.open)+c.begun >= c.most {
				c.mu.Unlock()
				return httpConn{}, false, errMaxOpen
			}
			d = c.dial()
		}
		c.mu.Unlock()
		select {
		case <-d.done:
			if d.err != nil {
				return httpConn{}, false, d.err
			}
		case <-ctx.Done():
			return httpConn{}, false, ctx.Err()
		}
	}
}

// reserve reserves an open connection that has capacity and is not in doubt, if there
// is one, and removes those that have ended. The caller holds the lock.
func (c *conns) reserve() (free httpConn, ok bool) {
	var now time.Time
	if c.serial {
		now = time.Now()
		c.dropDoubted()
	}
	c.open = slices.DeleteFunc(c.open, func(conn httpConn) bool {
		return conn.Err() != nil || c.serial && now.Sub(conn.used) > forgotten && discard(conn.ClientConn)
	})
	for i := range c.open {
		conn := &c.open[i]
		if !conn.live.inDoubt() && conn.Reserve() == nil {
			conn.used = now
			conn.live.pending.Add(1)
			if c.closed {
				conn.SetStateHook(func(conn *http.ClientConn) { discard(conn) })
			}
			return *conn, true
		}
	}
	return httpConn{}, false
}

// dropUseless closes connections that have no request and take none, and reports
// whether there were any on which nothing was ever answered: an HTTP/2 server may allow
// no streams (RFC 9113, section 5.1.2). Each query would leave another one open. Others
// take no more requests because the server closes them. The caller has found no
// connection with capacity, and holds the lock.
func (c *conns) dropUseless() (dropped bool) {
	c.open = slices.DeleteFunc(c.open, func(conn httpConn) bool {
		useless := !conn.live.inDoubt() && conn.live.pending.Load() == 0 && conn.Available() <= 0 && discard(conn.ClientConn)
		dropped = dropped || useless && !conn.live.served.Load()
		return useless
	})
	return dropped
}

// dial opens a connection in the background: it must not end with the query that needs
// it first, since others may wait for it. The goroutine ends by the transport's
// timeouts. The caller holds the lock.
func (c *conns) dial() *httpDialing {
	d := &httpDialing{done: make(chan struct{})}
	c.dialing = d
	c.begun++
	go func() {
		defer close(d.done)
		live := new(liveness)
		made, err := c.transport.NewClientConn(context.WithValue(context.Background(), livenessKey{}, live), "https", c.addr)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.begun--
		if c.dialing == d {
			c.dialing = nil
		}
		if d.err = err; err != nil {
			return
		}
		c.serial = made.Available() == 1
		c.opened++
		c.open = append(c.open, httpConn{made, live, c.opened, time.Now()})
	}()
	return d
}

// Broken closes idle connections after another one broke, since the server has most
// often closed them all. HTTP/2 connections notice that by themselves.
func (c *conns) Broken() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.serial {
		c.discardIdle()
	}
}

// dropDoubted removes connections in doubt, and closes idle ones that were opened
// before: if the network has dropped one, it has dropped these as well. The caller
// holds the lock.
func (c *conns) dropDoubted() {
	var youngest uint64
	for _, conn := range c.open {
		if conn.live.inDoubt() {
			youngest = max(youngest, conn.number)
		}
	}
	if youngest == 0 {
		return
	}
	c.open = slices.DeleteFunc(c.open, func(conn httpConn) bool {
		if conn.number > youngest {
			return false
		}
		if conn.live.inDoubt() {
			conn.SetStateHook(func(conn *http.ClientConn) { discard(conn) })
			return true
		}
		return discard(conn.ClientConn)
	})
}

// discardIdle closes the connections without a request. The caller holds the
// lock.
func (c *conns) discardIdle() {
	c.open = slices.DeleteFunc(c.open, func(conn httpConn) bool { return discard(conn.ClientConn) })
}

// Close closes the connections. Those in use end after their last request.
func (c *conns) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, conn := range c.open {
		conn.SetStateHook(func(conn *http.ClientConn) { discard(conn) })
		discard(conn.ClientConn)
	}
}

// discard closes a connection if it is idle, and reports whether it did.
func discard(conn *http.ClientConn) bool {
	return conn.InFlight() == 0 && conn.Close() == nil
}
