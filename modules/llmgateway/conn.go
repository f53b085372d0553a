package llmgateway

import (
	"context"
	"io"
	"net"
	"net/http"
)

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
