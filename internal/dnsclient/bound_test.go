package dnsclient

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// framedServer is an HTTP/2 server whose frames serve writes. It is called with each
// connection after the client's preface, and the connection is closed when it returns.
// open is the number of open connections.
func framedServer(t *testing.T, serve func(*http2.Framer)) (server *caddytest.Upstream, addr string, open *atomic.Int64) {
	t.Helper()
	server = caddytest.NewTLSUpstream(t, http.NotFound) // for its certificate
	config := server.TLS.Clone()
	config.NextProtos = []string{"h2"}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	open = new(atomic.Int64)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // the test has ended
			}
			open.Add(1)
			go func() {
				defer open.Add(-1)
				defer conn.Close()
				if _, err := io.CopyN(io.Discard, conn, int64(len(http2.ClientPreface))); err == nil {
					serve(http2.NewFramer(conn, conn))
				}
			}()
		}
	}()
	return server, listener.Addr().String(), open
}

// withoutStreams is an HTTP/2 server that allows no streams.
func withoutStreams(framer *http2.Framer) {
	_ = framer.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0})
	for { // until the client closes the connection
		frame, err := framer.ReadFrame()
		if err != nil {
			return
		}
		if ping, ok := frame.(*http2.PingFrame); ok && !ping.IsAck() {
			_ = framer.WritePing(true, ping.Data)
		}
	}
}

// Connections to a server that takes no requests are closed, and not opened for ever.
func TestNoStreams(t *testing.T) {
	server, addr, open := framedServer(t, withoutStreams)
	c := newHTTPS(t, server, addr)
	exchange := func() {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, _, _ = c.Exchange(ctx, outgoing(t, "www.example."), new(Attempt))
	}
	for range 20 {
		exchange()
	}
	// Each query closes what earlier ones have left.
	for start := time.Now(); open.Load() > 2; exchange() {
		if time.Since(start) > 10*time.Second {
			t.Fatalf("%d connections are open", open.Load())
		}
	}
}

// However many queries a server leaves unanswered, there is a bound of connections to it.
func TestMaxOpen(t *testing.T) {
	const most = 4
	// Over HTTP/1.1 there is one query at a time on a connection.
	server := &caddytest.Upstream{Server: httptest.NewTLSServer(http.HandlerFunc(caddytest.Hang))}
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	c := newHTTPS(t, server, server.Addr())
	c.most = most
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	for range 2 * most {
		go func() {
			_, _, err := c.Exchange(ctx, outgoing(t, "www.example."), new(Attempt))
			failed <- err
		}()
	}
	for range most { // the others fail at once
		if err := <-failed; !errors.Is(err, errMaxOpen) {
			t.Errorf("got the error %v", err)
		}
	}
	cancel()
	for range most {
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("got the error %v", err)
		}
	}
}
