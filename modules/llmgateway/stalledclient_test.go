package llmgateway

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"golang.org/x/net/http2"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// endless sends a beginning and then the same piece until nobody takes it.
func endless(contentType, begin, piece string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, err := io.WriteString(w, begin)
		for err == nil {
			_, err = io.WriteString(w, piece)
		}
	}
}

// endlessSocket is endless over a WebSocket.
func endlessSocket(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, err = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n")
	for piece := strings.Repeat("x", 32<<10); err == nil; {
		_, err = io.WriteString(conn, piece)
	}
}

var (
	endlessStream = endless("text/event-stream", chunk, strings.Repeat(chunk, 500))
	endlessJSON   = endless("application/json", `{"choices":[{"message":{"content":"`, strings.Repeat("x", 32<<10))
)

// A client that takes nothing of its response gives its slot back, in each version of
// HTTP, whether its stream or its whole connection stands still.
func TestStalledClients(t *testing.T) {
	clock := clockwork.NewFakeClock()
	up := caddytest.NewUpstream(t, endlessStream)
	g, clients := startTLS(t, "client stalled-client alice-key\nclient bob bob-key\nresponse_timeout off\nwait off\n"+
		"channel a "+up.URL+" {\napi_key k\nmodels m gpt-realtime\nconcurrency 1\n}", caddytest.WithFakeClock(clock))
	host := strings.TrimPrefix(g.URL, "https://")
	roots := clients["HTTP/1.1"].Transport.(*http.Transport).TLSClientConfig
	dial := func(t *testing.T, protocol string) net.Conn {
		t.Helper()
		config := roots.Clone()
		config.NextProtos = []string{protocol}
		conn, err := tls.Dial("tcp", host, config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	unread := func(proto string) func(t *testing.T) {
		return func(t *testing.T) {
			t.Helper()
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL+chat, strings.NewReader(streamBody))
			req.Header.Set("Authorization", "Bearer alice-key")
			resp, err := clients[proto].Do(req)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { resp.Body.Close() })
			if resp.Proto != proto || resp.StatusCode != 200 {
				t.Fatalf("%s, status %d", resp.Proto, resp.StatusCode)
			}
		}
	}
	const counted = `caddy_llm_gateway_outcomes_total{client="stalled-client",outcome="client_left"}`
	left := g.Metric(counted)
	for _, tc := range []struct {
		name    string
		handler http.HandlerFunc
		open    func(t *testing.T)
	}{
		{"a stream over HTTP/1.1", endlessStream, unread("HTTP/1.1")},
		{"a whole response over HTTP/1.1", endlessJSON, unread("HTTP/1.1")},
		{"a stream over HTTP/2", endlessStream, unread("HTTP/2.0")},
		{"a whole response over HTTP/2", endlessJSON, unread("HTTP/2.0")},
		{"a connection of HTTP/2", endlessStream, func(t *testing.T) { stallConnection(t, dial(t, "h2"), host) }},
		{"a stream over HTTP/3", endlessStream, unread("HTTP/3.0")},
		{"a WebSocket", endlessSocket, func(t *testing.T) {
			fmt.Fprintf(dial(t, "http/1.1"), "GET /v1/realtime?model=gpt-realtime HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
				"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\nAuthorization: Bearer alice-key\r\n\r\n", host)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ended := make(chan struct{})
			up.Handle(func(w http.ResponseWriter, r *http.Request) {
				defer close(ended)
				tc.handler(w, r)
			})
			tc.open(t)
			up.Next(t)
			if used, _ := slotsOf(); used != 1 {
				t.Fatalf("%d slots are taken, want 1", used)
			}
			until(t, "the slot is given back", func() bool {
				clock.Advance(writePeriod)
				used, _ := slotsOf()
				return used == 0
			})
			<-ended // the provider's connection is given up
			up.Handle(caddytest.JSON(200, completion))
			g.chat(t, "m", "Authorization", "Bearer bob-key").wantStatus(t, 200)
			up.Next(t)
			if !strings.Contains(tc.name, "Socket") {
				left++
			}
			if n := g.Metric(counted); n != left {
				t.Errorf("%v requests are counted as left, want %v", n, left)
			}
		})
	}
}

// stallConnection asks for a stream over HTTP/2, lets all of it come and reads none.
func stallConnection(t *testing.T, conn net.Conn, authority string) {
	t.Helper()
	c := newH2Conn(t, conn)
	const most = 1<<31 - 1
	if err := c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: most}); err != nil {
		t.Fatal(err)
	}
	if err := c.framer.WriteWindowUpdate(0, most-65535); err != nil {
		t.Fatal(err)
	}
	c.open(1, [][2]string{
		{":method", "POST"}, {":scheme", "https"}, {":authority", authority}, {":path", chat}, {"authorization", "Bearer alice-key"},
	})
	if err := c.framer.WriteData(1, true, []byte(streamBody)); err != nil {
		t.Fatal(err)
	}
	if status := c.status(); status != "200" {
		t.Fatalf("status %s", status)
	}
}

// slowWriter takes a piece when the test lets it, and fails once a deadline has passed.
type slowWriter struct {
	*httptest.ResponseRecorder
	pieces   chan struct{}
	deadline chan struct{}
}

func (w *slowWriter) Write(p []byte) (int, error) {
	select {
	case <-w.pieces:
		return len(p), nil
	case <-w.deadline:
		return 0, net.ErrClosed
	}
}

func (w *slowWriter) SetWriteDeadline(time.Time) error {
	close(w.deadline)
	return nil
}

// A client may take its time for a response as long as it takes some of it, and a stream
// of which nothing is written may last.
func TestSlowClient(t *testing.T) {
	clock := clockwork.NewFakeClock()
	w := &slowWriter{httptest.NewRecorder(), make(chan struct{}), make(chan struct{})}
	var out clientWriter
	out.open(w, httptest.NewRequest(http.MethodGet, "/", nil), clock)
	const pieces = 5
	done := make(chan error)
	go func() { done <- out.send(make([]byte, pieces*copyBufferSize), false) }()
	next := func() {
		clock.Advance(writePeriod)
		if err := clock.BlockUntilContext(t.Context(), 1); err != nil {
			t.Fatal(err) // the next check is not set
		}
	}
	for i := range int64(pieces) {
		until(t, "a piece is written", func() bool { return out.watch.ended.Load() == i && out.watch.active.Load() == 1 })
		next()
		w.pieces <- struct{}{}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for range 10 {
		next()
	}
	go func() { done <- out.send([]byte("x"), false) }()
	until(t, "a write has begun", func() bool { return out.watch.active.Load() == 1 })
	next()
	clock.Advance(writePeriod)
	if err := <-done; err != errStalledClient {
		t.Errorf("got %v, want %v", err, errStalledClient)
	}
	out.end()
}
