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
	ping          = ": ping\n\n"
	anthropicPing = "event: ping\ndata: {\"type\": \"ping\"}\n\n"
)

// gated is an upstream that is silent until it is given what to do.
type gated struct {
	*caddytest.Upstream
	release chan http.HandlerFunc
}

func newGated(t testing.TB) *gated {
	g := &gated{release: make(chan http.HandlerFunc, 8)}
	g.Upstream = caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case handler := <-g.release:
			handler(w, r)
		case <-r.Context().Done():
		}
	})
	return g
}

// streamBody is a request for a stream in any dialect.
const streamBody = `{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}],"input":"hi","contents":[]}`

// opening is a request whose response has not begun.
type opening struct {
	response chan *http.Response
	failed   chan error
}

// open sends a request whose response is awaited by its method begin.
func (g *testGateway) open(t testing.TB, ctx context.Context, path, body string) *opening {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer alice-key")
	req.Header.Set("Origin", "https://chat.example")
	o := &opening{make(chan *http.Response, 1), make(chan error, 1)}
	go func() {
		resp, err := g.client.Do(req)
		if err != nil {
			o.failed <- err
			return
		}
		o.response <- resp
	}()
	return o
}

// begin waits for the response's header.
func (o *opening) begin(t testing.TB) *http.Response {
	t.Helper()
	select {
	case resp := <-o.response:
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	case err := <-o.failed:
		t.Fatal(err)
	case <-time.After(20 * time.Second):
		t.Fatal("the response has not begun")
	}
	return nil
}

// wantNext checks what comes next in a stream.
func wantNext(t testing.TB, resp *http.Response, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(resp.Body, got); err != nil || string(got) != want {
		t.Fatalf("got %q (%v), want %q", got[:n], err, want)
	}
}

// wantRest checks how a stream ends.
func wantRest(t testing.TB, resp *http.Response, want string) {
	t.Helper()
	rest, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("the stream ended with %v", err)
	}
	if string(rest) != want {
		t.Errorf("the stream ended with\n     %q\nwant %q", rest, want)
	}
}

// inTwoChannels are the options of a gateway that asks a before b.
func inTwoChannels(a, b *gated, options string) string {
	return options + "\nlb_policy first\nchannel a " + a.URL + " {\napi_key k1\nmodels m\n}\nchannel b " + b.URL + " {\napi_key k2\nmodels m\n}"
}

// A stream that is silent begins with heartbeats and a header of the gateway's
// own; failover goes on behind it, and later silence is bridged too.
func TestHeartbeat(t *testing.T) {
	a, b := newGated(t), newGated(t)
	g, clock, _ := startAt(t, inTwoChannels(a, b, "try_duration 5m"))
	opened := g.open(t, t.Context(), "/v1/chat/completions", streamBody)
	a.Next(t)
	clock.Advance(15 * time.Second)
	resp := opened.begin(t)
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no", "Access-Control-Allow-Origin": "*",
		"X-Gateway-Channel": "", "X-Gateway-Model": "", "Via": "", "X-Of-Channel": "",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if resp.StatusCode != 200 {
		t.Errorf("status %d, want 200", resp.StatusCode)
	}
	wantNext(t, resp, ping)
	clock.Advance(15 * time.Second)
	wantNext(t, resp, ping)
	a.release <- caddytest.JSON(500, `{"error":{"message":"boom"}}`)
	b.Next(t)
	clock.Advance(15 * time.Second)
	wantNext(t, resp, ping)
	events := make(chan string)
	b.release <- func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Of-Channel", "1")
		caddytest.SSE(events)(w, r)
	}
	events <- chunk
	wantNext(t, resp, chunk)
	clock.Advance(14 * time.Second)
	events <- chunk
	wantNext(t, resp, chunk)
	clock.Advance(14 * time.Second) // 28 s behind the last heartbeat, 14 s behind the last event
	events <- chunk + "data: {\"choices\":"
	wantNext(t, resp, chunk)
	clock.Advance(15 * time.Second)
	wantNext(t, resp, ping)
	events <- "[]}\n\ndata: [DONE]\n\n"
	wantNext(t, resp, "data: {\"choices\":[]}\n\ndata: [DONE]\n\n")
	close(events)
	wantRest(t, resp, "")
	g.Logs.Wait(t, "http.log.access", `"status":200`, `"channel":"b"`, `"attempts":2`, `"outcome":"complete"`)
}

// Each dialect has its own heartbeat, and only streams have any.
func TestHeartbeatsOfDialects(t *testing.T) {
	const gemini = `{"candidates":[{"content":{"parts":[{"text":"hello"}]}}]}`
	for name, tc := range map[string]struct{ options, path, body, beat string }{
		"chat":            {"", "/v1/chat/completions", streamBody, ping},
		"completions":     {"", "/v1/completions", streamBody, ping},
		"responses":       {"", "/v1/responses", streamBody, ping},
		"messages":        {"", "/v1/messages", streamBody, anthropicPing},
		"gemini's chat":   {"", "/v1beta/openai/chat/completions", streamBody, ping},
		"gemini":          {"", "/v1beta/models/m:streamGenerateContent?alt=sse", `{}`, ""},
		"no stream":       {"", "/v1/chat/completions", strings.Replace(streamBody, "true", "false", 1), ""},
		"switched off":    {"heartbeat off", "/v1/chat/completions", streamBody, ""},
		"images":          {"", "/v1/images/generations", streamBody, ""},
		"an interval":     {"heartbeat 3s", "/v1/chat/completions", streamBody, ping},
		"token counting":  {"", "/v1/messages/count_tokens", streamBody, ""},
		"speech, as text": {"", "/v1/audio/speech", streamBody, ""},
	} {
		t.Run(name, func(t *testing.T) {
			up := newGated(t)
			g, clock, _ := startAt(t, tc.options+"\nchannel a "+up.URL+" {\napi_key k\nmodels m\n}")
			opened := g.open(t, t.Context(), tc.path, tc.body)
			up.Next(t)
			interval := 15 * time.Second
			if strings.HasPrefix(tc.options, "heartbeat 3s") {
				interval = 3 * time.Second
			}
			clock.Advance(interval)
			if tc.beat != "" {
				resp := opened.begin(t)
				wantNext(t, resp, tc.beat)
				return
			}
			up.release <- caddytest.JSON(200, strings.TrimSuffix(anyOutput, "}")+`,"x":`+gemini+"}")
			resp := opened.begin(t)
			if resp.Header.Get("Content-Type") != "application/json" {
				t.Errorf("Content-Type %s", resp.Header.Get("Content-Type"))
			}
		})
	}
}

// What is refused behind a heartbeat ends the stream with the dialect's own error.
func TestRefusalBehindHeartbeat(t *testing.T) {
	const limit = `{"error":{"message":"slow <down>","type":"requests","code":"rate_limit_exceeded"}}`
	for name, tc := range map[string]struct {
		path, beat string
		handler    http.HandlerFunc
		want       string
	}{
		"chat": {
			"/v1/chat/completions", ping, caddytest.JSON(429, limit),
			"data: {\"error\":{\"message\":\"slow \\u003cdown\\u003e\",\"type\":\"requests\",\"code\":\"rate_limit_exceeded\"}}\n\n",
		},
		"responses": {
			"/v1/responses", ping, caddytest.JSON(429, limit),
			"event: response.created\ndata: {\"response\":{\"created_at\":0,\"error\":null,\"id\":\"resp_failed\",\"object\":\"response\",\"output\":[],\"status\":\"in_progress\"}," +
				"\"sequence_number\":0,\"type\":\"response.created\"}\n\n" +
				"event: response.failed\ndata: {\"response\":{\"created_at\":0,\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"slow \\u003cdown\\u003e\"}," +
				"\"id\":\"resp_failed\",\"object\":\"response\",\"output\":[],\"status\":\"failed\"},\"sequence_number\":1,\"type\":\"response.failed\"}\n\n",
		},
		"messages": {
			"/v1/messages", anthropicPing, caddytest.JSON(529, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`),
			"event: error\ndata: {\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"},\"type\":\"error\"}\n\n",
		},
		"messages, an error as the only event": {
			"/v1/messages", anthropicPing, caddytest.Events(anthropicError),
			"event: error\ndata: {\"error\":{\"message\":\"Channel a: overloaded. The provider's message: Overloaded\",\"type\":\"overloaded_error\"},\"type\":\"error\"}\n\n",
		},
		"chat, an error in 200": {
			"/v1/chat/completions", ping, caddytest.JSON(200, `{"error":{"code":500,"message":"boom"}}`),
			"data: {\"error\":{\"code\":500,\"message\":\"boom\"}}\n\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			up := newGated(t)
			g, clock, _ := startAt(t, "retries 1\nchannel a "+up.URL+" {\napi_key k\nmodels m\n}")
			opened := g.open(t, t.Context(), tc.path, streamBody)
			up.Next(t)
			clock.Advance(15 * time.Second)
			resp := opened.begin(t)
			wantNext(t, resp, tc.beat)
			up.release <- tc.handler
			wantRest(t, resp, tc.want)
			g.Logs.Wait(t, "http.log.access", `"status":200`, `"outcome":"refused"`)
		})
	}
}

// A channel that sends no stream is heard all the same: its response becomes one.
func TestPlainResponseBehindHeartbeat(t *testing.T) {
	up := newGated(t)
	g, clock, _ := startAt(t, "channel a "+up.URL+" {\napi_key k\nmodels m\n}")
	opened := g.open(t, t.Context(), "/v1/chat/completions", streamBody)
	up.Next(t)
	clock.Advance(15 * time.Second)
	resp := opened.begin(t)
	wantNext(t, resp, ping)
	up.release <- caddytest.JSON(200, completion)
	wantRest(t, resp, `data: {"choices":[{"delta":{"content":"hello","role":"assistant"},"finish_reason":null,"index":0}],"created":1,"id":"chatcmpl-1","model":"m","object":"chat.completion.chunk"}`+"\n\n"+
		`data: {"choices":[{"delta":{},"finish_reason":"stop","index":0}],"created":1,"id":"chatcmpl-1","model":"m","object":"chat.completion.chunk"}`+"\n\n"+"data: [DONE]\n\n")
	g.Logs.Wait(t, "http.log.access", `"outcome":"complete"`)
}

// A stream that breaks off behind a heartbeat ends as one that breaks off without.
func TestBreakBehindHeartbeat(t *testing.T) {
	up := newGated(t)
	g, clock, _ := startAt(t, "channel a "+up.URL+" {\napi_key k\nmodels m\n}")
	opened := g.open(t, t.Context(), "/v1/chat/completions", streamBody)
	up.Next(t)
	clock.Advance(15 * time.Second)
	resp := opened.begin(t)
	wantNext(t, resp, ping)
	up.release <- caddytest.CutOff("text/event-stream", chunk+"data: {\"choices\":[{")
	wantRest(t, resp, chunk+brokeOff)
	g.Logs.Wait(t, "http.log.access", `"outcome":"broken"`)
}

// A client that leaves between heartbeats ends the call.
func TestClientLeavesBehindHeartbeat(t *testing.T) {
	a, b := newGated(t), newGated(t)
	g, clock, _ := startAt(t, inTwoChannels(a, b, ""))
	ctx, cancel := context.WithCancel(t.Context())
	opened := g.open(t, ctx, "/v1/chat/completions", streamBody)
	a.Next(t)
	clock.Advance(15 * time.Second)
	wantNext(t, opened.begin(t), ping)
	cancel()
	a.WaitLeft(t)
	g.Logs.Wait(t, "http.log.access", `"outcome":"client_left"`)
	if n := len(b.Requests()); n > 0 {
		t.Errorf("%d more attempts, want none", n)
	}
}
