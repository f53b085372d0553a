package dnsclient

import (
	"context"
	"net"
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
// Exchange runs. The zero value is ready for use.
type Attempt struct{ sent atomic.Pointer[sending] }

// sending is that a query was sent over a connection.
type sending struct {
	live   *liveness
	heard  uint64 // what was heard before
	reused bool   // the connection had not been opened for this query
}

// begin records that the query is sent over a connection.
func (a *Attempt) begin(l *liveness, reused bool) {
	a.sent.Store(&sending{l, l.heard.Load(), reused})
}

// Silent reports whether the query was sent over a connection on which nothing
// has been heard since.
func (a *Attempt) Silent() bool {
	s := a.sent.Load()
	return s != nil && s.live.heard.Load() == s.heard
}

// Doubtful reports whether the connection may have been forgotten: it is silent,
// and had been open before. That says nothing about the server.
func (a *Attempt) Doubtful() bool { return a.Silent() && a.sent.Load().reused }

// Doubt keeps later queries off the connection as long as it is silent.
func (a *Attempt) Doubt() {
	if s := a.sent.Load(); s != nil {
		s.live.doubted.Store(s.heard + 1)
	}
}

// liveness is what is known of a connection.
type liveness struct {
	heard   atomic.Uint64 // how often something was
	doubted atomic.Uint64 // 1 + heard when it was doubted; 0: never
}

func (l *liveness) hear() { l.heard.Add(1) }

// inDoubt reports whether the connection was doubted and nothing was heard
// since.
func (l *liveness) inDoubt() bool { return l.doubted.Load() == l.heard.Load()+1 }

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
