package llmgateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/strictprovider"
)

// half returns a stream of a dialect up to the middle of its text.
func half(dialect string) string {
	stream := responsesIn[dialect].stream
	switch dialect {
	case "chat":
		return stream[:strings.Index(stream, "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"there")]
	case "gemini":
		return stream[:strings.Index(stream, "\n\n")+2]
	}
	// The text comes in one piece: its second half goes.
	stream = strings.Replace(stream, `"delta":"Hello there"`, `"delta":"Hello "`, 1)
	stream = strings.Replace(stream, `"text_delta","text":"Hello there"`, `"text_delta","text":"Hello "`, 1)
	end := map[string]string{"responses": `data: {"type":"response.completed"`, "messages": `data: {"type":"content_block_stop"`}[dialect]
	return stream[:strings.Index(stream, end)]
}

// brokenOff streams events and cuts the connection.
func brokenOff(events string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		caddytest.Events(events)(w, r)
		panic(http.ErrAbortHandler)
	}
}

// failedIn are events with which a channel says in the middle of a stream that it has
// failed, and streams that end with a refusal.
var failedIn = map[string]struct{ failure, refusal string }{
	"chat": {
		sse(`{"error":{"message":"the model has stopped","type":"server_error","code":503}}`),
		sse(`{"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"content_filter"}]}`, `[DONE]`),
	},
	"responses": {
		sse(`{"type":"response.failed","response":{"id":"r1","status":"failed","error":{"code":"server_is_overloaded","message":"the model has stopped"}}}`),
		sse(`{"type":"response.incomplete","response":{"id":"r1","status":"incomplete","incomplete_details":{"reason":"content_filter"},"output":[{"type":"message","id":"m1","role":"assistant","content":[{"type":"output_text","text":"Hello "}]}]}}`),
	},
	"messages": {
		"event: error\n" + sse(`{"type":"error","error":{"type":"overloaded_error","message":"the model has stopped"}}`),
		sse(`{"type":"content_block_stop","index":0}`, `{"type":"message_delta","delta":{"stop_reason":"refusal"},"usage":{"output_tokens":3}}`, `{"type":"message_stop"}`),
	},
	"gemini": {
		sse(`{"error":{"code":503,"message":"the model has stopped","status":"UNAVAILABLE"}}`),
		sse(`{"candidates":[{"content":{"parts":[]},"finishReason":"SAFETY"}]}`),
	},
}

// What a stream ends with, in each dialect.
var (
	failureIn = map[string]string{"chat": `data: {"error":{`, "responses": `"status":"failed"`, "messages": `"type":"error"`, "gemini": `data: {"error":{`}
	overload  = map[string]string{"chat": `server_is_overloaded`, "responses": `server_is_overloaded`, "messages": `overloaded_error`, "gemini": `UNAVAILABLE`}
	refusedIn = map[string]string{"chat": `"finish_reason":"content_filter"`, "responses": `"reason":"content_filter"`, "messages": `"stop_reason":"refusal"`, "gemini": `"finishReason":"SAFETY"`}
	completed = map[string][]string{"chat": {"[DONE]", `"finish_reason":"`}, "responses": {"response.completed", "response.incomplete"}, "messages": {"message_stop", "message_delta"}, "gemini": {"finishReason"}}
)

// A stream that fails behind its first output ends in each client's dialect with the
// failure event of that dialect, whatever the channel speaks and however it fails, and
// never as if it were complete. A refusal of the model is an end of its own.
func TestTranslatedStreamsFail(t *testing.T) {
	for channel := range failedIn {
		up := caddytest.NewUpstream(t, caddytest.JSON(500, "{}"))
		g := speaking(t, up, channel)
		for name, handler := range map[string]http.HandlerFunc{
			"breaks off": brokenOff(half(channel)),
			"breaks off inside an event": brokenOff(half(channel) +
				"data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"delt"),
			"ends early": caddytest.Events(half(channel)),
			"fails":      caddytest.Events(half(channel), failedIn[channel].failure),
			"refuses":    caddytest.Events(half(channel), failedIn[channel].refusal),
		} {
			for client := range requestsIn {
				if client == channel && name == "ends early" {
					continue // passed on as it is
				}
				t.Run(fmt.Sprintf("%s %s, to %s", channel, name, client), func(t *testing.T) {
					up.Handle(handler)
					path, body := requestIn(client, true)
					a := g.do(t, http.MethodPost, path, body)
					a.wantStatus(t, 200)
					checkFailedStream(t, a.text, client, name == "refuses")
					if name == "fails" && client != channel {
						for _, want := range []string{"the model has stopped", overload[client]} {
							if !strings.Contains(a.text, want) {
								t.Errorf("no %s in %s", want, a.text)
							}
						}
					}
				})
			}
		}
	}
}

// checkFailedStream checks how a stream ends that has failed, or been refused, behind
// its first words.
func checkFailedStream(t *testing.T, stream, client string, isRefusal bool) {
	t.Helper()
	if got := textOf(stream); got != "Hello " {
		t.Errorf("the text is %q in %s", got, stream)
	}
	if !strings.HasSuffix(stream, "\n\n") {
		t.Errorf("the last event has no end: %q", stream)
	}
	if isRefusal {
		if !strings.Contains(stream, refusedIn[client]) || strings.Contains(stream, failureIn[client]) {
			t.Errorf("want %s and no failure in %s", refusedIn[client], stream)
		}
		return
	}
	if n := strings.Count(stream, failureIn[client]); n != 1 {
		t.Errorf("%d failure events, want one, in %s", n, stream)
	}
	for _, end := range completed[client] {
		if strings.Contains(stream, end) {
			t.Errorf("a failed stream has %s in it: %s", end, stream)
		}
	}
	events := strings.Split(strings.TrimSuffix(stream, "\n\n"), "\n\n")
	if last := events[len(events)-1]; !strings.Contains(last, failureIn[client]) {
		t.Errorf("the last event is %q", last)
	}
}

// A channel that fails before its first output, by its status, by an event or by
// breaking off, leaves the request to a channel of another dialect, which is asked in
// its own, also when the client has already got a heartbeat.
func TestFailoverToAnotherDialect(t *testing.T) {
	before := map[string]string{ // what a stream has before its first output
		"chat":      sse(`{"id":"c1","object":"chat.completion.chunk","created":1,"model":"real","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}`),
		"responses": sse(`{"type":"response.created","response":{"id":"r1","status":"in_progress","output":[]}}`),
		"messages":  sse(`{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"real","content":[],"usage":{"input_tokens":12,"output_tokens":1}}}`),
		"gemini":    sse(`{"candidates":[{"content":{"role":"model","parts":[]}}]}`),
	}
	next := map[string]string{"chat": "messages", "responses": "gemini", "messages": "responses", "gemini": "chat"}
	for first, second := range next {
		bad, good := caddytest.NewUpstream(t, caddytest.JSON(500, "{}")), caddytest.NewUpstream(t, caddytest.JSON(500, "{}"))
		for _, heartbeat := range []bool{false, true} {
			options := "heartbeat off\n"
			if heartbeat {
				options = "heartbeat 10ms\n"
			}
			base := func(up *caddytest.Upstream, d string) string {
				return up.URL + map[string]string{"chat": "/v1", "responses": "/v1", "gemini": "/v1beta"}[d]
			}
			g := start(t, options+"lb_policy first\nchannel bad "+base(bad, first)+" {\napi_key bad-key-1\nmodels m as bad-model\nspeaks "+first+"\n}\n"+
				"channel good "+base(good, second)+" {\napi_key good-key-1\nmodels m as real\nspeaks "+second+"\n}\n")
			for name, failure := range map[string]http.HandlerFunc{
				"refuses":    caddytest.JSON(429, `{"error":{"message":"Too many requests","code":429}}`),
				"fails":      caddytest.Events(before[first], failedIn[first].failure),
				"breaks off": brokenOff(before[first]),
			} {
				for client := range requestsIn {
					if heartbeat && (client == "gemini" || name != "fails") {
						continue // no heartbeats, or nothing to wait for
					}
					t.Run(fmt.Sprintf("%s %s before %s, to %s, heartbeat %v", first, name, second, client, heartbeat), func(t *testing.T) {
						bad.Handle(failure)
						beaten := make(chan struct{})
						if heartbeat {
							bad.Handle(func(w http.ResponseWriter, r *http.Request) {
								<-beaten
								failure(w, r)
							})
						}
						good.Handle(caddytest.Events(responsesIn[second].stream))
						badSeen, goodSeen := len(bad.Requests()), len(good.Requests())
						path, body := requestIn(client, true)
						var text string
						if heartbeat {
							text = askUntilHeartbeat(t, g, path, body, func() { close(beaten) })
						} else {
							a := g.do(t, http.MethodPost, path, body)
							a.wantStatus(t, 200)
							text = a.text
							if a.Header.Get("X-Gateway-Channel") != "good" {
								t.Errorf("from %s", a.Header.Get("X-Gateway-Channel"))
							}
						}
						if got := textOf(text); got != "Hello there" || strings.Contains(text, failureIn[client]) {
							t.Errorf("the client got %q in %s", got, text)
						}
						if n := len(bad.Requests()) - badSeen; n != 1 {
							t.Errorf("the first channel was asked %d times", n)
						}
						for up, model := range map[*caddytest.Upstream]string{bad: "bad-model", good: "real"} {
							since := map[*caddytest.Upstream]int{bad: badSeen, good: goodSeen}[up]
							if sent := up.Requests()[since]; !strings.Contains(sent.URI+string(sent.Body), model) {
								t.Errorf("%s: %s was not asked for %s", sent.URI, sent.Body, model)
							}
						}
						g.Admin(http.MethodDelete, "/llm-gateway/cooldowns")
					})
				}
			}
		}
	}
}

// askUntilHeartbeat calls a function when the first bytes have come, which are a
// heartbeat, and returns the stream.
func askUntilHeartbeat(t *testing.T, g *testGateway, path, body string, then func()) string {
	t.Helper()
	resp := g.open(t, t.Context(), path, body).begin(t)
	if resp.StatusCode != 200 {
		t.Errorf("status %d", resp.StatusCode)
	}
	first := make([]byte, 4)
	if _, err := io.ReadFull(resp.Body, first); err != nil {
		t.Fatal(err)
	}
	then()
	rest, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(first) + string(rest)
}

// strictStreams are a provider whose stream is complete, one whose stream fails, and
// one whose stream breaks off before it says why it ends.
func strictStreams(dialect neutral.Dialect) map[string]http.HandlerFunc {
	works := &strictprovider.Provider{Dialect: dialect, Vendor: "v", Text: "Hello there"}
	fails := &strictprovider.Provider{Dialect: dialect, Vendor: "v", Steps: []strictprovider.Step{{Text: "Hello there", Breaks: true}}}
	end := map[neutral.Dialect]string{
		neutral.Chat: `"finish_reason":"stop"`, neutral.Responses: "event: response.completed", neutral.Messages: "event: message_delta", neutral.Gemini: `"finishReason"`,
	}[dialect]
	return map[string]http.HandlerFunc{
		"works": works.ServeHTTP,
		"fails": fails.ServeHTTP,
		"breaks": func(w http.ResponseWriter, r *http.Request) {
			recorder := httptest.NewRecorder()
			works.ServeHTTP(recorder, r)
			before, _, _ := strings.Cut(recorder.Body.String(), end)
			brokenOff(before[:strings.LastIndex(before, "\n\n")+2])(w, r)
		},
	}
}

// The SDKs of OpenAI, Anthropic, Google and Vercel read streams of channels of each
// dialect, and throw when one fails in the middle or breaks off.
func TestFailuresReachSDKs(t *testing.T) {
	node := caddytest.Program(t, "node")
	installSDKs(t)
	var options strings.Builder
	for _, dialect := range allDialects {
		for name, handler := range strictStreams(dialect) {
			up := caddytest.NewUpstream(t, handler)
			model := string(dialect) + "-" + name
			fmt.Fprintf(&options, "channel %s %s {\napi_key key-of-%s\nmodels %s as real\nspeaks %s\n}\n", model, baseOf(up, dialect), model, model, dialect)
		}
	}
	g := start(t, options.String())
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "failures.mjs", g.URL)
	cmd.Dir = sdkDir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	checks := 0
	for line := range bytes.Lines(out) {
		var check struct{ Name, Error string }
		if err := json.Unmarshal(line, &check); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if checks++; check.Error != "" {
			t.Errorf("%s: %s", check.Name, check.Error)
		}
	}
	if checks != 60 {
		t.Errorf("%d checks ran, want 60", checks)
	}
}

// The model that stands in for another one is asked for where the channel's dialect has
// its name: in the body, or in the path.
func TestFallbackInAnotherDialect(t *testing.T) {
	for _, dialect := range allDialects {
		p := &strictprovider.Provider{Dialect: dialect, Vendor: "v", Text: "Hello there"}
		up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if strings.Contains(r.URL.Path+string(body), "first-model") {
				caddytest.JSON(404, `{"error":{"message":"The model first-model does not exist","code":"model_not_found"}}`)(w, r)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			p.ServeHTTP(w, r)
		})
		g := start(t, "fallback m to n\nchannel a "+baseOf(up, dialect)+" {\napi_key k\nmodels m as first-model\nmodels n as second-model\nspeaks "+string(dialect)+"\n}")
		for client := range requestsIn {
			if client == string(dialect) {
				continue
			}
			for _, streamed := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s from %s, streamed %v", client, dialect, streamed), func(t *testing.T) {
					since := len(up.Requests())
					path, body := requestIn(client, streamed)
					a := g.do(t, http.MethodPost, path, body)
					a.wantStatus(t, 200)
					if got := textOf(a.text); !strings.HasSuffix(got, "Hello there") {
						t.Errorf("the client got %q in %s", got, a.text)
					}
					if strings.Contains(a.text, "-model") {
						t.Errorf("the response names the channel's model: %s", a.text)
					}
					if n := len(up.Requests()) - since; n != 2 {
						t.Errorf("the channel was asked %d times, want twice", n)
					}
					g.Admin(http.MethodDelete, "/llm-gateway/cooldowns")
				})
			}
		}
		if refusals := p.Refusals(); len(refusals) > 0 {
			t.Errorf("%s refused: %q", dialect, refusals)
		}
	}
}
