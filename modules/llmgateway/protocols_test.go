package llmgateway

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// startTLS runs a gateway that speaks HTTP/1.1, 2 and 3, and returns a client
// for each of them.
func startTLS(t testing.TB, options string, caddy ...caddytest.Option) (g *testGateway, clients map[string]*http.Client) {
	t.Helper()
	_, port, _ := net.SplitHostPort(caddytest.Addr(t))
	url := "https://localhost:" + port
	c := caddytest.Start(t, url+" {\n\ttls internal\n\tllm_gateway {\n"+options+"\n\t}\n}", caddy...)
	g = &testGateway{Caddy: c, URL: url, client: c.Client()}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if resp, err := g.client.Get(url); err == nil { // else there is no certificate yet
			resp.Body.Close()
			break
		}
	}
	roots := g.client.Transport.(*http.Transport).TLSClientConfig.RootCAs
	h1 := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	h3 := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(func() {
		h1.CloseIdleConnections()
		h3.Close()
	})
	return g, map[string]*http.Client{"HTTP/1.1": {Transport: h1}, "HTTP/2.0": g.client, "HTTP/3.0": {Transport: h3}}
}

// Streams pass at once over each version of HTTP; one that is cut off ends as
// cut off, and a client that leaves ends the call.
func TestStreamProtocols(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g, clients := startTLS(t, "client alice alice-key\nchannel a "+up.URL+" {\napi_key k\nmodels m\n}")
	for proto, client := range clients {
		stream := func(t *testing.T) *http.Response {
			t.Helper()
			req, _ := http.NewRequest(http.MethodPost, g.URL+"/v1/chat/completions", strings.NewReader(chatBody("m")))
			req.Header.Set("Authorization", "Bearer alice-key")
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { resp.Body.Close() })
			if resp.Proto != proto {
				t.Errorf("the answer came over %s", resp.Proto)
			}
			return resp
		}
		t.Run(proto, func(t *testing.T) {
			events := make(chan string)
			up.Handle(caddytest.SSE(events))
			go func() { events <- chunk }()
			resp := stream(t)
			for i, event := range []string{chunk, ": wait\r\n\r\n", chunk} {
				if i > 0 {
					events <- event
				}
				got := make([]byte, len(event))
				if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != event {
					t.Fatalf("got %q (%v), want %q", got, err, event)
				}
			}
			resp.Body.Close()
			up.WaitLeft(t)
		})
		t.Run(proto+", cut off", func(t *testing.T) {
			events := make(chan string)
			up.Handle(caddytest.SSE(events))
			go func() { events <- chunk }()
			resp := stream(t)
			if _, err := io.ReadFull(resp.Body, make([]byte, len(chunk))); err != nil {
				t.Fatal(err)
			}
			up.CloseClientConnections()
			if text, err := io.ReadAll(resp.Body); err != nil || string(text) != brokeOff {
				t.Errorf("the stream ended with %v after %q", err, text)
			}
		})
	}
}
