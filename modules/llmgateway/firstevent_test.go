package llmgateway

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

const (
	openAIError    = `{"error":{"message":"slow down","type":"rate_limit_error","code":"rate_limit_exceeded"}}`
	anthropicError = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n"
	chunk          = "data: {\"choices\":[{\"delta\":{\"content\":\"hello\"}}]}\n\n"
)

// twoChannels runs a gateway that asks one channel before the other.
func twoChannels(t testing.TB, first, second *caddytest.Upstream, options string) *testGateway {
	return start(t, options+"\nlb_policy first\nchannel first "+first.URL+" {\napi_key k1\nmodels m\n}\nchannel second "+second.URL+" {\napi_key k2\nmodels m\n}")
}

// An answer of status 200 that is an error is a failed try: the client gets the
// next channel's.
func TestErrorsInside200(t *testing.T) {
	events := func(events ...string) http.HandlerFunc { return caddytest.Events(events...) }
	good := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	bad := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := twoChannels(t, bad, good, "cooldown 1ms")
	for name, handler := range map[string]http.HandlerFunc{
		"JSON":                    caddytest.JSON(200, openAIError),
		"JSON, after blank lines": caddytest.JSON(200, "\n\n  \n"+openAIError),
		"JSON, a text":            caddytest.JSON(200, `{"success":false,"error":"upstream timeout"}`),
		"JSON, large":             caddytest.JSON(200, `{"error":{"code":500,"message":"`+strings.Repeat("x", 20_000)+`"}}`),
		"JSON, empty":             caddytest.JSON(200, ""),
		"JSON, blank":             caddytest.JSON(200, "\n\n"),
		"JSON, cut off":           caddytest.CutOff("application/json", `{"error":`),
		"HTML":                    caddytest.Answer(200, "text/html; charset=utf-8", "<html>Sign in</html>"),
		"HTML as JSON":            caddytest.JSON(200, "<!doctype html>"),
		"event":                   events("data: " + openAIError + "\n\n"),
		"event, named":            events(anthropicError),
		"event, of Responses":     events("event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"x\"}\n\n"),
		"event, after comments":   events(": PROCESSING\n\n", ": PROCESSING\r\n\r\n", "event: ping\ndata: {\"type\": \"ping\"}\n\n", anthropicError),
		"event, with choices":     events(`data: {"error":{"code":502,"message":"x"},"choices":[{"delta":{},"finish_reason":"error"}]}` + "\n\n"),
		"event, in two lines":     events("data: {\"error\":\ndata: {\"code\":500}}\n\n"),
		"event, in pieces":        events("da", "ta: {\"err", "or\":{\"code\":500}}\n", "\n"),
		"event, without its end":  events("data: {\"error\":{\"code\":500}}"),
		"event, far behind":       events(strings.Repeat(": keep-alive\n\n", 2000), anthropicError),
		"no event":                events(": PROCESSING\n\n"),
		"nothing":                 events(),
		"event, cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, ": PROCESSING\n\n")
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bad.Handle(caddytest.JSON(200, completion))
			g.Admin(http.MethodDelete, "/llm-gateway/cooldowns")
			bad.Handle(handler)
			since := len(bad.Requests())
			a := g.chat(t, "m")
			a.wantStatus(t, 200)
			if a.text != completion || a.Header.Get("X-Gateway-Channel") != "second" {
				t.Errorf("from %s: %s", a.Header.Get("X-Gateway-Channel"), a.text)
			}
			if n := len(bad.Requests()) - since; n != 1 {
				t.Errorf("the first channel was asked %d times", n)
			}
		})
	}
}

// What only looks like an error reaches the client unchanged, and is no reason
// to ask another channel.
func TestNoErrorInside200(t *testing.T) {
	good := caddytest.NewUpstream(t, caddytest.JSON(500, "{}"))
	first := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := twoChannels(t, first, good, "")
	stream := ": PROCESSING\n\n" + chunk + "data: {\"error\":{\"code\":500}}\n\ndata: [DONE]\n\n"
	large := `{"choices":[],"x":"` + strings.Repeat("x", 200_000) + `","error":{"code":500}}`
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"null":                {caddytest.JSON(200, `{"error":null,"choices":[{"text":"a"}]}`), `{"error":null,"choices":[{"text":"a"}]}`},
		"beside an answer":    {caddytest.JSON(200, `{"error":{"code":500},"choices":[{"text":"a"}]}`), `{"error":{"code":500},"choices":[{"text":"a"}]}`},
		"large":               {caddytest.JSON(200, large), large},
		"nested":              {caddytest.JSON(200, `{"choices":[{"text":"a","logprobs":{"error":{"code":500}}}]}`), `{"choices":[{"text":"a","logprobs":{"error":{"code":500}}}]}`},
		"later in the stream": {caddytest.Events(stream), stream},
		"a large first event": {caddytest.Events("data: " + strings.Repeat("x", 100_000) + "\n\n"), "data: " + strings.Repeat("x", 100_000) + "\n\n"},
	} {
		t.Run(name, func(t *testing.T) {
			first.Handle(tc.handler)
			a := g.chat(t, "m")
			a.wantStatus(t, 200)
			if a.text != tc.want {
				t.Errorf("%d bytes, want %d: %.300s", len(a.text), len(tc.want), a.text)
			}
		})
	}
	if len(good.Requests()) > 0 {
		t.Error("the second channel was asked")
	}
}

// An error event says as much about the key as a status does, on the last
// candidate too, and the client gets an error with the status that it stands for.
func TestErrorEventRestsKey(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.Events("data: "+openAIError+"\n\n"))
	g, _, _ := startAt(t, "channel a "+up.URL+" {\napi_key k1 k2\nmodels m\n}")
	a := g.chat(t, "m")
	a.wantError(t, 429, "rate_limit_exceeded")
	if !strings.Contains(a.text, "slow down") {
		t.Errorf("the provider's message was lost: %s", a.text)
	}
	g.chat(t, "m").wantError(t, 429, "rate_limit_exceeded")
	if n := len(up.Requests()); n != 3 {
		t.Errorf("%d requests, want one with each key, and one early", n)
	}
}

// While other candidates are left the stream is held until its first event,
// and from then on each event is passed on at once.
func TestStreamAtOnceWithCandidates(t *testing.T) {
	events := make(chan string)
	first := caddytest.NewUpstream(t, caddytest.SSE(events))
	second := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := twoChannels(t, first, second, "")
	go func() {
		events <- ": PROCESSING\n\n"
		events <- "data: 1\n\n"
	}()
	resp := g.stream(t, t.Context())
	for i, want := range []string{": PROCESSING\n\ndata: 1\n\n", "data: 2\n\n", ": x\n\n", "data: [DONE]\n\n"} {
		if i > 0 {
			events <- want
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != want {
			t.Fatalf("got %q (%v), want %q", got, err, want)
		}
	}
	close(events)
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
		t.Errorf("after the last event: %q, %v", rest, err)
	}
}

// A client that leaves while the first event is awaited ends the upstream call.
func TestClientLeavesBeforeFirstEvent(t *testing.T) {
	events := make(chan string)
	first := caddytest.NewUpstream(t, caddytest.SSE(events))
	second := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := twoChannels(t, first, second, "")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+"/v1/chat/completions", strings.NewReader(chatBody("m")))
		req.Header.Set("Authorization", "Bearer alice-key")
		if resp, err := g.client.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	events <- ": PROCESSING\n\n"
	cancel()
	<-done
	first.WaitLeft(t)
	g.Logs.Wait(t, "http.log.access", `"status":499`)
	if len(second.Requests()) > 0 {
		t.Error("another channel was asked for a client that had left")
	}
}

// A streamed answer that does not begin in time is a failed try, whether its
// header has come or not; others may take their time.
func TestFirstByteTimeout(t *testing.T) {
	silent := caddytest.SSE(make(chan string))
	comments := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for r.Context().Err() == nil {
			io.WriteString(w, ": wait\n\n")
			http.NewResponseController(w).Flush()
			time.Sleep(5 * time.Millisecond)
		}
	}
	for name, slow := range map[string]http.HandlerFunc{"no header": caddytest.Hang, "no event": silent, "comments only": comments} {
		t.Run(name, func(t *testing.T) {
			first := caddytest.NewUpstream(t, slow)
			second := caddytest.NewUpstream(t, caddytest.Events(chunk))
			g := twoChannels(t, first, second, "first_byte_timeout 100ms")
			a := g.do(t, http.MethodPost, "/v1/chat/completions", `{"stream" : true ,"model":"m"}`)
			a.wantStatus(t, 200)
			if a.text != chunk || a.Header.Get("X-Gateway-Channel") != "second" {
				t.Errorf("from %s: %s", a.Header.Get("X-Gateway-Channel"), a.text)
			}
			first.WaitLeft(t)
		})
	}
	t.Run("nothing else", func(t *testing.T) {
		up := caddytest.NewUpstream(t, caddytest.Hang)
		g := start(t, "first_byte_timeout 100ms\nchannel a "+up.URL+" {\napi_key k\nmodels m\n}")
		g.do(t, http.MethodPost, "/v1/chat/completions", `{"stream":true,"model":"m"}`).wantStatus(t, 502)
	})
	t.Run("in time", func(t *testing.T) {
		late := func(then http.HandlerFunc) http.HandlerFunc { return caddytest.Slow(400*time.Millisecond, then) }
		events := make(chan string)
		up := caddytest.NewUpstream(t, caddytest.SSE(events))
		g := start(t, "first_byte_timeout 100ms\nchannel a "+up.URL+" {\napi_key k\nmodels m\n}")
		go func() {
			events <- chunk
			time.Sleep(300 * time.Millisecond)
			events <- chunk
			close(events)
		}()
		if a := g.do(t, http.MethodPost, "/v1/chat/completions", `{"stream":true,"model":"m"}`); a.text != chunk+chunk {
			t.Errorf("a stream that paused: %s", a.text)
		}
		up.Handle(late(caddytest.JSON(200, completion)))
		if a := g.do(t, http.MethodPost, "/v1/chat/completions", `{"stream":false,"model":"m"}`); a.text != completion {
			t.Errorf("an answer that is no stream: %s", a.text)
		}
	})
}
