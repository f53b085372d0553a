package llmgateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// A client's limits hold together, are shown in OpenAI's words, and do not
// count what is refused before it gets to a channel.
func TestClientLimit(t *testing.T) {
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Ratelimit-Remaining-Requests", "999")
		caddytest.JSON(200, completion)(w, r)
	})
	g, clock, _ := startAt(t, `
		client bob bob-key {
			limit 2/minute
			limit 3/day
		}
		channel a `+up.URL+` {
			api_key k
			models  m
		}`)
	bob := []string{"Authorization", "Bearer bob-key"}
	g.chat(t, "unknown", bob...).wantError(t, 404, "model_not_found")
	g.do(t, http.MethodPost, "/v1/chat/completions", "{", bob...).wantStatus(t, 400)
	g.do(t, http.MethodGet, "/v1/models", "", bob...).wantStatus(t, 200)

	a := g.chat(t, "m", bob...)
	a.wantStatus(t, 200)
	for name, want := range map[string]string{
		"X-Ratelimit-Limit-Requests": "2", "X-Ratelimit-Remaining-Requests": "1", "X-Ratelimit-Reset-Requests": "1m0s",
	} {
		if got := a.Header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %v, want %s", name, got, want)
		}
	}
	clock.Advance(20 * time.Second)
	g.chat(t, "m", bob...).wantStatus(t, 200)
	a = g.chat(t, "m", bob...)
	a.wantError(t, 429, "rate_limit_exceeded")
	if got := a.Header.Get("Retry-After"); got != "40" {
		t.Errorf("Retry-After: %s, want 40", got)
	}
	clock.Advance(40 * time.Second)
	g.chat(t, "m", bob...).wantStatus(t, 200)
	a = g.chat(t, "m", bob...)
	a.wantError(t, 429, "rate_limit_exceeded")
	if got := a.Header.Get("Retry-After"); got != "43140" { // at midnight
		t.Errorf("Retry-After: %s, want 43140", got)
	}
	if got := g.chat(t, "m").Header.Get("X-Ratelimit-Remaining-Requests"); got != "999" {
		t.Errorf("a client without limits sees %s", got)
	}
	if n := len(up.Requests()); n != 4 {
		t.Errorf("%d requests reached the channel, want 4", n)
	}
}

// A key stops before its quota, in the quota's own zone; keys that name one
// account share it; counts outlive a restart.
func TestKeyQuota(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	storage, clock := t.TempDir(), clockwork.NewFakeClockAt(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	addr := caddytest.Addr(t)
	run := func() *testGateway {
		c := caddytest.Start(t, site(addr, `
		client alice alice-key
		channel own `+up.URL+` {
			api_key key-number-0001 key-number-0002
			quota   3/day Asia/Tokyo
			models  m
		}
		channel spare `+up.URL+`/spare/v1 {
			api_key key-number-0003 key-number-0004
			quota   2/day shared-account Asia/Tokyo
			models  m
			tier    2
		}`), caddytest.WithFakeClock(clock), caddytest.WithStorage(storage))
		return &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}
	}
	g := run()
	for range 4 {
		g.chat(t, "m").wantStatus(t, 200)
	}
	g.Stop()
	g = run()
	for range 4 {
		g.chat(t, "m").wantStatus(t, 200)
	}
	a := g.chat(t, "m")
	a.wantError(t, 429, "rate_limit_exceeded")
	if got := a.Header.Get("Retry-After"); got != "10800" { // midnight in Tokyo
		t.Errorf("Retry-After: %s, want 10800", got)
	}
	used := make(map[string]int)
	for _, r := range up.Requests() {
		used[bearer(r)]++
	}
	if used["key-number-0001"] != 3 || used["key-number-0002"] != 3 || used["key-number-0003"]+used["key-number-0004"] != 2 {
		t.Errorf("the keys were used %v", used)
	}
	if _, body := g.Admin(http.MethodGet, "/llm-gateway/channels"); strings.Count(string(body), `"left":0`) != 4 {
		t.Errorf("the admin API shows %s", body)
	}
	clock.Advance(3 * time.Hour)
	g.chat(t, "m").wantStatus(t, 200)
}

// A client of which a limit is exhausted is refused before a byte of its body
// is read, over each version of HTTP.
func TestLimitBeforeBody(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, `{"choices":[{"message":{"content":"hello"}}],"usage":{"prompt_tokens":60,"completion_tokens":41}}`))
	g := start(t, `
		client bob bob-key {
			limit 1/day
		}
		client eve eve-key {
			limit 100 tokens/day
		}
		channel a `+up.URL+` {
			api_key k
			models  m
		}`)
	for _, key := range []string{"bob-key", "eve-key"} {
		g.chat(t, "m", "Authorization", "Bearer "+key).wantStatus(t, 200)
		for name, header := range map[string]string{
			"length":             "Content-Length: 5000000",
			"a small length":     "Content-Length: 1000",
			"chunked":            "Transfer-Encoding: chunked",
			"expected":           "Content-Length: 1000\r\nExpect: 100-continue",
			"expected, chunked":  "Transfer-Encoding: chunked\r\nExpect: 100-continue",
			"too large":          "Content-Length: 5000000000",
			"of an unknown type": "Content-Length: 1000\r\nContent-Type: ;;",
		} {
			t.Run(key+" "+name, func(t *testing.T) {
				host := strings.TrimPrefix(g.URL, "http://")
				conn, err := net.Dial("tcp", host)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(time.Minute))
				fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n%s\r\n\r\n", host, key, header)
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				text, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				answer{resp, string(text)}.wantError(t, 429, "rate_limit_exceeded")
				if resp.Header.Get("Retry-After") == "" || resp.Header.Get("X-Ratelimit-Remaining-"+map[string]string{"bob-key": "Requests", "eve-key": "Tokens"}[key]) != "0" {
					t.Errorf("header %v", resp.Header)
				}
			})
		}
	}
	t.Run("HTTP/2", func(t *testing.T) {
		body, _ := io.Pipe() // nothing comes
		req, _ := http.NewRequest(http.MethodPost, g.URL+"/v1/chat/completions", body)
		req.Header.Set("Authorization", "Bearer bob-key")
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		transport := &http.Transport{Protocols: protocols}
		defer transport.CloseIdleConnections()
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		answer{resp, string(text)}.wantError(t, 429, "rate_limit_exceeded")
		if resp.ProtoMajor != 2 {
			t.Errorf("it was %s", resp.Proto)
		}
	})
	if n := len(up.Requests()); n != 2 {
		t.Errorf("%d requests reached the channel, want 2", n)
	}
}

// No number of requests at once passes a limit, none is counted twice, whatever
// tries it takes, and what is refused is not counted.
func TestLimitsConcurrently(t *testing.T) {
	up := caddytest.NewUpstream(t, byKey(map[string]http.HandlerFunc{
		"k1": caddytest.JSON(500, "{}"), "k2": caddytest.JSON(200, completion),
	}))
	g, clock, _ := startAt(t, `
		client bob bob-key {
			limit 12/day
			limit 5/minute
		}
		channel a `+up.URL+` {
			api_key k1
			models  m
		}
		channel b `+up.URL+` {
			api_key k2
			models  m
			tier    2
		}`)
	storm := func() int64 {
		var answered atomic.Int64
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				for range 4 {
					if a, err := g.try(t, http.MethodPost, "/v1/chat/completions", chatBody("m"), "Authorization", "Bearer bob-key"); err == nil && a.StatusCode == 200 {
						answered.Add(1)
					}
				}
			})
		}
		wg.Wait()
		return answered.Load()
	}
	for _, want := range []int64{5, 5, 2, 0} {
		since := len(up.Requests())
		if got := storm(); got != want {
			t.Errorf("%d requests were answered, want %d", got, want)
		}
		var reached int64
		for _, r := range up.Requests()[since:] {
			if bearer(r) == "k2" {
				reached++
			}
		}
		if reached != want {
			t.Errorf("%d requests reached the channel, want %d", reached, want)
		}
		clock.Advance(time.Minute)
	}
}
