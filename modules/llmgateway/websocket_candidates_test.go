package llmgateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// The first of two hosts refuses the handshake of a WebSocket. The second one
// switches, and each has seen its own key and Host only.
func TestWebSocketCandidates(t *testing.T) {
	first := caddytest.NewTLSUpstream(t, caddytest.JSON(503, `{"error":{"message":"overloaded"}}`))
	second := caddytest.NewTLSUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nhello")
		rw.Flush()
	})
	g := start(t, "lb_policy first\n"+overTLS("one", first.URL, "")+overTLS("two", second.URL, ""))
	conn, resp := upgrade(t, g)
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("X-Gateway-Channel") != "two" {
		t.Fatalf("status %d, %v", resp.StatusCode, resp.Header)
	}
	greeting := make([]byte, len("hello"))
	if _, err := io.ReadFull(conn, greeting); err != nil || string(greeting) != "hello" {
		t.Errorf("%q, %v", greeting, err)
	}
	for name, up := range map[string]*caddytest.Upstream{"one": first, "two": second} {
		got := up.Next(t)
		if bearer(got) != "key-of-"+name || got.Host != up.Addr() || strings.Contains(fmt.Sprint(got.Header), "key-of-"+map[string]string{"one": "two", "two": "one"}[name]) {
			t.Errorf("%s was asked as %s with %v", name, got.Host, got.Header)
		}
	}
}

// A handshake that every channel refuses ends with the last refusal.
func TestWebSocketRefused(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(503, `{"error":{"message":"no key-of-one here"}}`))
	g := start(t, "channel one "+up.URL+" {\napi_key key-of-one\nmodels m\n}")
	_, resp := upgrade(t, g)
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 503 || string(text) != `{"error":{"message":"no ********** here"}}` {
		t.Errorf("status %d: %s", resp.StatusCode, text)
	}
	gone := start(t, "channel one http://"+caddytest.Addr(t)+" {\napi_key k\nmodels m\n}")
	if _, resp := upgrade(t, gone); resp.StatusCode != http.StatusBadGateway {
		t.Errorf("status %d for a channel that cannot be reached", resp.StatusCode)
	}
}

// upgrade asks for a WebSocket and returns what comes behind the response's
// header.
func upgrade(t testing.TB, g *testGateway) (*bufio.Reader, *http.Response) {
	t.Helper()
	host := strings.TrimPrefix(g.URL, "http://")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprint(conn, "GET /v1/realtime?model=m HTTP/1.1\r\nHost: "+host+"\r\nAuthorization: Bearer alice-key\r\n"+
		"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n")
	reader := bufio.NewReader(conn)
	resp, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	return reader, resp
}
