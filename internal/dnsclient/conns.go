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
	dialing *httpDialing // under way, and shared by all who wait for a connection
	serial  bool         // the server takes one request at a time on a connection
	closed  bool         // connections end with the requests on them
}

type httpConn struct {
	*http.ClientConn
	used time.Time
}

type httpDialing struct {
	done chan struct{}
	err  error // read after done
}

// forgotten is how long a connection without pings may have been idle. Many
// networks forget them without a word.
const forgotten = 20 * time.Second

// roundTrip sends a request over a connection with room for it.
func (c *conns) roundTrip(req *http.Request) (*http.Response, error) {
	conn, err := c.take(req.Context())
	if err != nil {
		return nil, err
	}
	return conn.RoundTrip(req)
}

// take reserves a place on a connection.
func (c *conns) take(ctx context.Context) (*http.ClientConn, error) {
	for {
		c.mu.Lock()
		if conn := c.reserve(time.Now()); conn != nil {
			c.mu.Unlock()
			return conn, nil
		}
		d := c.dialing
		if d == nil || c.serial {
			d = c.dial()
		}
		c.mu.Unlock()
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

// reserve returns a connection that has room, or nil, and forgets those that
// are of no use any more. The caller holds the lock.
func (c *conns) reserve(now time.Time) (free *http.ClientConn) {
	c.open = slices.DeleteFunc(c.open, func(conn httpConn) bool {
		return conn.Err() != nil || c.serial && now.Sub(conn.used) > forgotten && discard(conn.ClientConn)
	})
	for i := range c.open {
		conn := &c.open[i]
		if conn.Reserve() == nil {
			conn.used = now
			if c.closed {
				conn.SetStateHook(func(conn *http.ClientConn) { discard(conn) })
			}
			return conn.ClientConn
		}
	}
	return nil
}

// dial opens a connection in the background, since others may wait for it when
// the query that asked for it has ended. The caller holds the lock.
func (c *conns) dial() *httpDialing {
	d := &httpDialing{done: make(chan struct{})}
	c.dialing = d
	go func() {
		defer close(d.done)
		made, err := c.transport.NewClientConn(context.Background(), "https", c.addr)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.dialing == d {
			c.dialing = nil
		}
		if d.err = err; err != nil {
			return
		}
		c.serial = made.Available() == 1
		c.open = append(c.open, httpConn{made, time.Now()})
	}()
	return d
}

// Broken keeps the next request off connections that were idle when another
// broke: most often the server has closed them all.
func (c *conns) Broken() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.serial {
		c.open = slices.DeleteFunc(c.open, func(conn httpConn) bool { return discard(conn.ClientConn) })
	}
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
