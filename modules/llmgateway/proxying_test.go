package llmgateway

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// oneChannel is a channel with every model.
func oneChannel(url string) string {
	return "channel a " + url + " {\napi_key k\nmodels m\n}"
}

// overTLS is a channel at a TLS upstream, with models m and m-of-name.
func overTLS(name, url, options string) string {
	return "channel " + name + " " + url + " {\napi_key key-of-" + name + "\nmodels m m-of-" + name + "\ntransport {\ntls_insecure_skip_verify\n" + options + "\n}\n}\n"
}

// Headers of the channel's own connection end at the gateway, others arrive
// with all their values.
func TestHopHeaders(t *testing.T) {
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range map[string]string{
			"Connection": "X-Hop, keep-alive", "X-Hop": "1", "Keep-Alive": "timeout=5", "Proxy-Authenticate": "Basic",
			"Proxy-Connection": "close", "Upgrade": "h2c", "Te": "trailers", "Server": "upstream", "X-Kept": "1",
		} {
			w.Header().Set(name, value)
		}
		w.Header().Add("X-Kept", "2")
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, completion)
	})
	g := start(t, oneChannel(up.URL))
	a := g.chat(t, "m")
	a.wantStatus(t, 200)
	for _, name := range []string{"X-Hop", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "Upgrade", "Te"} {
		if a.Header[name] != nil {
			t.Errorf("%s: %q reached the client", name, a.Header[name])
		}
	}
	for name, want := range map[string]string{"X-Kept": "1, 2", "Server": "upstream", "Via": "1.1 Caddy", "Content-Length": fmt.Sprint(len(completion))} {
		if got := strings.Join(a.Header[name], ", "); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// Trailers arrive behind the body, announced or not, over HTTP/1.1 and 2.
func TestTrailers(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/v1/embeddings" {
			w.Header().Set("Trailer", "X-Checksum")
		}
		io.WriteString(w, completion)
		http.NewResponseController(w).Flush()
		name := "X-Checksum"
		if r.URL.Path != "/v1/embeddings" {
			name = http.TrailerPrefix + name
		}
		w.Header().Set(name, "abc")
	}
	plain, secure := caddytest.NewUpstream(t, handler), caddytest.NewTLSUpstream(t, handler)
	g, clients := startTLS(t, "client alice alice-key\n"+oneChannel(plain.URL)+"\n"+overTLS("HTTP/2", secure.URL, ""))
	for upstream, model := range map[string]string{"HTTP/1.1": "m", "HTTP/2": "m-of-HTTP/2"} {
		for proto, client := range clients {
			if proto == "HTTP/3.0" {
				continue // quic-go's client does not read trailers that were not announced
			}
			for _, path := range []string{"/v1/embeddings", "/v1/chat/completions"} {
				t.Run(fmt.Sprintf("%s from %s, %s", proto, upstream, path), func(t *testing.T) {
					g.client = client
					a := g.do(t, http.MethodPost, path, chatBody(model))
					if a.text != completion || a.Trailer.Get("X-Checksum") != "abc" {
						t.Errorf("body %q, trailers %v", a.text, a.Trailer)
					}
				})
			}
		}
	}
}

// A channel's 1xx responses are not passed on.
func TestInformationalResponses(t *testing.T) {
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			w.Header().Set("Link", "</x>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
		}
		w.Header().Del("Link")
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, completion)
	})
	g := start(t, oneChannel(up.URL))
	var informational atomic.Int32
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(int, textproto.MIMEHeader) error { informational.Add(1); return nil },
	})
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+"/v1/chat/completions", strings.NewReader(chatBody("m")))
	req.Header.Set("Authorization", "Bearer alice-key")
	resp, err := g.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || string(text) != completion || resp.Header["Link"] != nil {
		t.Errorf("%q, %v, %v", text, err, resp.Header)
	}
	if n := informational.Load(); n != 0 {
		t.Errorf("%d informational responses", n)
	}
}

// A response that is shorter than its Content-Length never looks complete.
func TestLengthMismatch(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.Hang)
	g, clients := startTLS(t, "client alice alice-key\n"+oneChannel(up.URL))
	for name, size := range map[string]int{"small": 100, "large": 300_000} {
		t.Run(name, func(t *testing.T) {
			up.Handle(caddytest.CutOff("application/json", `{"choices":[{"message":{"content":"`+strings.Repeat("x", size)))
			for proto, client := range clients {
				req, _ := http.NewRequest(http.MethodPost, g.URL+"/v1/chat/completions", strings.NewReader(chatBody("m")))
				req.Header.Set("Authorization", "Bearer alice-key")
				resp, err := client.Do(req)
				if err != nil {
					continue // cut off before the headers left
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode == http.StatusOK && err == nil {
					t.Errorf("%s: %d bytes of %d look complete", proto, len(got), size+1000)
				}
			}
		})
	}
}

// Whatever HTTP the client and the channel speak, they understand each other.
func TestVersions(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Proto", r.Proto)
		io.WriteString(w, completion)
	}
	secure, plain := caddytest.NewTLSUpstream(t, handler), caddytest.NewUpstream(t, handler)
	g, clients := startTLS(t, "client alice alice-key\n"+
		"channel old "+oldServer(t)+" {\napi_key k\nmodels m-of-HTTP/1.0\n}\n"+
		"channel plain "+plain.URL+" {\napi_key k\nmodels m-of-HTTP/1.1\n}\n"+
		overTLS("HTTP/2.0", secure.URL, "")+overTLS("HTTP/3.0", http3Server(t, handler), "versions 3"))
	for _, upstream := range []string{"HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/3.0"} {
		for proto, client := range clients {
			t.Run(proto+" to "+upstream, func(t *testing.T) {
				g.client = client
				a := g.chat(t, "m-of-"+upstream)
				a.wantStatus(t, 200)
				if a.text != completion || a.Proto != proto {
					t.Errorf("over %s: %s", a.Proto, a.text)
				}
				if got := a.Header.Get("X-Proto"); got != upstream {
					t.Errorf("the channel was asked over %q", got)
				}
				if got, want := a.Header.Get("Via"), strings.TrimPrefix(upstream, "HTTP/")+" Caddy"; got != want {
					t.Errorf("Via %q, want %q", got, want)
				}
			})
		}
	}
}

// oldServer speaks HTTP/1.0: its response ends with the connection.
func oldServer(t testing.TB) string {
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
			go func() {
				defer conn.Close()
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					fmt.Fprintf(conn, "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nX-Proto: HTTP/1.0\r\n\r\n%s", completion)
				}
			}()
		}
	}()
	return "http://" + listener.Addr().String()
}

// http3Server speaks HTTP/3 only.
func http3Server(t testing.TB, handler http.HandlerFunc) string {
	cert, err := tls.LoadX509KeyPair(caddytest.Certificate(t))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http3.Server{Handler: handler, TLSConfig: http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{cert}})}
	go server.Serve(conn)
	t.Cleanup(func() {
		server.Close()
		conn.Close()
	})
	return "https://" + conn.LocalAddr().String()
}

// A client of HTTP/1.0 gets whole responses and streams, both ended by the
// connection.
func TestOldClient(t *testing.T) {
	for contentType, body := range map[string]string{"application/json": completion, "text/event-stream": chunk + "data: [DONE]\n\n"} {
		up := caddytest.NewUpstream(t, caddytest.Answer(200, contentType, body))
		g := start(t, oneChannel(up.URL))
		conn, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		text := chatBody("m")
		fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.0\r\nHost: %s\r\nAuthorization: Bearer alice-key\r\nContent-Length: %d\r\n\r\n%s",
			strings.TrimPrefix(g.URL, "http://"), len(text), text)
		response, err := io.ReadAll(conn)
		if err != nil || !bytes.HasPrefix(response, []byte("HTTP/1.0 200 OK\r\n")) || !bytes.HasSuffix(response, []byte("\r\n\r\n"+body)) {
			t.Errorf("%s: %q, %v", contentType, response, err)
		}
	}
}

// A request that an HTTP/2 connection refuses before it is processed goes over
// a new one, with its body.
func TestRefusedStreams(t *testing.T) {
	url, bodies := refusingServer(t)
	g := start(t, overTLS("a", url, ""))
	for range 3 {
		a := g.chat(t, "m")
		a.wantStatus(t, 200)
		if got := <-bodies; got != chatBody("m") {
			t.Errorf("the body that arrived: %q", got)
		}
	}
}

// refusingServer speaks HTTP/2. On each connection it answers one request and
// says with GOAWAY that it has not processed the next one.
func refusingServer(t testing.TB) (url string, bodies <-chan string) {
	cert, err := tls.LoadX509KeyPair(caddytest.Certificate(t))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	seen := make(chan string, 100)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serveOneStream(conn, seen)
		}
	}()
	return "https://" + listener.Addr().String(), seen
}

func serveOneStream(conn net.Conn, bodies chan<- string) {
	defer conn.Close()
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	framer := http2.NewFramer(conn, conn)
	_ = framer.WriteSettings()
	var body []byte
	answered := false
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
			body = append(body, f.Data()...)
			if !f.StreamEnded() {
				continue
			}
			if answered {
				_ = framer.WriteGoAway(1, http2.ErrCodeNo, nil)
				return
			}
			answered = true
			bodies <- string(body)
			body = nil
			var header bytes.Buffer
			encoder := hpack.NewEncoder(&header)
			_ = encoder.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
			_ = encoder.WriteField(hpack.HeaderField{Name: "content-type", Value: "application/json"})
			_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: f.StreamID, BlockFragment: header.Bytes(), EndHeaders: true})
			_ = framer.WriteData(f.StreamID, true, []byte(completion))
		}
	}
}

// A channel that answers before it has read the body gives the client its
// response, and the connection of the client can be used again.
func TestBodyNotRead(t *testing.T) {
	up := newUnread(t)
	g := start(t, oneChannel(up))
	body := `{"model":"m","b":"` + strings.Repeat("x", 5_000_000) + `"}`
	for range 3 {
		a := g.do(t, http.MethodPost, "/v1/chat/completions", body)
		// The channel's kernel may reset the connection before its response has
		// been read.
		if a.StatusCode != http.StatusBadRequest && a.StatusCode != http.StatusBadGateway {
			t.Errorf("status %d: %s", a.StatusCode, a.text)
		}
	}
}

// newUnread refuses each request without a look at its body.
func newUnread(t testing.TB) string {
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
			go func() {
				defer conn.Close()
				fmt.Fprint(conn, "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
				time.Sleep(50 * time.Millisecond) // let it be read before the reset
			}()
		}
	}()
	return "http://" + listener.Addr().String()
}

// With Expect: 100-continue the body is sent when the gateway asks for it, and
// the header ends there.
func TestExpectContinue(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, oneChannel(up.URL))
	a := g.chat(t, "m", "Expect", "100-continue")
	a.wantStatus(t, 200)
	if got := up.Next(t); string(got.Body) != chatBody("m") || got.Header["Expect"] != nil {
		t.Errorf("the channel got %q with %v", got.Body, got.Header)
	}
}

// Responses that have no body stay without one.
func TestNoBody(t *testing.T) {
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodDelete:
			w.WriteHeader(http.StatusNoContent)
		case http.MethodHead:
			w.Header().Set("Content-Length", "1234")
		default:
			w.Header().Set("Etag", `"x"`)
			w.WriteHeader(http.StatusNotModified)
		}
	})
	g := start(t, "default_channel a\n"+oneChannel(up.URL))
	for method, status := range map[string]int{http.MethodDelete: 204, http.MethodHead: 200, http.MethodGet: 304} {
		a := g.do(t, method, "/v1/files/file-1", "")
		a.wantStatus(t, status)
		if a.text != "" || method == http.MethodHead && a.Header.Get("Content-Length") != "1234" {
			t.Errorf("%s: %q, %v", method, a.text, a.Header)
		}
	}
}

// What people log of a reverse_proxy is there for the gateway too.
func TestProxyPlaceholders(t *testing.T) {
	bad := caddytest.NewUpstream(t, caddytest.JSON(500, "{}"))
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "req-1")
		caddytest.JSON(200, completion)(w, r)
	})
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, fmt.Sprintf(`http://%s {
		log
		log_append upstream {rp.upstream.hostport}
		log_append host {rp.upstream.host}
		log_append latency {rp.upstream.latency_ms}
		log_append duration {rp.duration_ms}
		log_append retries {rp.retries}
		log_append rp_status {rp.status_code}
		log_append request_id {rp.header.X-Request-Id}
		llm_gateway {
			client alice alice-key
			lb_policy first
			channel bad %s {
				api_key k
				models m
			}
			channel a %s {
				api_key k
				models m
			}
		}
	}`, addr, bad.URL, up.URL))
	g := &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}
	g.chat(t, "m").wantStatus(t, 200)
	g.Logs.Wait(t, "http.log.access", "/v1/chat/completions")
	var line string
	for l := range strings.Lines(g.Logs.String()) {
		if strings.Contains(l, "http.log.access") {
			line = l
		}
	}
	var entry struct {
		Upstream, Host    string
		Latency, Duration float64
		Retries           int
		Status            int    `json:"rp_status"`
		RequestID         string `json:"request_id"`
	}
	if err := json.Unmarshal([]byte(line), &entry); err != nil {
		t.Fatal(err)
	}
	if entry.Upstream != up.Addr() || entry.Host != "127.0.0.1" || entry.Retries != 1 || entry.Status != 200 || entry.RequestID != "req-1" {
		t.Errorf("logged %+v", entry)
	}
	if entry.Latency <= 0 || entry.Duration < entry.Latency {
		t.Errorf("latency %v ms of %v ms", entry.Latency, entry.Duration)
	}
}

// A client that leaves while a candidate is asked ends the attempts: status 499,
// and no key or channel is blamed for it.
func TestClientLeavesBetweenAttempts(t *testing.T) {
	left := make(chan struct{})
	first := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		<-left
		caddytest.JSON(429, "{}")(w, r)
	})
	second := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "lb_policy first\nchannel a "+first.URL+" {\napi_key k\nmodels m\n}\nchannel b "+second.URL+" {\napi_key k\nmodels m\n}")
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+"/v1/chat/completions", strings.NewReader(chatBody("m")))
	req.Header.Set("Authorization", "Bearer alice-key")
	done := make(chan error, 1)
	go func() {
		_, err := g.client.Do(req)
		done <- err
	}()
	first.Next(t)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the client got %v", err)
	}
	g.Logs.Wait(t, "http.log.access", `"status":499`)
	close(left)
	if n := len(second.Requests()); n != 0 {
		t.Errorf("another channel was asked %d times", n)
	}
	first.Handle(caddytest.JSON(200, completion))
	if a := g.chat(t, "m"); a.Header.Get("X-Gateway-Channel") != "a" {
		t.Errorf("channel %q, status %d", a.Header.Get("X-Gateway-Channel"), a.StatusCode)
	}
}
