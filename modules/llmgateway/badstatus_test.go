package llmgateway

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// bytesOf sends a response that net/http would not.
func bytesOf(t testing.TB, response string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, response)
	}
}

// A response that cannot be passed on for its status, or that says itself to have
// nothing, is a failure of the channel: another one takes over.
func TestBadStatuses(t *testing.T) {
	bad := caddytest.NewUpstream(t, caddytest.Hang)
	good := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "channel bad "+bad.URL+" {\napi_key sk-channel-key-1\nmodels m\ntransport {\nkeepalive off\n}\n}\nchannel good "+good.URL+" {\napi_key sk-channel-key-2\nmodels m\ntier 2\n}")
	for name, response := range map[string]string{
		"zero":              "HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\n{}",
		"99":                "HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\n{}",
		"another protocol":  "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello",
		"without a name":    "HTTP/1.1 101 Switching Protocols\r\n\r\nhello",
		"no content":        "HTTP/1.1 204 No Content\r\n\r\n",
		"nothing encoded":   "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n",
		"an unknown coding": "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"no sound":          "HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: 0\r\n\r\n",
	} {
		bad.Handle(bytesOf(t, response))
		for _, stream := range []string{"", `,"stream":true`} {
			a, err := g.try(t, http.MethodPost, chatPath, strings.TrimSuffix(chatBody("m"), "}")+stream+"}")
			if err != nil || a.StatusCode != 200 || a.text != completion || a.Header.Get("X-Gateway-Channel") != "good" {
				t.Errorf("%s, %q: status %d of channel %q, %q, %v", name, stream, a.StatusCode, a.Header.Get("X-Gateway-Channel"), a.text, err)
			}
			bad.Next(t)
			g.Admin(http.MethodDelete, "/llm-gateway/cooldowns") // so that it is asked again
		}
	}
	if g.Logs.Count("panic") > 0 {
		t.Errorf("a handler has panicked: %s", g.Logs)
	}
}

// newStatusServer starts an HTTP/2 server without TLS that answers each request
// with the same status and body, and returns its address.
func newStatusServer(t testing.TB, status, body string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serveStatus(conn, status, body)
		}
	}()
	return listener.Addr().String()
}

func serveStatus(conn net.Conn, status, body string) {
	defer conn.Close()
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	framer := http2.NewFramer(conn, conn)
	_ = framer.WriteSettings()
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = framer.WriteSettingsAck()
			}
		case *http2.DataFrame:
			if !f.StreamEnded() {
				continue
			}
			var block bytes.Buffer
			_ = hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: status})
			_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: f.StreamID, BlockFragment: block.Bytes(), EndHeaders: true})
			_ = framer.WriteData(f.StreamID, true, []byte(body))
		}
	}
}

// An HTTP/2 server can have any number for a status.
func TestBadStatusesOverHTTP2(t *testing.T) {
	for _, status := range []string{"0", "99", "-1", "1000", "99999"} {
		addr := newStatusServer(t, status, completion)
		g := start(t, fmt.Sprintf("channel bad http://%s {\napi_key sk-channel-key-1\nmodels m\ntransport {\nversions h2c\n}\n}", addr))
		a, err := g.try(t, http.MethodPost, chatPath, chatBody("m"))
		if err != nil || a.StatusCode != http.StatusBadGateway {
			t.Errorf("%s: status %d, %v, %s", status, a.StatusCode, err, a.text)
		}
		if g.Logs.Count("panic") > 0 {
			t.Errorf("%s: a handler has panicked: %s", status, g.Logs)
		}
		g.Stop()
	}
}
