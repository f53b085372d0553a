package llmgateway

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// A large body reaches each upstream to the byte, with the model replaced where
// it stands, over plain connections and over TLS, from clients that send it
// with its length and without.
func TestLargeBody(t *testing.T) {
	plain := caddytest.NewUpstream(t, caddytest.JSON(500, "{}"))
	secure := caddytest.NewTLSUpstream(t, caddytest.JSON(200, completion))
	g := start(t, `
		lb_policy first
		channel plain `+plain.URL+` {
			api_key k
			models  m as a-longer-name
		}
		channel secure `+secure.URL+` {
			api_key k
			models  m as s
			transport {
				tls_trust_pool file `+secure.CAFile(t)+`
			}
		}`)
	head, tail := `{"a":"`+strings.Repeat("0123456789ä", 300_000)+`","model":"`, `","b":"`+strings.Repeat("x", 1_000_000)+`"}`
	for _, chunked := range []bool{false, true} {
		body := io.Reader(strings.NewReader(head + "m" + tail))
		if chunked {
			body = struct{ io.Reader }{body}
		}
		req, err := http.NewRequest(http.MethodPost, g.URL+"/v1/chat/completions", body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer alice-key")
		resp, err := g.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Fatalf("status %d", resp.StatusCode)
		}
		for up, model := range map[*caddytest.Upstream]string{plain: "a-longer-name", secure: "s"} {
			got := up.Next(t)
			if want := []byte(head + model + tail); !bytes.Equal(got.Body, want) {
				t.Errorf("%s, chunked %v: %d bytes arrived, want %d", model, chunked, len(got.Body), len(want))
			}
			if got.ContentLength != int64(len(got.Body)) {
				t.Errorf("%s: Content-Length %d", model, got.ContentLength)
			}
		}
	}
}

// A channel that answers before it has read the body, or cuts the connection,
// leaves nothing behind, and the next one gets the whole body.
func TestLargeBodyCutOff(t *testing.T) {
	before := caddytest.Goroutines()
	rude := caddytest.NewRudeServer(t)
	good := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "lb_policy first\nchannel rude "+rude+" {\napi_key k\nmodels m\n}\nchannel good "+good.URL+" {\napi_key k\nmodels m\n}")
	body := `{"model":"m","b":"` + strings.Repeat("x", 8_000_000) + `"}`
	for range 5 {
		a := g.do(t, http.MethodPost, "/v1/chat/completions", body)
		a.wantStatus(t, 200)
		if got := good.Next(t); string(got.Body) != body {
			t.Fatalf("%d bytes arrived, want %d", len(got.Body), len(body))
		}
	}
	g.client.CloseIdleConnections()
	g.Stop()
	good.CloseClientConnections()
	good.Close()
	caddytest.NoLeak(t, before)
}
