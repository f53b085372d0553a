package llmgateway

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// echoSocket switches protocols and sends back what comes in.
func echoSocket(t testing.TB) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			caddytest.JSON(200, completion)(w, r)
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n")
		rw.Flush()
		_, _ = io.Copy(conn, rw)
	}
}

// wantEcho checks that frames pass in both directions.
func wantEcho(t *testing.T, w io.Writer, r io.Reader) {
	t.Helper()
	for _, frame := range []string{"first frame", "\x00\x01second"} {
		if _, err := io.WriteString(w, frame); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(frame))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != frame {
			t.Fatalf("got %q (%v), want %q", got, err, frame)
		}
	}
}

// wantHandshake checks what the channel got of a handshake, of which the client
// sent more.
func wantHandshake(t *testing.T, got caddytest.Request) {
	t.Helper()
	if got.Method != http.MethodGet || got.URI != "/v1/realtime?model=gpt-realtime-2025" || bearer(got) != "k" {
		t.Errorf("%s %s with %s", got.Method, got.URI, bearer(got))
	}
	for name, want := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-Websocket-Protocol": "realtime", "Openai-Beta": "realtime=v1",
		"Cookie": "", "X-Forwarded-For": "", "Via": "", ":protocol": "", "Openai-Organization": "", "Origin": "",
	} {
		if value := got.Header.Get(name); value != want {
			t.Errorf("%s: %q, want %q", name, value, want)
		}
	}
	if got.Header["Sec-Websocket-Key"] == nil {
		t.Error("there is no Sec-WebSocket-Key")
	}
}

const socketChannel = " {\napi_key k\nmodels gpt-realtime as gpt-realtime-2025\n}"

// socketFields are what the clients of the test send, beside what belongs to
// their version of HTTP.
var socketFields = [][2]string{
	{"authorization", "Bearer alice-key"},
	{"sec-websocket-version", "13"},
	{"sec-websocket-protocol", "realtime, OpenAI-Insecure-API-Key.alice-key"},
	{"openai-beta", "realtime=v1"},
	{"cookie", "a=b"},
	{"openai-organization", "org"},
	{"origin", "https://page.example"},
}

// WebSockets go through over HTTP/1.1, whatever the client's Connection names.
func TestWebSocketHTTP1(t *testing.T) {
	up := caddytest.NewUpstream(t, echoSocket(t))
	g, clients := startTLS(t, "client alice alice-key\nchannel a "+up.URL+socketChannel)
	host := strings.TrimPrefix(g.URL, "https://")
	roots := clients["HTTP/1.1"].Transport.(*http.Transport).TLSClientConfig
	conn, err := tls.Dial("tcp", host, roots.Clone())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET //v1/v1/realtime/?model=gpt-realtime HTTP/1.1\r\nHost: %s\r\nUpgrade: WebSocket, h2c\r\n"+
		"Connection: keep-alive, Upgrade, Authorization, Sec-WebSocket-Key, Sec-WebSocket-Protocol, OpenAI-Beta\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n", host)
	for _, field := range socketFields {
		fmt.Fprintf(conn, "%s: %s\r\n", field[0], field[1])
	}
	fmt.Fprint(conn, "\r\n")
	reader := bufio.NewReader(conn)
	resp, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("status %d", resp.StatusCode)
	}
	wantEcho(t, conn, reader)
	wantHandshake(t, up.Next(t))
}

// … over HTTP/3, by extended CONNECT (RFC 9220). A plain CONNECT does not.
func TestWebSocketHTTP3(t *testing.T) {
	up := caddytest.NewUpstream(t, echoSocket(t))
	g, clients := startTLS(t, "client alice alice-key\nchannel a "+up.URL+socketChannel)
	host := strings.TrimPrefix(g.URL, "https://")
	config := clients["HTTP/3.0"].Transport.(*http3.Transport).TLSClientConfig.Clone()
	config.NextProtos = []string{http3.NextProtoH3}
	conn, err := quic.DialAddr(t.Context(), host, config, new(quic.Config))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseWithError(0, "")
	client := new(http3.Transport).NewClientConn(conn)
	<-client.ReceivedSettings()
	connect := func(protocol, path string) (*http3.RequestStream, *http.Response) {
		stream, err := client.OpenRequestStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(g.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		req := &http.Request{Method: http.MethodConnect, Proto: protocol, Host: u.Host, URL: u, Header: make(http.Header)}
		for _, field := range socketFields {
			req.Header.Set(field[0], field[1])
		}
		if err := stream.SendRequestHeader(req); err != nil {
			t.Fatal(err)
		}
		resp, err := stream.ReadResponse()
		if err != nil {
			t.Fatal(err)
		}
		return stream, resp
	}
	stream, resp := connect("websocket", "/v1/realtime?model=gpt-realtime")
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d", resp.StatusCode)
	}
	wantEcho(t, stream, stream)
	wantHandshake(t, up.Next(t))
	for _, protocol := range []string{"connect-udp", "webtransport", "connect-tcp"} {
		if _, resp := connect(protocol, "/v1/realtime?model=gpt-realtime"); resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("CONNECT for %s: status %d, want 405", protocol, resp.StatusCode)
		}
	}
	if _, resp := connect("websocket", "/v1/responses"); resp.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("status %d, want 426", resp.StatusCode)
	}
	if n := len(up.Requests()); n != 1 {
		t.Errorf("%d requests arrived, want 1", n)
	}
	conn.CloseWithError(0, "")
	waitForEndOfTunnel(t, g)
}

// extendedConnect makes Go's HTTP/2 server announce extended CONNECT. It is read
// when a program starts, so that the test runs a copy of itself.
const extendedConnect = "http2xconnect=1"

// … over HTTP/2, by extended CONNECT (RFC 8441). A plain CONNECT does not.
func TestWebSocketHTTP2(t *testing.T) {
	if !strings.Contains(os.Getenv("GODEBUG"), extendedConnect) {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), "GODEBUG="+strings.Trim(os.Getenv("GODEBUG")+","+extendedConnect, ","))
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	up := caddytest.NewUpstream(t, echoSocket(t))
	g, clients := startTLS(t, "client alice alice-key\nchannel a "+up.URL+socketChannel)
	config := clients["HTTP/1.1"].Transport.(*http.Transport).TLSClientConfig.Clone()
	config.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", strings.TrimPrefix(g.URL, "https://"), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := newH2Conn(t, conn)
	authority := strings.TrimPrefix(g.URL, "https://")
	socket := append([][2]string{
		{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "https"}, {":authority", authority}, {":path", "/v1/realtime?model=gpt-realtime"},
	}, socketFields...)
	if status := c.request(1, socket); status != "200" {
		t.Fatalf("status %s", status)
	}
	wantEcho(t, c, c)
	wantHandshake(t, up.Next(t))
	up.Handle(caddytest.JSON(200, completion))
	if status := c.request(7, socket); status != "502" {
		t.Errorf("a channel that opens none: status %s, want 502", status)
	}
	up.Handle(caddytest.JSON(404, "{}"))
	if status := c.request(9, socket); status != "404" {
		t.Errorf("a channel that has none: status %s, want 404", status)
	}
	other := append([][2]string{
		{":method", "CONNECT"}, {":protocol", "connect-ip"}, {":scheme", "https"}, {":authority", authority}, {":path", "/v1/realtime?model=gpt-realtime"},
	}, socketFields...)
	if status := c.request(11, other); status != "405" {
		t.Errorf("CONNECT for another protocol: status %s, want 405", status)
	}
	plain := append([][2]string{{":method", "CONNECT"}, {":authority", authority}}, socketFields...)
	if status := c.request(13, plain); status != "405" {
		t.Errorf("a plain CONNECT: status %s, want 405", status)
	}
	if n := len(up.Requests()); n != 3 {
		t.Errorf("%d requests arrived, want 3", n)
	}
	conn.Close()
	waitForEndOfTunnel(t, g)
}

// waitForEndOfTunnel waits until the tunnel of a closed connection has ended. On
// one that is open Caddy would say goodbye as it stops, beside the goroutine that
// copies, which is a data race of Caddy's own.
func waitForEndOfTunnel(t *testing.T, g *testGateway) {
	t.Helper()
	g.Logs.Wait(t, "http.handlers.reverse_proxy", "connection closed")
}

// h2Conn is a connection on which single frames of HTTP/2 are sent.
type h2Conn struct {
	t      *testing.T
	framer *http2.Framer
	stream uint32 // whose data Read and Write are about
	data   bytes.Buffer
}

func newH2Conn(t *testing.T, conn io.ReadWriter) *h2Conn {
	t.Helper()
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	c := &h2Conn{t: t, framer: http2.NewFramer(conn, conn)}
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := c.framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return c
}

// request opens a stream and returns the status of the response.
func (c *h2Conn) request(stream uint32, fields [][2]string) string {
	c.t.Helper()
	c.open(stream, fields)
	return c.status()
}

// open opens a stream.
func (c *h2Conn) open(stream uint32, fields [][2]string) {
	c.t.Helper()
	c.stream = stream
	c.data.Reset()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range fields {
		if err := encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
			c.t.Fatal(err)
		}
	}
	if err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true}); err != nil {
		c.t.Fatal(err)
	}
}

// status returns the status of the response.
func (c *h2Conn) status() string {
	c.t.Helper()
	for {
		if headers, ok := c.next().(*http2.MetaHeadersFrame); ok && headers.StreamID == c.stream {
			return headers.PseudoValue("status")
		}
	}
}

// next reads a frame and does what the protocol asks for.
func (c *h2Conn) next() http2.Frame {
	c.t.Helper()
	frame, err := c.framer.ReadFrame()
	if err != nil {
		c.t.Fatal(err)
	}
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			if err := c.framer.WriteSettingsAck(); err != nil {
				c.t.Fatal(err)
			}
		}
	case *http2.DataFrame:
		if f.StreamID == c.stream {
			c.data.Write(f.Data())
		}
	case *http2.GoAwayFrame:
		c.t.Fatalf("the connection ends: %v", f)
	}
	return frame
}

// Write implements io.Writer.
func (c *h2Conn) Write(p []byte) (int, error) {
	return len(p), c.framer.WriteData(c.stream, false, p)
}

// Read implements io.Reader.
func (c *h2Conn) Read(p []byte) (int, error) {
	for c.data.Len() == 0 {
		c.next()
	}
	return c.data.Read(p)
}

// Codex asks for a WebSocket first and sends its requests by POST at once when it
// is told 426, and only then.
func TestCodexWebSocket(t *testing.T) {
	up := caddytest.NewUpstream(t, echoSocket(t))
	g := startClients(t, up, "")
	for _, key := range []string{keyAlice, keyBob, keyCarol} {
		a := g.handshake(t, "/v1/responses", "Authorization", "Bearer "+key, "OpenAI-Beta", "responses_websockets=2026-02-06", "Content-Type", "")
		a.wantError(t, 426, "websocket_not_supported")
		if a.Header.Get("Upgrade") == "" || !strings.EqualFold(a.Header.Get("Connection"), "upgrade") {
			t.Errorf("Upgrade: %q, Connection: %q (RFC 9110, 15.5.22)", a.Header.Get("Upgrade"), a.Header.Get("Connection"))
		}
	}
	g.handshake(t, "/v1/responses", "Authorization", "Bearer wrong").wantError(t, 401, "invalid_api_key")
	if n := len(up.Requests()); n > 0 {
		t.Errorf("%d requests arrived", n)
	}
}

// Only a WebSocket is an upgrade, and only where there is one, and not for
// clients that are held to something: frames could name any model.
func TestUpgrades(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, anyOutput))
	g := startClients(t, up, "allow_path /ws/*\n")
	for _, path := range []string{"/v1/realtime?model=m", "/v1/responses?model=m", "/ws/live", "/ws/live?model=m"} {
		g.handshake(t, path).wantStatus(t, 200)
		if got := up.Next(t); got.URI != path || got.Header.Get("Upgrade") != "websocket" || got.Header.Get("Connection") != "Upgrade" {
			t.Errorf("%s arrived as %s with %v", path, got.URI, got.Header)
		}
		for _, key := range []string{keyBob, keyCarol} {
			if a := g.handshake(t, path, "Authorization", "Bearer "+key); a.StatusCode != 403 && a.StatusCode != 426 {
				t.Errorf("%s of %s: status %d", path, key, a.StatusCode)
			}
		}
	}
	for path, status := range map[string]int{
		"/v1/chat/completions?model=m": 400, "/v1/files?model=m": 400, "/v1/models?model=m": 400, "/v1/realtime/sessions?model=m": 400,
		"/v1/realtime?model=unknown": 404, "/v1/realtime?model=m&model=other": 400, "/unknown?model=m": 404,
	} {
		if a := g.handshake(t, path); a.StatusCode != status {
			t.Errorf("%s: status %d, want %d", path, a.StatusCode, status)
		}
	}
	g.exchange(t, keyed("GET", "/v1/realtime?model=m", keyAlice, chatBody("m"), "Upgrade: websocket", "Connection: Upgrade")).wantStatus(t, 400)
	g.exchange(t, strings.Replace(keyed("GET", "/v1/realtime?model=m", keyAlice, "", "Upgrade: websocket", "Connection: Upgrade"), "HTTP/1.1", "HTTP/1.0", 1)).wantStatus(t, 426)
	if a := g.exchange(t, keyed("GET", "/v1/realtime?model=m", keyAlice, "")); a.StatusCode != 426 || a.Header.Get("Upgrade") != "websocket" {
		t.Errorf("without an upgrade: status %d, Upgrade %q", a.StatusCode, a.Header.Get("Upgrade"))
	}
	before := len(up.Requests())
	// Java's client offers h2c with each request.
	for _, offer := range []string{"h2c", "HTTP/2.0", "TLS/1.0", "websocket", "foo, websocket"} {
		g.exchange(t, strings.Replace(rawChat("m", "Upgrade: "+offer, "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA", "Connection: close, Upgrade, HTTP2-Settings"), "alice", "alice", 1)).wantStatus(t, 200)
		got := up.Next(t)
		for _, name := range []string{"Upgrade", "Connection", "Http2-Settings"} {
			if got.Header[name] != nil {
				t.Errorf("%s arrived: %v", name, got.Header[name])
			}
		}
		if string(got.Body) != chatBody("m") {
			t.Errorf("the body arrived as %s", got.Body)
		}
	}
	for _, offer := range []string{"h2c", "websocketx", "x-websocket"} {
		g.exchange(t, keyed("GET", "/v1/realtime?model=m", keyAlice, "", "Upgrade: "+offer, "Connection: Upgrade")).wantStatus(t, 426)
	}
	if n := len(up.Requests()) - before; n != 5 {
		t.Errorf("%d requests arrived, want 5", n)
	}
}

// ?model= counts with an upgrade only: else every path would be open to it.
func TestQueryModelNeedsUpgrade(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, anyOutput))
	g := start(t, "channel a "+up.URL+" {\napi_key k\nmodels m other\n}")
	g.do(t, http.MethodGet, "/v1/files?model=m", "").wantError(t, 400, "")
	g.do(t, http.MethodDelete, "/v1/files/f?model=m", "").wantError(t, 400, "")
	g.do(t, http.MethodPost, "/v1/chat/completions?model=m", "{}").wantError(t, 400, "")
	g.do(t, http.MethodPost, "/v1/audio/transcriptions?model=m", "RIFF", "Content-Type", "audio/wav").wantError(t, 400, "")
	g.do(t, http.MethodPost, "/v1/chat/completions?model=other", chatBody("m")).wantError(t, 400, "")
	if n := len(up.Requests()); n > 0 {
		t.Errorf("%d requests arrived", n)
	}
	g.do(t, http.MethodPost, "/v1/chat/completions?model=m", chatBody("m")).wantStatus(t, 200)
}
