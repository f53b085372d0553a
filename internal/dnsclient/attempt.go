package dnsclient

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
)

// Networks drop connections without notice: after a suspend, after a change of the
// line, in the tables of NAT. Such a connection looks like one to a slow server,
// except that nothing at all is received. So the caller of a query that has waited
// for long doubts its connection, and sends the query again: it goes over another
// connection, as all later queries do until something is received on the first. No
// query waits for a ping to time out.
//
//	query ──▶ connection A … silence … Doubt
//	query ──▶ connection B ──▶ response
//
// The states of a connection:
//
//	trusted ── Doubt ──▶ in doubt ── data received ──▶ doubted in vain ── response ──▶ trusted
//	                        ▲                                │
//	                        └──────────── Doubt ─────────────┘

// Attempt is one query that is being sent, as the caller of Exchange sees it. The
// zero value is ready for use. It must not be copied.
type Attempt struct {
	mu     sync.Mutex // guards the fields below
	live   *liveness  // of the query's connection; nil before it is sent
	heard  uint64     // the connection's count of reads before that
	reused bool       // whether the connection had been open before the query
}

// begin records the connection over which the query is sent.
func (a *Attempt) begin(l *liveness, reused bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.live, a.heard, a.reused = l, l.heard.Load(), reused
}

// Silent reports whether the query was sent and nothing has been received on its
// connection since.
func (a *Attempt) Silent() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.silent()
}

// silent is Silent for a caller that holds the lock.
func (a *Attempt) silent() bool { return a.live != nil && a.live.heard.Load() == a.heard }

// Doubtful reports whether the network may have dropped the connection: it is silent,
// and was opened before the query. Then the silence is no evidence about the server.
func (a *Attempt) Doubtful() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.reused && a.silent()
}

// Excused reports whether the connection may be the cause of the silence and not the
// server: it is doubtful, and was not doubted in vain since the last response. A
// server that hangs still acknowledges pings, and so data is received.
func (a *Attempt) Excused() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.reused && a.silent() && !a.live.doubtedInVain()
}

// Doubt keeps later queries from using the connection as long as it is silent.
func (a *Attempt) Doubt() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.silent() {
		a.live.doubt(a.heard)
	}
}

// served reports whether the server has answered any query on the connection.
func (a *Attempt) served() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.live != nil && a.live.served.Load()
}

// respond records a response.
func (a *Attempt) respond() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.live.trust()
}

// liveness is the state of a connection; see the diagram above.
type liveness struct {
	heard   atomic.Uint64 // number of reads with data
	doubted atomic.Uint64 // 1 + heard at the last doubt; 0: none since the last response
	refuted atomic.Bool   // whether an earlier doubt since the last response was in vain

	// Set by conns only. served does not change while pending is 0.
	pending atomic.Int64 // requests that have a place, until the header of their response
	served  atomic.Bool  // whether there was a response
}

// hear records a read with data.
func (l *liveness) hear() { l.heard.Add(1) }

// doubt records that nothing was received since the count was heard.
func (l *liveness) doubt(heard uint64) {
	if l.doubtedInVain() {
		l.refuted.Store(true)
	}
	l.doubted.Store(heard + 1)
}

// trust records a response.
func (l *liveness) trust() {
	l.doubted.Store(0)
	l.refuted.Store(false)
}

// inDoubt reports whether the connection was doubted and nothing was received since.
func (l *liveness) inDoubt() bool { return l.doubted.Load() == l.heard.Load()+1 }

// doubtedInVain reports whether data was received after a doubt, but no response.
func (l *liveness) doubtedInVain() bool {
	return l.refuted.Load() || l.doubted.Load() != 0 && !l.inDoubt()
}

// livenessKey is the context key of the *liveness of a connection that is being
// opened. http.Transport has no other way to pass a value to its dialer.
type livenessKey struct{}

// monitored is a connection that records reads in a liveness.
type monitored struct {
	net.Conn
	live *liveness
}

// Read implements net.Conn.
func (c *monitored) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.live.hear()
	}
	return n, err
}

// monitor returns a Dial whose connections record reads in the liveness of the
// context.
func monitor(dial Dial) Dial {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if live, ok := ctx.Value(livenessKey{}).(*liveness); ok && err == nil {
			return &monitored{conn, live}, nil
		}
		return conn, err
	}
}
