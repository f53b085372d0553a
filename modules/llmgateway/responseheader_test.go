package llmgateway

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// What would act on the gateway's own domain, or on the servers in front of it,
// ends at the gateway, in headers and trailers and with every status.
func TestResponseHeadersEndHere(t *testing.T) {
	gone := []string{
		"Set-Cookie", "Set-Cookie2", "Set-Login", "Strict-Transport-Security", "Alt-Svc", "NEL", "Report-To", "Reporting-Endpoints",
		"Clear-Site-Data", "Public-Key-Pins", "Expect-CT", "Accept-CH", "Service-Worker-Allowed", "Refresh",
		"X-Accel-Redirect", "X-Accel-Expires", "X-Sendfile", "Surrogate-Control", "CDN-Cache-Control", "Cloudflare-CDN-Cache-Control",
		"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Proxy-Authorization",
		"Connection", "Keep-Alive", "Proxy-Authenticate", "X-Named-By-Connection",
	}
	kept := []string{
		"X-Request-Id", "Openai-Processing-Ms", "Anthropic-Organization-Id", "Retry-After", "Etag", "Cache-Control", "X-Accel-Buffering",
		"Content-Disposition", "Server-Timing", "Content-Security-Policy", "X-Content-Type-Options", "Link",
	}
	status := http.StatusOK
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		for _, name := range append(gone, kept...) {
			w.Header().Set(name, "30")
		}
		w.Header().Set("Connection", "X-Named-By-Connection")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, completion)
		_ = http.NewResponseController(w).Flush()
		w.Header().Set(http.TrailerPrefix+"Set-Cookie", "a=b")
		w.Header().Set(http.TrailerPrefix+"Strict-Transport-Security", "max-age=1")
		w.Header().Set(http.TrailerPrefix+"X-Checksum", "1")
	})
	g := start(t, "channel a "+up.URL+" {\napi_key k\nmodels m\n}")
	for _, status = range []int{200, 400, 404} {
		a := g.chat(t, "m")
		a.wantStatus(t, status)
		for _, name := range gone {
			if a.Header.Values(name) != nil {
				t.Errorf("status %d: the client gets %s: %s", status, name, a.Header.Values(name))
			}
		}
		for _, name := range kept {
			if a.Header.Get(name) == "" {
				t.Errorf("status %d: the client does not get %s", status, name)
			}
		}
		if got := fmt.Sprint(a.Trailer); got != "map[X-Checksum:[1]]" {
			t.Errorf("status %d: trailers %s", status, got)
		}
	}
}

// Informational responses of a channel end at the gateway, also while it switches
// protocols.
func TestNoInformationalResponses(t *testing.T) {
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</sk-channel-key-1.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		caddytest.JSON(200, completion)(w, r)
	})
	g := start(t, "channel a "+up.URL+" {\napi_key sk-channel-key-1\nmodels m\n}")
	host := strings.TrimPrefix(g.URL, "http://")
	body := chatBody("m")
	for name, request := range map[string]string{
		"a chat": fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Type: application/json\r\n"+
			"Authorization: Bearer alice-key\r\nContent-Length: %d\r\n\r\n%s", host, len(body), body),
		"an upgrade": "GET /v1/realtime?model=m HTTP/1.1\r\nHost: " + host + "\r\nAuthorization: Bearer alice-key\r\n" +
			"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, request)
		if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || res.StatusCode != http.StatusOK {
			t.Errorf("%s: the first response is %v, %v", name, res, err)
		}
		conn.Close()
	}
}

// A key is masked in the response that switches protocols and in what comes
// behind it. The headers that switch stay.
func TestWebSocketWithKeys(t *testing.T) {
	const key = "sk-channel-key-1"
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n"+
			"X-Echo: Bearer "+key+"\r\nSet-Cookie: a="+key+"\r\n\r\n\x81\x10"+key)
		rw.Flush()
	})
	g := start(t, "channel a "+up.URL+" {\napi_key "+key+"\nmodels m\n}")
	got := g.raw(t, "GET /v1/realtime?model=m HTTP/1.1\r\nHost: "+strings.TrimPrefix(g.URL, "http://")+"\r\nAuthorization: Bearer alice-key\r\n"+
		"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n")
	masked := strings.Repeat("*", len(key))
	if !strings.HasPrefix(got, "HTTP/1.1 101") || !strings.Contains(got, "X-Echo: Bearer "+masked+"\r\n") || !strings.HasSuffix(got, "\x81\x10"+masked) {
		t.Errorf("the client gets %q", got)
	}
	if strings.Contains(got, key) || strings.Contains(got, "Set-Cookie") {
		t.Errorf("the client gets %q", got)
	}
}

// Credentials that header_up sets are masked like keys, and other headers are not.
func TestHeaderUpWithSecrets(t *testing.T) {
	t.Setenv("HEADER_SECRET", "header-secret-1")
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		caddytest.JSON(400, fmt.Sprintf(`{"error":{"message":%q}}`, fmt.Sprint(r.Header)))(w, r)
	})
	for _, auth := range []string{"auth none", "api_key sk-channel-key-1"} {
		g := start(t, "channel a "+up.URL+` {
			`+auth+`
			header_up X-Gateway-Token "Basic {env.HEADER_SECRET}"
			header_up Cookie session-secret
			header_up X-Title "some-gateway"
			models m
		}`)
		a := g.chat(t, "m")
		a.wantStatus(t, 400)
		for _, secret := range []string{"header-secret-1", "session-secret", "sk-channel-key-1"} {
			if strings.Contains(a.text, secret) {
				t.Errorf("%s: the client gets %s: %s", auth, secret, a.text)
			}
		}
		if !strings.Contains(a.text, "some-gateway") {
			t.Errorf("%s: too much is masked: %s", auth, a.text)
		}
		g.Stop()
	}
}

// No log and no error shows a key that a channel repeats where net/http cannot
// read it.
func TestUnreadableResponsesWithKeys(t *testing.T) {
	const key = "sk-channel-key-1"
	t.Setenv("CHANNEL_KEY", key) // else Caddy's debug log shows the configuration
	for _, response := range []string{
		"HTTP/1.1 " + key + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\n" + key + "\r\n\r\n",
		"HTTP/1.1 200 " + key + "\r\nContent-Length: 2\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + key + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + key + "\r\n\r\n",
	} {
		up := caddytest.NewUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprint(conn, response)
		})
		g := start(t, "channel a "+up.URL+" {\napi_key {env.CHANNEL_KEY}\nmodels m\n}")
		a, _ := g.try(t, http.MethodPost, "/v1/chat/completions", chatBody("m"))
		g.Logs.Wait(t, "http.log.access")
		g.Stop()
		all := fmt.Sprint(a.text, a.Header, g.Logs)
		if at := strings.Index(all, key); at >= 0 {
			t.Errorf("%q shows the key: %s", response, all[max(0, at-200):at])
		}
	}
}
