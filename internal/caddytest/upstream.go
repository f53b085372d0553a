package caddytest

import (
	"bytes"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Request is a request that an Upstream has received.
type Request struct {
	Method string
	URI    string
	Host   string
	Proto  string
	Header http.Header
	Body   []byte
	At     time.Time
	// TransferEncoding and ContentLength are as the server saw them.
	TransferEncoding []string
	ContentLength    int64
}

// Upstream is a server on loopback that records its requests and answers with
// a handler, which may misbehave.
type Upstream struct {
	*httptest.Server

	mu       sync.Mutex
	requests []Request
	handler  http.Handler
	arrived  chan Request
	left     chan struct{}
}

// NewUpstream starts an upstream that speaks HTTP/1.1 and h2c in clear text.
func NewUpstream(t testing.TB, handler http.HandlerFunc) *Upstream {
	t.Helper()
	u := newUpstream(handler)
	u.Config.Protocols = new(http.Protocols)
	u.Config.Protocols.SetHTTP1(true)
	u.Config.Protocols.SetUnencryptedHTTP2(true)
	u.Start()
	t.Cleanup(u.stop)
	return u
}

// NewTLSUpstream starts an upstream that speaks HTTP/2 and HTTP/1.1 over TLS,
// with a certificate for example.com, 127.0.0.1 and [::1] that CAFile vouches
// for.
func NewTLSUpstream(t testing.TB, handler http.HandlerFunc) *Upstream {
	t.Helper()
	u := newUpstream(handler)
	u.EnableHTTP2 = true
	u.StartTLS()
	t.Cleanup(u.stop)
	return u
}

func newUpstream(handler http.HandlerFunc) *Upstream {
	u := &Upstream{
		handler: handler,
		arrived: make(chan Request, 1<<16),
		left:    make(chan struct{}, 1<<16),
	}
	u.Server = httptest.NewUnstartedServer(http.HandlerFunc(u.serve))
	return u
}

// stop cuts connections first: Close alone would wait for handlers that hang.
func (u *Upstream) stop() {
	u.CloseClientConnections()
	u.Close()
}

func (u *Upstream) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client gave up while sending
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	seen := Request{
		Method: r.Method, URI: r.RequestURI, Host: r.Host, Proto: r.Proto,
		Header: r.Header.Clone(), Body: body, At: time.Now(),
		TransferEncoding: r.TransferEncoding, ContentLength: r.ContentLength,
	}
	u.mu.Lock()
	u.requests = append(u.requests, seen)
	handler := u.handler
	u.mu.Unlock()
	u.arrived <- seen
	defer func() {
		if r.Context().Err() != nil {
			u.left <- struct{}{}
		}
	}()
	handler.ServeHTTP(w, r)
}

// Handle changes the answer of the requests to come.
func (u *Upstream) Handle(handler http.HandlerFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.handler = handler
}

// Requests returns what has arrived so far.
func (u *Upstream) Requests() []Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]Request(nil), u.requests...)
}

// Next waits for the next request that has not been waited for, and fails the
// test when none comes within a minute.
func (u *Upstream) Next(t testing.TB) Request {
	t.Helper()
	select {
	case r := <-u.arrived:
		return r
	case <-time.After(time.Minute):
		t.Fatalf("no request reached the upstream %s", u.URL)
		return Request{}
	}
}

// WaitLeft waits until a client has left before its answer was complete, and
// fails the test when none does within a minute.
func (u *Upstream) WaitLeft(t testing.TB) {
	t.Helper()
	select {
	case <-u.left:
	case <-time.After(time.Minute):
		t.Fatalf("no client left the upstream %s", u.URL)
	}
}

// Addr is the upstream's host and port.
func (u *Upstream) Addr() string { return u.Listener.Addr().String() }

// CAFile writes the certificate that vouches for a TLS upstream to a PEM file.
func (u *Upstream) CAFile(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "upstream-ca.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: u.Certificate().Raw})
	if err := os.WriteFile(file, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
