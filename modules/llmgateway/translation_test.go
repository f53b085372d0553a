package llmgateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/bodies"
	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
)

// A request of each dialect, with a system text, a user's and a tool.
var requestsIn = map[string]struct{ path, body string }{
	"chat":      {"/v1/chat/completions", `{"model":"m"%s,"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}],"tools":[{"type":"function","function":{"name":"look","parameters":{"type":"object"}}}]}`},
	"responses": {"/v1/responses", `{"model":"m"%s,"instructions":"Be brief.","input":"Hi","tools":[{"type":"function","name":"look","parameters":{"type":"object"}}]}`},
	"messages":  {"/v1/messages", `{"model":"m"%s,"max_tokens":100,"system":"Be brief.","messages":[{"role":"user","content":"Hi"}],"tools":[{"name":"look","input_schema":{"type":"object"}}]}`},
	"gemini":    {"/v1beta/models/m:generateContent", `{"systemInstruction":{"parts":[{"text":"Be brief."}]},"contents":[{"role":"user","parts":[{"text":"Hi"}]}],"tools":[{"functionDeclarations":[{"name":"look","parameters":{"type":"OBJECT"}}]}]}`},
}

// requestIn returns a request of a dialect.
func requestIn(dialect string, streamed bool) (path, body string) {
	request := requestsIn[dialect]
	switch {
	case streamed && dialect == "gemini":
		return "/v1beta/models/m:streamGenerateContent?alt=sse", request.body
	case streamed:
		return request.path, strings.Replace(request.body, "%s", `,"stream":true`, 1)
	}
	return request.path, strings.Replace(request.body, "%s", "", 1)
}

// What a provider of each dialect answers, whole and streamed.
var responsesIn = map[string]struct{ path, whole, stream string }{
	"chat": {
		"/v1/chat/completions",
		`{"id":"c1","object":"chat.completion","created":1,"model":"real","choices":[{"index":0,"message":{"role":"assistant","content":"Hello there"},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}}`,
		sse(`{"id":"c1","object":"chat.completion.chunk","created":1,"model":"real","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}`, `{"id":"c1","choices":[{"index":0,"delta":{"content":"Hello "}}]}`, `{"id":"c1","choices":[{"index":0,"delta":{"content":"there"},"finish_reason":"stop"}]}`, `{"id":"c1","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":3}}`) + "data: [DONE]\n\n",
	},
	"responses": {
		"/v1/responses",
		`{"id":"r1","object":"response","created_at":1,"status":"completed","model":"real","output":[{"type":"message","id":"m1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Hello there","annotations":[]}]}],"usage":{"input_tokens":12,"output_tokens":3,"total_tokens":15}}`,
		sse(`{"type":"response.created","response":{"id":"r1","status":"in_progress","output":[]}}`, `{"type":"response.output_item.added","output_index":0,"item":{"type":"message","id":"m1","role":"assistant","content":[]}}`, `{"type":"response.output_text.delta","item_id":"m1","output_index":0,"content_index":0,"delta":"Hello there"}`, `{"type":"response.completed","response":{"id":"r1","status":"completed","output":[{"type":"message","id":"m1","role":"assistant","content":[{"type":"output_text","text":"Hello there"}]}],"usage":{"input_tokens":12,"output_tokens":3,"total_tokens":15}}}`),
	},
	"messages": {
		"/v1/messages",
		`{"id":"msg_1","type":"message","role":"assistant","model":"real","content":[{"type":"text","text":"Hello there"}],"stop_reason":"end_turn","usage":{"input_tokens":12,"output_tokens":3}}`,
		sse(`{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"real","content":[],"usage":{"input_tokens":12,"output_tokens":1}}}`, `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
			`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello there"}}`, `{"type":"content_block_stop","index":0}`, `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":3}}`, `{"type":"message_stop"}`),
	},
	"gemini": {
		"/v1beta/models/real:generateContent",
		`{"candidates":[{"content":{"role":"model","parts":[{"text":"Hello there"}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":12,"candidatesTokenCount":3,"totalTokenCount":15}}`,
		sse(`{"candidates":[{"content":{"role":"model","parts":[{"text":"Hello "}]}}]}`, `{"candidates":[{"content":{"role":"model","parts":[{"text":"there"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":12,"candidatesTokenCount":3,"totalTokenCount":15}}`),
	},
}

// anyResponse has the texts of responses in all dialects, whole and streamed.
type anyResponse struct {
	Choices []struct {
		Message, Delta struct{ Content string }
	}
	Type       string
	Delta      json.RawMessage
	Content    []struct{ Text string }
	Output     []struct{ Content []struct{ Text string } }
	Candidates []struct {
		Content struct{ Parts []struct{ Text string } }
	}
}

func (e *anyResponse) text() (text string) {
	for _, c := range e.Choices {
		text += c.Message.Content + c.Delta.Content
	}
	for _, c := range e.Content {
		text += c.Text
	}
	for _, item := range e.Output {
		for _, c := range item.Content {
			text += c.Text
		}
	}
	for _, c := range e.Candidates {
		for _, part := range c.Content.Parts {
			text += part.Text
		}
	}
	var plain string
	var block struct{ Text string }
	switch {
	case e.Type == "response.output_text.delta" && json.Unmarshal(e.Delta, &plain) == nil:
		text += plain
	case e.Type == "content_block_delta" && json.Unmarshal(e.Delta, &block) == nil:
		text += block.Text
	}
	return text
}

// textOf puts together what a response in any dialect says.
func textOf(body string) (text string) {
	if !strings.Contains(body, "data:") {
		body = "data:" + body
	}
	for line := range strings.Lines(body) {
		var e anyResponse
		if data, ok := strings.CutPrefix(line, "data:"); ok && json.Unmarshal([]byte(data), &e) == nil {
			text += e.text()
		}
	}
	return text
}

// speaking runs a gateway with a channel that speaks one dialect only.
func speaking(t *testing.T, up *caddytest.Upstream, dialect string) *testGateway {
	base := map[string]string{"messages": "", "gemini": "/v1beta"}
	path, ok := base[dialect]
	if !ok {
		path = "/v1"
	}
	return start(t, "channel a "+up.URL+path+" {\napi_key channel-key-1\nmodels m as real\nspeaks "+dialect+"\n}")
}

// Clients of each dialect are answered by channels of each, streamed and not, and
// the channel gets its own URL, key and model.
func TestTranslation(t *testing.T) {
	for channel, response := range responsesIn {
		up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.String(), "stream") || r.Header.Get("Accept") == "text/event-stream" {
				caddytest.Events(response.stream)(w, r)
				return
			}
			caddytest.JSON(200, response.whole)(w, r)
		})
		g := speaking(t, up, channel)
		for client := range requestsIn {
			for _, streamed := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s to %s, streamed %v", client, channel, streamed), func(t *testing.T) {
					path, body := requestIn(client, streamed)
					since := len(up.Requests())
					a := g.do(t, http.MethodPost, path, body, "Accept", map[bool]string{true: "text/event-stream", false: "application/json"}[streamed])
					a.wantStatus(t, 200)
					if got := textOf(a.text); got != "Hello there" {
						t.Errorf("the response says %q: %s", got, a.text)
					}
					if got := a.Header.Get("Content-Type"); strings.HasPrefix(got, "text/event-stream") != streamed {
						t.Errorf("Content-Type %s", got)
					}
					sent := up.Requests()[since]
					want := response.path
					if channel == "gemini" && streamed {
						want = "/v1beta/models/real:streamGenerateContent?alt=sse"
					}
					if sent.URI != want {
						t.Errorf("the channel was asked at %s, want %s", sent.URI, want)
					}
					key := map[string]string{"messages": "X-Api-Key", "gemini": "X-Goog-Api-Key", "chat": "Authorization", "responses": "Authorization"}[channel]
					if !strings.HasSuffix(sent.Header.Get(key), "channel-key-1") {
						t.Errorf("%s: %q", key, sent.Header.Get(key))
					}
					for _, text := range []string{"Be brief.", "Hi", "look"} {
						if !strings.Contains(string(sent.Body), text) {
							t.Errorf("the channel got nothing of %q: %s", text, sent.Body)
						}
					}
				})
			}
		}
	}
}

// The same dialect is passed on byte for byte.
func TestSpokenDialectIsNotTranslated(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "channel a "+up.URL+"/v1 {\napi_key k\nmodels m\nspeaks responses chat\n}")
	body := `{ "model" : "m", "messages":[{"role":"user","content":"Hi"}], "odd_field": 1.50 }`
	a := g.do(t, http.MethodPost, "/v1/chat/completions", body)
	a.wantStatus(t, 200)
	if a.text != completion {
		t.Errorf("the response was changed: %s", a.text)
	}
	if got := string(up.Next(t).Body); got != body {
		t.Errorf("the request was changed: %s", got)
	}
}

// A retry may go to a channel of another dialect, and refusals come in the
// client's.
func TestTranslationOfRefusals(t *testing.T) {
	bad := caddytest.NewUpstream(t, caddytest.JSON(429, `[{"error":{"code":429,"message":"Quota exceeded","status":"RESOURCE_EXHAUSTED"}}]`))
	good := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	channels := "channel bad " + bad.URL + "/v1beta {\napi_key k1\nmodels m\nspeaks gemini\n}\n"
	path, body := requestIn("messages", false)
	g := start(t, "lb_policy first\n"+channels+"channel good "+good.URL+"/v1 {\napi_key k2\nmodels m\nspeaks chat\n}")
	a := g.do(t, http.MethodPost, path, body)
	a.wantStatus(t, 200)
	if textOf(a.text) != "hello" || a.Header.Get("X-Gateway-Channel") != "good" || !strings.Contains(a.text, `"type":"message"`) {
		t.Errorf("from %s: %s", a.Header.Get("X-Gateway-Channel"), a.text)
	}
	if n := len(bad.Requests()); n != 1 {
		t.Errorf("the first channel was asked %d times", n)
	}
	alone := start(t, "wait off\n"+channels)
	a = alone.do(t, http.MethodPost, path, body)
	a.wantStatus(t, 429)
	if !strings.Contains(a.text, `"type":"error"`) || !strings.Contains(a.text, "rate_limit_error") || !strings.Contains(a.text, "Quota exceeded") {
		t.Errorf("not an error of Anthropic's: %s", a.text)
	}
}

// What would change the meaning is refused, in the client's words, and what is
// left out is named.
func TestTranslationLosses(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, responsesIn["messages"].whole))
	g := speaking(t, up, "messages")
	a := g.do(t, http.MethodPost, "/v1/chat/completions", `{"model":"m","n":3,"messages":[{"role":"user","content":"Hi"}]}`)
	a.wantStatus(t, 400)
	if len(up.Requests()) > 0 {
		t.Error("the channel was asked")
	}
	a = g.do(t, http.MethodPost, "/v1/chat/completions", `{"model":"m","logit_bias":{"1":2},"messages":[{"role":"user","content":"Hi"}]}`)
	a.wantStatus(t, 200)
	if got := a.Header.Get("X-Gateway-Dropped"); got != "logit_bias" {
		t.Errorf("X-Gateway-Dropped: %q", got)
	}
}

// A stream that breaks off in the channel's dialect ends with the failure event of
// the client's.
func TestTranslatedStreamBreaksOff(t *testing.T) {
	whole := responsesIn["chat"].stream
	up := caddytest.NewUpstream(t, caddytest.CutOff("text/event-stream", whole[:strings.Index(whole, "there")]))
	g := speaking(t, up, "chat")
	path, body := requestIn("messages", true)
	a := g.do(t, http.MethodPost, path, body)
	a.wantStatus(t, 200)
	if textOf(a.text) != "Hello " || !strings.Contains(a.text, "event: error") || strings.Contains(a.text, "message_stop") {
		t.Errorf("the client got %s", a.text)
	}
}

// For Responses that event belongs to the response that has begun.
func TestFailureOfTranslatedResponse(t *testing.T) {
	whole := responsesIn["chat"].stream
	up := caddytest.NewUpstream(t, caddytest.CutOff("text/event-stream", whole[:strings.Index(whole, "there")]))
	g := speaking(t, up, "chat")
	path, body := requestIn("responses", true)
	a := g.do(t, http.MethodPost, path, body)
	a.wantStatus(t, 200)
	type event struct {
		Type     string
		Number   int `json:"sequence_number"`
		Response struct {
			ID        string
			CreatedAt int64 `json:"created_at"`
		}
	}
	var events []event
	for line := range strings.Lines(a.text) {
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			var e event
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				t.Fatalf("%v: %s", err, data)
			}
			if e.Number != len(events) {
				t.Errorf("event %d has the number %d", len(events), e.Number)
			}
			events = append(events, e)
		}
	}
	if len(events) < 3 {
		t.Fatalf("the client got %s", a.text)
	}
	first, last := events[0], events[len(events)-1]
	if last.Type != "response.failed" || last.Response != first.Response || first.Response.ID == "" {
		t.Errorf("the first event is %+v, the last %+v, want a failure of the same response", first, last)
	}
}

// A channel without a call that counts tokens gets none: the count is estimated.
func TestTokenCountsAreEstimated(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := speaking(t, up, "chat")
	text := strings.Repeat("word ", 400)
	for path, field := range map[string]string{"/v1/messages/count_tokens": "input_tokens", "/v1beta/models/m:countTokens": "totalTokens", "/v1/responses/input_tokens": "input_tokens"} {
		a := g.do(t, http.MethodPost, path, `{"model":"m","messages":[{"role":"user","content":"`+text+`"}]}`)
		a.wantStatus(t, 200)
		var counted map[string]any
		if err := json.Unmarshal([]byte(a.text), &counted); err != nil {
			t.Fatal(err)
		}
		if n, _ := counted[field].(float64); n < 200 || n > 2000 || a.Header.Get("X-Gateway-Estimate") != "true" {
			t.Errorf("%s: %s, X-Gateway-Estimate %s", path, a.text, a.Header.Get("X-Gateway-Estimate"))
		}
	}
	if len(up.Requests()) > 0 {
		t.Error("the channel was asked")
	}
}

func TestSpeaksMistakes(t *testing.T) {
	mistake := func(speaks, says string) caddytest.Mistake {
		return caddytest.Mistake{Name: speaks, Line: 7, Says: []string{says}, Caddyfile: "http://127.0.0.1:1 {\nllm_gateway {\nclient me abc12345\nchannel a https://a.example/v1 {\napi_key abc12345\nmodels m\nspeaks " + speaks + "\n}\n}\n}\n"}
	}
	caddytest.Mistakes(t, []caddytest.Mistake{
		mistake("openai", `"openai" is no dialect`),
		mistake("https://a.example/v1", "speaks needs one of chat, responses, messages and gemini"),
		mistake("messages gemini https://a.example/v1", "holds for one dialect"),
		mistake("messages https://a.example/v1/messages", "leave it out"),
		mistake("chat auth basic", "auth is one of"),
	})
}

// Signatures of a translated response, which the client sends back, do not go to a
// channel that speaks its dialect: it knows nothing of them.
func TestForeignSignatures(t *testing.T) {
	thinking := `{"candidates":[{"content":{"role":"model","parts":[{"text":"Let me think.","thought":true},{"text":"Hello","thoughtSignature":"c2lnbmF0dXJl"},{"functionCall":{"name":"look","args":{}},"thoughtSignature":"c2lnbmF0dXJl"}]},"finishReason":"STOP","index":0}]}`
	other := caddytest.NewUpstream(t, caddytest.JSON(200, thinking))
	own := caddytest.NewUpstream(t, caddytest.JSON(200, responsesIn["messages"].whole))
	g := start(t, "channel a "+other.URL+"/v1beta {\napi_key k1\nmodels first\nspeaks gemini\n}\nchannel b "+own.URL+" {\napi_key k2\nmodels second\nspeaks messages\n}")
	a := g.do(t, http.MethodPost, "/v1/messages", `{"model":"first","max_tokens":9,"thinking":{"type":"enabled","budget_tokens":2000},"messages":[{"role":"user","content":"Hi"}]}`)
	a.wantStatus(t, 200)
	var message struct{ Content json.RawMessage }
	if err := json.Unmarshal([]byte(a.text), &message); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(message.Content), neutral.SignatureMark) {
		t.Fatalf("the response has no signature: %s", message.Content)
	}
	turn := `{"model":"second","max_tokens":9,"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":` + string(message.Content) + `}]}`
	g.do(t, http.MethodPost, "/v1/messages", turn).wantStatus(t, 200)
	if got := string(own.Next(t).Body); strings.Contains(got, neutral.SignatureMark) || !strings.Contains(got, `"second"`) || !strings.Contains(got, "Hello") {
		t.Errorf("the channel got %s", got)
	}
}

// A channel that does not know a path is named once, with what would help.
func TestSpeaksIsAdvised(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.Answer(404, "text/plain", "404 page not found"))
	g := start(t, "channel a "+up.URL+"/v1 {\napi_key k\nmodels m\n}")
	path, body := requestIn("messages", false)
	for range 3 {
		g.do(t, http.MethodPost, path, body).wantStatus(t, 404)
	}
	if n := g.Logs.Count("channel does not know this dialect", "speaks chat"); n != 1 {
		t.Errorf("%d lines, want 1", n)
	}
}

// The memory of translations is a part of that for bodies, and given back.
func TestTranslationsAreBounded(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := speaking(t, up, "chat")
	before, _ := bodies.Acquire().Budget.Used()
	defer bodies.Release()
	path, body := requestIn("messages", false)
	g.do(t, http.MethodPost, path, strings.Replace(body, "Hi", strings.Repeat("Hi ", 100_000), 1)).wantStatus(t, 200)
	g.Logs.Wait(t, "http.log.access", `"status":200`)
	shared := bodies.Acquire()
	defer bodies.Release()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		after, _ := shared.Budget.Used()
		if after == before {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes in use after the request, %d before", after, before)
		}
	}
	rest := int64(1 << 20)
	for shared.Budget.Reserve(rest) {
		defer shared.Budget.Release(rest)
	}
	a := g.do(t, http.MethodPost, path, strings.Replace(body, "Hi", strings.Repeat("Hi ", 400_000), 1))
	a.wantStatus(t, 503)
}

// A text is found wherever the pieces of a body end.
func TestContains(t *testing.T) {
	const text = "needle"
	for _, size := range []int{0, 1, copyBufferSize - 7, copyBufferSize - 3, copyBufferSize, 3*copyBufferSize - 1} {
		hay := strings.Repeat("n", size)
		for name, wrap := range map[string]func(io.Reader) io.Reader{"whole": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "data with its end": iotest.DataErrReader} {
			if !contains(wrap(strings.NewReader(hay+text+hay)), text) {
				t.Errorf("%s: not found behind %d bytes", name, size)
			}
			if contains(wrap(strings.NewReader(hay+text[:5]+hay)), text) {
				t.Errorf("%s: found in %d bytes without it", name, 2*size)
			}
		}
	}
}
