package llmgateway

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"

	"golang.org/x/net/http2"

	"github.com/caddy-freetier/caddy-freetier/internal/batchedconn"
)

// joinWrites makes a transport's HTTP/2 connections write the header fields and the body
// of a short request at once.
//
// The transport tells through TLSNextProto that a connection speaks HTTP/2. If Caddy did
// not set it, which is so for versions without 2, and when it is built with Go 1.27, where
// golang.org/x/net leaves HTTP/2 to net/http, the connections stay as they are.
func joinWrites(t *http.Transport) {
	upgrade, ok := t.TLSNextProto[http2.NextProtoTLS]
	if !ok {
		return
	}
	t.TLSNextProto[http2.NextProtoTLS] = func(authority string, conn *tls.Conn) http.RoundTripper {
		// The connection through an https proxy is TLS itself, and no such Conn.
		if below, ok := conn.NetConn().(*batchedconn.Conn); ok {
			below.Start()
		}
		return upgrade(authority, conn)
	}
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return batchedconn.New(conn), nil
	}
}

// sendDirectly makes a transport's plain connections take a large body from
// where it lies. net/http copies every body of known length through a buffer
// of its own, which for 5 MB costs as much as reading it did.
func sendDirectly(t *http.Transport) {
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			return directConn{tcp}, nil
		}
		return conn, nil
	}
}

// directConn is a connection that knows how to ask a body to write itself.
type directConn struct{ *net.TCPConn }

// heldBody is a body that lies in memory as a whole.
type heldBody interface {
	io.WriterTo
	Len() int64 // what is left to read, in bytes
}

// ReadFrom implements io.ReaderFrom. net/http passes the body behind a limit,
// its Content-Length.
func (c directConn) ReadFrom(r io.Reader) (int64, error) {
	if limited, ok := r.(*io.LimitedReader); ok {
		if body, ok := limited.R.(heldBody); ok && body.Len() == limited.N {
			n, err := body.WriteTo(c.TCPConn)
			limited.N -= n
			return n, err
		}
	}
	return c.TCPConn.ReadFrom(r)
}
