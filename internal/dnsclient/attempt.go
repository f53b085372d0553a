package dnsclient

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
)

// Networks forget connections without a word: after sleep, after a change of the
// line, in the tables of translators. Nothing tells such a connection from one
// to a server that takes its time, but that nothing is heard. So the owner of a
// query that has waited for long doubts its connection, and sends the query once
// more: it goes over another connection, as all later queries do until something
// is heard on the first. No query waits for a ping to time out.
//
//	query ──▶ connection A … silence … Doubt
//	query ──▶ connection B ──▶ response

// Attempt is one query on its way to a server, as its owner sees it while
// Exchange runs. The zero value is ready for use. It must not be copied.
type Attempt struct {
	mu     sync.Mutex
	live   *liveness // of the connection over which the query was sent, if it was
	heard  uint64    // what was heard on it before
	reused bool      // it had not been opened for this query
}

// begin records that the query is sent over a connection.
func (a *Attempt) begin(l *liveness, reused bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.live, a.heard, a.reused = l, l.heard.Load(), reused
}

// Silent reports whether the query was sent over a connection on which nothing
// has been heard since.
func (a *Attempt) Silent() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.silent()
}

func (a *Attempt) silent() bool { return a.live != nil && a.live.heard.Load() == a.heard }

// Doubtful reports whether the connection may have been forgotten: it is silent,
// and had been open before. That says nothing about the server.
func (a *Attempt) Doubtful() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.reused && a.silent()
}

// Excused reports whether the connection may be to blame for the silence, and not
// the server: it is doubtful, and was not doubted in vain since the last response.
// A server that hangs still confirms pings.
func (a *Attempt) Excused() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.reused && a.silent() && !a.live.doubtedInVain()
}

// Doubt keeps later queries off the connection as long as it is silent.
func (a *Attempt) Doubt() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.silent() {
		a.live.doubt(a.heard)
	}
}

// respond records that the response has come.
func (a *Attempt) respond() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.live.trust()
}

// liveness is what is known of a connection.
type liveness struct {
	heard   atomic.Uint64 // how often something was
	doubted atomic.Uint64 // 1 + heard when it was doubted last; 0: never since the last response
	refuted atomic.Bool   // it was doubted, was heard of again, and was doubted once more
}

func (l *liveness) hear() { l.heard.Add(1) }

// doubt records that nothing came after what was heard.
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

// inDoubt reports whether the connection was doubted and nothing was heard
// since.
func (l *liveness) inDoubt() bool { return l.doubted.Load() == l.heard.Load()+1 }

// doubtedInVain reports whether something was heard after a doubt, but no
// response.
func (l *liveness) doubtedInVain() bool {
	return l.refuted.Load() || l.doubted.Load() != 0 && !l.inDoubt()
}

// livenessKey is the context key of the *liveness of a connection that is being
// opened.
type livenessKey struct{}

// monitored records what is heard on a connection.
type monitored struct {
	net.Conn
	live *liveness
}

func (c *monitored) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.live.hear()
	}
	return n, err
}

// monitor makes a Dial record what is heard in the liveness of the context.
func monitor(dial Dial) Dial {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if live, ok := ctx.Value(livenessKey{}).(*liveness); ok && err == nil {
			return &monitored{conn, live}, nil
		}
		return conn, err
	}
}
