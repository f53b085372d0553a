package dnsclient

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// conns are the connections to one HTTPS server. Over HTTP/2 a single one
// carries all queries at once; it is opened when it is needed, checked by
// pings and replaced when it is dead. Servers without HTTP/2 get a connection
// for each query under way.
//
// http.Transport has a pool of its own, but finding the connection there costs
// a third of a query: for each request it works out anew which host is meant,
// international names included.
type conns struct {
	transport *http.Transport
	addr      string // host:port

	mu      sync.Mutex
	open    []httpConn
	opened  uint64       // how many were
	dialing *httpDialing // under way, and shared by all who wait for a connection
	serial  bool         // the server takes one request at a time on a connection
	closed  bool         // connections end with the requests on them
}

type httpConn struct {
	*http.ClientConn
	live   *liveness
	number uint64
	used   time.Time // if the server takes one request at a time
}

type httpDialing struct {
	done chan struct{}
	err  error // read after done
}

// forgotten is how long a connection without pings may have been idle. Many
// networks forget them without a word.
const forgotten = 20 * time.Second

// roundTrip sends a request over a connection with room for it.
func (c *conns) roundTrip(req *http.Request, a *Attempt) (*http.Response, error) {
	conn, reused, err := c.acquire(req.Context())
	if err != nil {
		return nil, err
	}
	a.begin(conn.live, reused)
	return conn.RoundTrip(req)
}

// acquire reserves a place on a connection, and reports whether that had been
// open before.
func (c *conns) acquire(ctx context.Context) (conn httpConn, reused bool, err error) {
	c.mu.Lock()
	before := c.opened
	c.mu.Unlock()
	for {
		c.mu.Lock()
		if conn, ok := c.reserve(); ok {
			c.mu.Unlock()
			return conn, conn.number <= before, nil
		}
		d := c.dialing
		if d == nil || c.serial {
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

// reserve returns a connection that has room and is not in doubt, if there is
// one, and forgets those that are of no use any more. The caller holds the lock.
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
			if c.closed {
				conn.SetStateHook(func(conn *http.ClientConn) { discard(conn) })
			}
			return *conn, true
		}
	}
	return httpConn{}, false
}

// dial opens a connection in the background, since others may wait for it when
// the query that asked for it has ended. The caller holds the lock.
func (c *conns) dial() *httpDialing {
	d := &httpDialing{done: make(chan struct{})}
	c.dialing = d
	go func() {
		defer close(d.done)
		live := new(liveness)
		made, err := c.transport.NewClientConn(context.WithValue(context.Background(), livenessKey{}, live), "https", c.addr)
		c.mu.Lock()
		defer c.mu.Unlock()
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

// Broken keeps the next request off connections that were idle when another
// broke: most often the server has closed them all.
func (c *conns) Broken() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.serial {
		c.discardIdle()
	}
}

// dropDoubted forgets connections in doubt, and closes those that are idle and not
// younger: if one was forgotten by the network, they were as well. The caller
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

// Close closes the connections, those with requests under way after these.
func (c *conns) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, conn := range c.open {
		conn.SetStateHook(func(conn *http.ClientConn) { discard(conn) })
		discard(conn.ClientConn)
	}
}

// discard closes a connection if nothing is under way on it.
func discard(conn *http.ClientConn) bool {
	return conn.InFlight() == 0 && conn.Close() == nil
}
