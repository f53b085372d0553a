package llmgateway

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// hookedConn calls a function before each write, if there is one.
type hookedConn struct {
	net.Conn
	before *atomic.Pointer[func() error]
}

func (c hookedConn) Write(b []byte) (int, error) {
	if before := c.before.Load(); before != nil {
		if err := (*before)(); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(b)
}

// Over HTTP/2 a short request does not wait until it is written, so that its body goes
// along with its header fields.
func TestJoinWrites(t *testing.T) {
	url, client := newJoined(t, true)
	if client.transport.Transport.TLSNextProto == nil {
		t.Skip("net/http has an HTTP/2 client of its own here, whose writes are not joined")
	}
	if err := client.post(t, url, func() {}); err != nil {
		t.Fatal(err)
	}
	goOn := make(chan struct{})
	client.before(func() error {
		<-goOn
		return nil
	})
	if err := client.post(t, url, func() { close(goOn) }); err != nil {
		t.Fatal(err)
	}
}

// A connection that cannot be written to does not leave a request waiting for its
// response.
func TestJoinedWritesThatFail(t *testing.T) {
	url, client := newJoined(t, true)
	if err := client.post(t, url, func() {}); err != nil {
		t.Fatal(err)
	}
	client.before(func() error { return errors.New("broken connection") })
	// It may come to light before, so that the request goes over another connection.
	if err := client.post(t, url, func() {}); errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// Over HTTP/1.1 the transport sends a request anew of which nothing could be written, and
// has to know that.
func TestUnjoinedWrites(t *testing.T) {
	url, client := newJoined(t, false)
	if err := client.post(t, url, func() {}); err != nil {
		t.Fatal(err)
	}
	client.before(func() error { return errors.New("broken connection") })
	if err := client.post(t, url, func() {}); err != nil {
		t.Error(err)
	}
}

// joinedClient sends requests over Caddy's transport with joined writes.
type joinedClient struct {
	transport *reverseproxy.HTTPTransport
	latest    *atomic.Pointer[func() error] // hook of the latest connection
}

// newJoined starts an upstream with or without HTTP/2, and returns its URL and a client
// that speaks both versions.
func newJoined(t *testing.T, http2 bool) (url string, c *joinedClient) {
	t.Helper()
	upstream := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	}))
	upstream.EnableHTTP2 = http2
	upstream.StartTLS()
	t.Cleanup(upstream.Close)
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	transport := &reverseproxy.HTTPTransport{TLS: &reverseproxy.TLSConfig{InsecureSkipVerify: true}}
	if err := transport.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.Transport.CloseIdleConnections)
	c = &joinedClient{transport: transport}
	dial := transport.Transport.DialContext
	transport.Transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		c.latest = new(atomic.Pointer[func() error])
		return hookedConn{conn, c.latest}, err
	}
	joinWrites(transport.Transport)
	return upstream.URL, c
}

// before sets what happens before each later write to the latest connection.
func (c *joinedClient) before(hook func() error) { c.latest.Store(&hook) }

// post sends a request with a short body and calls written when that is written, as far
// as the transport can tell.
func (c *joinedClient) post(t *testing.T, url string, written func()) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // only for a test that fails
	defer cancel()
	ctx = context.WithValue(ctx, caddyhttp.VarsCtxKey, make(map[string]any))
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { written() }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.transport.Transport.RoundTrip(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return errors.Join(err, res.Body.Close())
}
