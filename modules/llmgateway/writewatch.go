package llmgateway

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/jonboulle/clockwork"
)

// writePeriod is how often it is checked that the client takes what is written to it.
// A write that is under way at two checks in a row is given up, so that a client has one
// to two minutes for a piece of at most copyBufferSize. A phone on a bad network needs
// so long: the kernel may have some hundred KB in its send buffer and wakes the writer
// only when a third of them has arrived.
const writePeriod = time.Minute

var errStalledClient = errors.New("the client takes nothing of the response")

// writeWatch ends a write to a client that takes nothing. While it lasts, the request
// keeps a slot of `concurrency` and the provider's connection, which others wait for.
// A response of which nothing is written is not affected, however long it is silent.
//
// It looks at the writes by a timer and sets no deadline before one has stalled: that
// costs a write two additions, and a deadline that stands would reset streams of HTTP/2
// in which nothing is written.
//
// begin and end are called by the goroutines that write, check by the timer's. mu makes
// check and stop exclude each other: after stop the writer may belong to the next
// request.
type writeWatch struct {
	server http.ResponseWriter // the server's own
	conn   net.Conn            // of HTTP/2; nil where it is not known
	clock  clockwork.Clock

	active  atomic.Int64 // writes under way
	ended   atomic.Int64 // writes that have ended
	stalled atomic.Bool

	mu        sync.Mutex
	timer     clockwork.Timer // nil before the first write
	stopped   bool
	wasActive bool  // at the last check
	seen      int64 // ended at the last check
}

// open sets whose writes are watched. The caller must stop the watch before the handler
// returns.
func (w *writeWatch) open(to http.ResponseWriter, r *http.Request, clock clockwork.Clock) {
	w.server, w.clock = innermost(to), clock
	if r.ProtoMajor == 2 {
		w.conn, _ = r.Context().Value(connKey{}).(net.Conn)
	}
}

// innermost returns the writer that the others are around. Unlike the server's own,
// those, such as the one of Caddy's idle time-out, are for one goroutine at a time.
func innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		outer, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = outer.Unwrap()
	}
}

// start begins the checks. It may be called with each write.
func (w *writeWatch) start() {
	if w.timer == nil {
		w.mu.Lock()
		w.timer = w.clock.AfterFunc(writePeriod, w.check)
		w.mu.Unlock()
	}
}

// begin says that a write begins, and end that it has ended.
func (w *writeWatch) begin() { w.active.Add(1) }

// end returns the error of the write, or errStalledClient if check has brought it about.
func (w *writeWatch) end(err error) error {
	w.ended.Add(1)
	w.active.Add(-1)
	if err != nil && w.stalled.Load() {
		return errStalledClient
	}
	return err
}

// check ends the writes under way if none has ended since the last check.
//
// In HTTP/2 a deadline that has passed resets the stream. The write returns when the
// reset was sent, which needs a connection that takes bytes: one that has taken none
// until the next check is given up too.
func (w *writeWatch) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	active, ended := w.active.Load() > 0, w.ended.Load()
	switch {
	case !active || !w.wasActive || ended != w.seen:
		w.wasActive, w.seen = active, ended
	case !w.stalled.Load():
		w.stalled.Store(true)
		_ = http.NewResponseController(w.server).SetWriteDeadline(time.Unix(1, 0))
	case w.conn != nil:
		_ = w.conn.SetWriteDeadline(time.Unix(1, 0))
		return
	}
	w.timer.Reset(writePeriod)
}

// stop ends the watch.
func (w *writeWatch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	if w.timer != nil {
		w.timer.Stop()
	}
}

// connKey is the context key of a request's connection.
type connKey struct{}

// keepConns lets the server put its connections into the contexts of its requests.
func keepConns(ctx caddy.Context) {
	if server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok {
		server.RegisterConnContext(func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		})
	}
}

// socketWriter is the way to the client of a WebSocket, with a watch on the writes.
type socketWriter struct {
	http.ResponseWriter
	watch *writeWatch
}

// Unwrap is for http.ResponseController.
func (s *socketWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// Write implements http.ResponseWriter. HTTP/2 and 3 write their frames with it.
func (s *socketWriter) Write(p []byte) (int, error) {
	s.watch.begin()
	n, err := s.ResponseWriter.Write(p)
	return n, s.watch.end(err)
}

// FlushError is for http.ResponseController.
func (s *socketWriter) FlushError() error {
	s.watch.begin()
	return s.watch.end(http.NewResponseController(s.ResponseWriter).Flush())
}

// Hijack implements http.Hijacker, for HTTP/1.1.
func (s *socketWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(s.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	watched := watchedConn{conn, s.watch}
	if half, ok := conn.(halfCloser); ok {
		return &watchedHalfCloser{watched, half}, buffered, nil
	}
	return &watched, buffered, nil
}

// watchedConn is a connection with a watch on the writes.
type watchedConn struct {
	net.Conn
	watch *writeWatch
}

// Write implements net.Conn.
func (c *watchedConn) Write(p []byte) (int, error) {
	c.watch.begin()
	n, err := c.Conn.Write(p)
	return n, c.watch.end(err)
}

// halfCloser is a connection of which one direction can be closed, as the reverse proxy
// does when the other side has closed it.
type halfCloser interface{ CloseWrite() error }

// watchedHalfCloser is a watchedConn of such a connection.
type watchedHalfCloser struct {
	watchedConn
	halfCloser
}

// Interface guards
var (
	_ http.Hijacker = (*socketWriter)(nil)
	_ halfCloser    = (*watchedHalfCloser)(nil)
)
