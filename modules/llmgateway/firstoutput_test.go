package llmgateway

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

const (
	chatPath      = "/v1/chat/completions"
	responsesPath = "/v1/responses"
	messagesPath  = "/v1/messages"
	geminiPath    = "/v1beta/models/m:generateContent"
	geminiStream  = "/v1beta/models/m:streamGenerateContent"
)

// noOutput are responses with status 200 in which nothing is said. They were seen
// at providers, as an error's opening or in the place of one.
var noOutput = []struct{ name, path, contentType, text string }{
	{"no choices", chatPath, "application/json", `{"id":"","choices":[],"usage":{"completion_tokens":0}}`},
	{"null choices", chatPath, "application/json", `{"choices":null}`},
	{"empty object", chatPath, "application/json", `{}`},
	{"null", chatPath, "application/json", `null`},
	{"null as text", chatPath, "text/plain", `null`},
	{"empty object without a type", chatPath, "", `{}`},
	{"a page as text", chatPath, "text/plain; charset=utf-8", `<html>Sign in</html>`},
	{"XML", chatPath, "text/xml", `<error/>`},
	{"[DONE] only", chatPath, "text/event-stream", "data: [DONE]\n\n"},
	{"[DONE] only, as JSON", chatPath, "application/json", "data: [DONE]\n\n"},
	{"[DONE] only, as text", chatPath, "text/plain", "data: [DONE]\n\n"},
	{"a role only", chatPath, "text/event-stream", sse(`{"choices":[{"delta":{"role":"assistant","content":""}}]}`, `[DONE]`)},
	{"a filter's results only", chatPath, "text/event-stream", sse(`{"choices":[],"prompt_filter_results":[{}]}`)},
	{"a role, then an error", chatPath, "text/event-stream", sse(`{"choices":[{"delta":{"role":"assistant"}}]}`,
		`{"error":{"code":429,"message":"x"},"choices":[{"delta":{"content":""},"finish_reason":"error"}]}`)},
	{"comments only", chatPath, "text/event-stream", ": PROCESSING\n\n: PROCESSING\n\n"},
	{"lines, the first one an error", chatPath, "application/x-ndjson", `{"error":{"message":"x"}}` + "\n"},
	{"lines without output", chatPath, "application/x-ndjson", `{"choices":[]}` + "\n" + `{"choices":[]}` + "\n"},
	{"failed behind its opening", responsesPath, "text/event-stream", "event: response.created\n" + sse(`{"type":"response.created","response":{"status":"in_progress","output":[]}}`) +
		"event: response.in_progress\n" + sse(`{"type":"response.in_progress","response":{"status":"in_progress"}}`) +
		"event: response.failed\n" + sse(`{"type":"response.failed","response":{"status":"failed","error":{"code":"rate_limit_exceeded","message":"x"}}}`)},
	{"failed at once", responsesPath, "text/event-stream", "event: response.failed\n" + sse(`{"type":"response.failed","response":{"error":{"code":"server_error","message":"x"}}}`)},
	{"failed, no stream", responsesPath, "application/json", `{"object":"response","status":"failed","error":{"code":"server_error","message":"x"},"output":[]}`},
	{"an opening only", messagesPath, "text/event-stream", "event: message_start\n" + sse(`{"type":"message_start","message":{"content":[]}}`) + "event: ping\n" + sse(`{"type":"ping"}`)},
	{"overloaded behind its opening", messagesPath, "text/event-stream", "event: message_start\n" + sse(`{"type":"message_start","message":{"content":[]}}`) + anthropicError},
	{"no blocks", messagesPath, "application/json", `{"type":"message","content":[],"stop_reason":null}`},
	{"no candidates", geminiPath, "application/json", `{"candidates":[],"usageMetadata":{"promptTokenCount":5}}`},
	{"no parts", geminiPath, "application/json", `{"candidates":[{"content":{"role":"model","parts":[]}}]}`},
	{"an array without output", geminiStream, "application/json", "[{\"candidates\":[]}\n,\n{\"usageMetadata\":{}}]"},
	{"an array with an error", geminiStream, "application/json", `[{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}]`},
	{"an empty stream", geminiStream + "?alt=sse", "text/event-stream", sse(`{"usageMetadata":{"promptTokenCount":5}}`)},
}

// A 200 without output is a failed attempt in every dialect and of any type; the
// client gets the next channel's response, and an error when there is none.
func TestNoOutput(t *testing.T) {
	first := caddytest.NewUpstream(t, caddytest.JSON(200, anyOutput))
	second := caddytest.NewUpstream(t, caddytest.JSON(200, anyOutput))
	for _, tc := range noOutput {
		t.Run(tc.name, func(t *testing.T) {
			first.Handle(func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Content-Type"] = []string{tc.contentType}
				if tc.contentType == "" {
					w.Header()["Content-Type"] = nil
				}
				io.WriteString(w, tc.text)
			})
			g := twoChannels(t, first, second, "")
			a := g.do(t, http.MethodPost, tc.path, `{"model":"m","stream":true}`)
			a.wantStatus(t, 200)
			if a.text != anyOutput {
				t.Errorf("the client got %s, want the second channel's response", a.text)
			}
			alone := start(t, "retries 1\nchannel a "+first.URL+" {\napi_key k\nmodels m\n}")
			if a := alone.do(t, http.MethodPost, tc.path, `{"model":"m","stream":true}`); a.StatusCode < 400 {
				t.Errorf("status %d without another channel, want an error: %s", a.StatusCode, a.text)
			}
		})
	}
}

// What is held of a stream is bounded: one that says nothing for long passes.
func TestHeldIsBounded(t *testing.T) {
	opening := "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"instructions\":\"" + strings.Repeat("x", maxHead) + "\"}}\n\n"
	events := make(chan string, 1)
	up := caddytest.NewUpstream(t, caddytest.SSE(events))
	g := twoChannels(t, up, up, "")
	events <- opening
	resp := g.open(t, t.Context(), responsesPath, streamBody).begin(t)
	wantNext(t, resp, opening)
}

// Time-outs count to the first output, and for a response that is no stream to
// its end.
func TestTimeouts(t *testing.T) {
	created := "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"status\":\"in_progress\"}}\n\n"
	opens := func(w http.ResponseWriter, r *http.Request) {
		events := make(chan string, 1)
		events <- created
		caddytest.SSE(events)(w, r)
	}
	half := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"output":[`)
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	plain := strings.Replace(streamBody, "true", "false", 1)
	for name, tc := range map[string]struct {
		options, body string
		handler       http.HandlerFunc
		after         time.Duration
	}{
		"an opening":         {"", streamBody, opens, 60 * time.Second},
		"no header":          {"", streamBody, caddytest.Hang, 60 * time.Second},
		"configured":         {"first_byte_timeout 7s", streamBody, opens, 7 * time.Second},
		"plain":              {"try_duration 1h", plain, caddytest.Hang, 10 * time.Minute},
		"plain, half of it":  {"try_duration 1h", plain, half, 10 * time.Minute},
		"plain, configured":  {"response_timeout 9s", plain, half, 9 * time.Second},
		"plain, not limited": {"response_timeout off\ntry_duration 1h", plain, caddytest.Hang, 0},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newGated(t), newGated(t)
			g, clock, _ := startAt(t, inTwoChannels(a, b, "heartbeat off\n"+tc.options))
			opened := g.open(t, t.Context(), responsesPath, tc.body)
			a.Next(t)
			a.release <- tc.handler
			b.release <- caddytest.JSON(200, anyOutput)
			if tc.after == 0 {
				clock.Advance(time.Hour)
				if n := len(b.Requests()); n > 0 {
					t.Errorf("%d requests of the second channel, want none", n)
				}
				return
			}
			clock.Advance(tc.after - time.Millisecond)
			if n := len(b.Requests()); n > 0 {
				t.Errorf("%d requests of the second channel before the time, want none", n)
			}
			clock.Advance(time.Millisecond)
			if resp := opened.begin(t); resp.Header.Get("X-Gateway-Channel") != "b" {
				t.Errorf("answered by %q, want b", resp.Header.Get("X-Gateway-Channel"))
			}
			a.WaitLeft(t)
		})
	}
	t.Run("the last candidate", func(t *testing.T) {
		up := newGated(t)
		g, clock, _ := startAt(t, "heartbeat off\nchannel a "+up.URL+" {\napi_key k\nmodels m\n}")
		opened := g.open(t, t.Context(), responsesPath, streamBody)
		up.Next(t)
		clock.Advance(time.Hour)
		up.release <- caddytest.JSON(200, anyOutput)
		if resp := opened.begin(t); resp.StatusCode != 200 {
			t.Errorf("status %d, want 200", resp.StatusCode)
		}
	})
}

// Heartbeats, informational responses of the channel, events and clients that
// leave at any moment do not meet.
func TestHeartbeatsAtOnce(t *testing.T) {
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		for range 3 {
			w.WriteHeader(http.StatusEarlyHints)
			time.Sleep(time.Millisecond)
		}
		if r.ContentLength%3 == 0 {
			caddytest.JSON(503, `{"error":{"message":"overloaded"}}`)(w, r)
			return
		}
		events := make(chan string)
		go func() {
			defer close(events)
			for range 5 {
				select {
				case events <- chunk:
				case <-r.Context().Done():
					return
				}
				time.Sleep(time.Millisecond)
			}
		}()
		caddytest.SSE(events)(w, r)
	})
	g := start(t, "heartbeat 1ms\nclient alice alice-key\nchannel a "+up.URL+" {\napi_key k\nmodels m\n}\nchannel b "+up.URL+"/v1 {\napi_key k\nmodels m\n}")
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%20)*time.Millisecond+time.Second*time.Duration(i%2*20))
			defer cancel()
			body := streamBody + strings.Repeat(" ", i%3)
			req, _ := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+chatPath, strings.NewReader(body))
			req.Header.Set("Authorization", "Bearer alice-key")
			resp, err := g.client.Do(req)
			if err != nil {
				return
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil {
				return
			}
			if rest := strings.NewReplacer(ping, "", chunk, "").Replace(string(text)); rest != "" && !strings.Contains(rest, `"error"`) {
				t.Errorf("events were torn: %q", rest)
			}
		})
	}
	wg.Wait()
}

// A text that comes byte by byte is inspected at once as long as it is short, and then
// so rarely that little is read again.
func TestLooksAreFew(t *testing.T) {
	inspections, inspected := looks{next: shortestText}, 0
	for length := 1; length <= maxHead; length++ {
		due := inspections.due(length)
		if want := length >= shortestText; length <= headStep && due != want {
			t.Fatalf("%d bytes: due %t, want %t", length, due, want)
		}
		if due && length > headStep {
			inspected += length
		}
	}
	if inspected < maxHead/2 || inspected > 20*maxHead {
		t.Errorf("%d bytes were inspected of %d", inspected, maxHead)
	}
}
