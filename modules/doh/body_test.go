package doh_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/miekg/dns"
	"github.com/quic-go/quic-go/http3"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// startVersions starts Caddy with a fake clock, and returns its URL and a client for
// each version of HTTP.
func startVersions(t *testing.T, clock *clockwork.FakeClock, options ...string) (url string, clients map[string]*http.Client) {
	t.Helper()
	port := caddytest.Port(t)
	url = fmt.Sprintf("https://localhost:%d", port)
	c := startSecure(t, port, secure(port, options...), caddytest.WithFakeClock(clock))
	h2 := c.Client()
	roots := h2.Transport.(*http.Transport).TLSClientConfig.RootCAs
	h1 := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	h3 := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(func() {
		h1.CloseIdleConnections()
		h3.Close()
	})
	return url, map[string]*http.Client{"HTTP/1.1": {Transport: h1}, "HTTP/2.0": h2, "HTTP/3.0": {Transport: h3}}
}

// slowly sends a request whose body never ends, turns the clock until there is a
// response, and returns that.
func slowly(t *testing.T, client *http.Client, clock *clockwork.FakeClock, method, url, contentType, begin string) response {
	t.Helper()
	r, w := io.Pipe()
	defer w.Close()
	req, err := http.NewRequestWithContext(t.Context(), method, url, r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	done := make(chan response, 1)
	go func() {
		defer close(done)
		resp, err := client.Do(req)
		if err != nil {
			t.Errorf("%s %s: %v", method, url, err)
			return
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		done <- response{resp, text}
	}()
	go io.WriteString(w, begin)
	for range 2000 {
		select {
		case resp, ok := <-done:
			if !ok {
				t.FailNow()
			}
			return resp
		case <-time.After(5 * time.Millisecond):
			clock.Advance(10 * time.Second)
		}
	}
	t.Fatalf("%s %s: there is no response", method, url)
	return response{}
}

// A body that does not end is given up in each version of HTTP, whether it is read or
// not, and later requests of the connection have all the time that they need.
func TestSlowBodies(t *testing.T) {
	clock := clockwork.NewFakeClock()
	var slow chan struct{} // nil: the upstream answers at once
	u := caddytest.NewDoHUpstream(t, func(query *dns.Msg) *dns.Msg {
		if slow != nil {
			<-slow
		}
		return caddytest.Records(t, "@ 300 IN A 192.0.2.1")(query)
	})
	url, clients := startVersions(t, clock, up(t, u, "/"), "timeout 5m", "hedge off")
	query := question("www.example.", dns.TypeA)
	msg := pack(t, query)
	for proto, client := range clients {
		t.Run(proto, func(t *testing.T) {
			for _, test := range []struct {
				method, path, typ, begin string
				status                   int
			}{
				{"POST", "/dns-query", messageType, "", 408},
				{"POST", "/dns-query", messageType, string(msg[:20]), 408},
				{"POST", "/dns-query", messageType, string(msg), 408},
				{"POST", "/dns-query", "text/plain", "x", 415},
				{"OPTIONS", "/dns-query", messageType, "x", 204},
				{"PUT", "/dns-query", messageType, "x", 405},
			} {
				resp := slowly(t, client, clock, test.method, url+test.path, test.typ, test.begin)
				if resp.StatusCode != test.status || resp.Proto != proto {
					t.Errorf("%s %s: status %d over %s, want %d", test.method, test.path, resp.StatusCode, resp.Proto, test.status)
				}
				answer(t, query, post(t, client, url+"/dns-query", msg))
			}
			// The client's time ends with its query: the upstream may take longer.
			slow = make(chan struct{})
			defer func() { slow = nil }()
			go func(asked int, slow chan struct{}) {
				for len(u.Requests()) == asked {
					time.Sleep(time.Millisecond)
				}
				clock.Advance(time.Minute)
				close(slow)
			}(len(u.Requests()), slow)
			answer(t, query, post(t, client, url+"/dns-query", msg))
		})
	}
}

// A client that expects "100 Continue" gets the refusal without it, and need not send
// its body.
func TestExpectContinue(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 300 IN A 192.0.2.1"))
	p := startPool(t, clockwork.NewFakeClock(), t.TempDir(), up(t, u, "/"))
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /dns-query HTTP/1.1\r\nHost: %s\r\nContent-Type: text/plain\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n", p.addr)
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	got, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 415 ") {
		t.Errorf("%v with the response\n%s", err, got)
	}
}
