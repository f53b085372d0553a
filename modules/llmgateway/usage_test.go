package llmgateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// sse writes events, each given as its data.
func sse(data ...string) string {
	return "data: " + strings.Join(data, "\n\ndata: ") + "\n\n"
}

// usages are answers of all dialects, each with 12 tokens in and 34 out.
var usages = []struct{ name, contentType, text string }{
	{"OpenAI", "application/json", `{"choices":[{"message":{"content":"\"usage\":{\"prompt_tokens\":1}"}}],"usage":{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46,` +
		`"prompt_tokens_details":{"cached_tokens":5,"prompt_tokens":99},"completion_tokens_details":{"reasoning_tokens":7}},"system_fingerprint":"x"}`},
	{"large", "application/json", `{"data":[` + strings.Repeat("0.1,", 100_000) + `0],"usage" : { "prompt_tokens" : 12 , "completion_tokens" : 34 } }`},
	{"Responses", "application/json", `{"error":null,"output":[],"usage":{"input_tokens":12,"input_tokens_details":{"cached_tokens":0},"output_tokens":34},"user":null,"metadata":{}}`},
	{"Anthropic", "application/json", `{"content":[{"type":"tool_use","input":{"usage":{"input_tokens":1}}}],"usage":{"input_tokens":5,"cache_creation_input_tokens":4,"cache_read_input_tokens":3,"output_tokens":34,"service_tier":"standard"}}`},
	{"Gemini", "application/json; charset=UTF-8", `{"candidates":[],"usageMetadata":{"promptTokenCount":12,"candidatesTokenCount":30,"thoughtsTokenCount":4,"totalTokenCount":46,"promptTokensDetails":[{"modality":"TEXT","tokenCount":12}]},"modelVersion":"x"}`},
	{"OpenAI, streamed", "text/event-stream", sse(`{"choices":[{"delta":{"content":"\"usage\":{\"prompt_tokens\":1}"}}],"usage":null}`, `{"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":34}}`, "[DONE]")},
	{"Responses, streamed", "text/event-stream", "event: response.completed\n" + sse(`{"response":{"output":"`+strings.Repeat("x", 100_000)+`","usage":{"input_tokens":12,"output_tokens":34}}}`)},
	{"Anthropic, streamed", "text/event-stream", "event: message_start\n" + sse(`{"message":{"usage":{"input_tokens":12,"output_tokens":1}}}`, `{"type":"content_block_delta"}`, `{"type":"message_delta","usage":{"output_tokens":34}}`)},
	{"Gemini, streamed", "text/event-stream", strings.ReplaceAll(sse(`{"usageMetadata":{"promptTokenCount":12,"candidatesTokenCount":3}}`, `{"usageMetadata":{"promptTokenCount":12,"candidatesTokenCount":34}}`), "\n", "\r\n")},
}

// The tokens are read from the answers of all dialects, whole and streamed,
// and stand in the log.
func TestUsage(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, "http://"+addr+" {\n\tlog\n\tlog_append in {http.llm_gateway.input_tokens}\n\tllm_gateway {\nclient alice alice-key\nchannel a "+up.URL+" {\napi_key k\nmodels m m0 m1 m2 m3 m4 m5 m6 m7 m8\n}\n}\n}")
	g := &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}
	for i, tc := range usages {
		t.Run(tc.name, func(t *testing.T) {
			up.Handle(caddytest.Answer(200, tc.contentType, tc.text))
			model := fmt.Sprintf("m%d", i)
			if a := g.do(t, http.MethodPost, "/v1/embeddings", chatBody(model)); a.text != tc.text {
				t.Errorf("the answer was changed: %.300s", a.text)
			}
			g.Logs.Wait(t, "http.log.access", `"in":12`,
				`"llm_gateway":{"client":"alice","model":"`+model+`","attempts":1,"channel":"a","key":"…","sent_model":"`+model+`","input_tokens":12,"output_tokens":34,"outcome":"complete"}`)
		})
	}
	g.chat(t, "m", "Authorization", "").wantStatus(t, 401)
}

const usageEvent = `data: {"choices":[],"usage":{"prompt_tokens":60,"completion_tokens":41}}` + "\n\n"

// A token limit is charged after the answer, which is never cut, and refuses
// then, in OpenAI's words.
func TestTokenLimit(t *testing.T) {
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Ratelimit-Remaining-Tokens", "999")
		caddytest.JSON(200, `{"choices":[{"message":{"content":"a"}}],"usage":{"prompt_tokens":60,"completion_tokens":41}}`)(w, r)
	})
	g, clock, _ := startAt(t, `
		client bob bob-key {
			limit 10/hour
			limit 200 tokens/hour
		}
		channel a `+up.URL+` {
			api_key k
			models  m
		}`)
	bob := []string{"Authorization", "Bearer bob-key"}
	for _, left := range []string{"200", "99"} {
		a := g.chat(t, "m", bob...)
		a.wantStatus(t, 200)
		if got := a.Header.Values("X-Ratelimit-Remaining-Tokens"); len(got) != 1 || got[0] != left {
			t.Errorf("left: %v, want %s", got, left)
		}
	}
	clock.Advance(10 * time.Minute)
	a := g.chat(t, "m", bob...)
	a.wantError(t, 429, "rate_limit_exceeded")
	for name, want := range map[string]string{
		"Retry-After": "3000", "X-Ratelimit-Limit-Tokens": "200", "X-Ratelimit-Remaining-Tokens": "0", "X-Ratelimit-Reset-Tokens": "50m0s",
		"X-Ratelimit-Limit-Requests": "10", "X-Ratelimit-Remaining-Requests": "8", "X-Ratelimit-Reset-Requests": "50m0s",
	} {
		if got := a.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	clock.Advance(50 * time.Minute)
	g.chat(t, "m", bob...).wantStatus(t, 200)
}

// A key is not used once its quota of tokens is exhausted.
func TestTokenQuota(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, `{"choices":[{"text":"a"}],"usage":{"prompt_tokens":60,"completion_tokens":41}}`))
	g, clock, _ := startAt(t, "channel a "+up.URL+" {\napi_key key-0001 key-0002\nquota 100 tokens/day\nquota 5/day\nmodels m\n}")
	for range 2 {
		g.chat(t, "m").wantStatus(t, 200)
	}
	a := g.chat(t, "m")
	a.wantError(t, 429, "rate_limit_exceeded")
	if got := a.Header.Get("Retry-After"); got != "43200" {
		t.Errorf("Retry-After: %s", got)
	}
	_, body := g.Admin(http.MethodGet, "/llm-gateway/channels")
	var states []channelState
	if err := json.Unmarshal(body, &states); err != nil || len(states[0].Keys[0].Quotas) != 2 || states[0].Keys[0].Quotas[1].Used != 101 || states[0].Keys[0].Quotas[1].Unit != "tokens" {
		t.Errorf("%v: %s", err, body)
	}
	clock.Advance(12 * time.Hour)
	g.chat(t, "m").wantStatus(t, 200)
}

// Streams are asked for their usage for a client with a token limit only, and
// that client does not see it unless it has asked for it itself.
func TestIncludeUsage(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.Events(chunk, usageEvent, "data: [DONE]\n\n"))
	silent := caddytest.NewUpstream(t, caddytest.Events(chunk, usageEvent))
	g := start(t, `
		client alice alice-key
		client bob bob-key {
			limit 1M tokens/month
		}
		channel a `+up.URL+` {
			api_key k
			models  m as a-long-name
		}
		channel b `+silent.URL+` {
			api_key k
			models  other
			include_usage off
		}`)
	bob := []string{"Authorization", "Bearer bob-key"}
	without, with := chunk+"data: [DONE]\n\n", chunk+usageEvent+"data: [DONE]\n\n"
	used := 0
	for _, tc := range []struct {
		name, body, sent, want string
		header                 []string
		path                   string
	}{
		{"with a limit", `{"model":"m","stream": true }`, `{"model":"a-long-name","stream": true,"stream_options":{"include_usage":true} }`, without, bob, "/v1/chat/completions"},
		{"stream first", `{"stream":true,"model":"m"}`, `{"stream":true,"stream_options":{"include_usage":true},"model":"a-long-name"}`, without, bob, "/v1/chat/completions"},
		{"other options", `{"stream":true,"stream_options":{"x":1} ,"model":"m"}`, `{"stream":true,"stream_options":{"include_usage":true,"x":1} ,"model":"a-long-name"}`, without, bob, "/v1/completions"},
		{"refused by the client", `{"model":"m","stream_options":{"include_usage":false},"stream":true}`, `{"model":"a-long-name","stream_options":{"include_usage":true},"stream":true}`, without, bob, "/v1/completions"},
		{"null", `{"model":"m","stream_options":null,"stream":true}`, `{"model":"a-long-name","stream_options":{"include_usage":true},"stream":true}`, without, bob, "/v1/completions"},
		{"asked for by the client", `{"model":"m","stream_options":{"include_usage":true},"stream":true}`, `{"model":"a-long-name","stream_options":{"include_usage":true},"stream":true}`, with, bob, "/v1/chat/completions"},
		{"without a limit", `{"model":"m","stream":true}`, `{"model":"a-long-name","stream":true}`, with, nil, "/v1/chat/completions"},
		{"no stream", `{"model":"m","stream":false}`, `{"model":"a-long-name","stream":false}`, with, bob, "/v1/chat/completions"},
		{"another endpoint", `{"model":"m","stream":true}`, `{"model":"a-long-name","stream":true}`, with, bob, "/v1/images/generations"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := g.do(t, http.MethodPost, tc.path, tc.body, tc.header...)
			a.wantStatus(t, 200)
			if a.text != tc.want {
				t.Errorf("got %s, want %s", a.text, tc.want)
			}
			if got := string(up.Next(t).Body); got != tc.sent {
				t.Errorf("sent\n     %s\nwant %s", got, tc.sent)
			}
			if tc.header != nil {
				used += 101
			}
		})
	}
	t.Run("a channel that refuses it", func(t *testing.T) {
		a := g.do(t, http.MethodPost, "/v1/chat/completions", `{"model":"other","stream":true}`, bob...)
		if got := string(silent.Next(t).Body); got != `{"model":"other","stream":true}` || a.text != chunk+usageEvent {
			t.Errorf("sent %s, got %s", got, a.text)
		}
		if got, want := a.Header.Get("X-Ratelimit-Remaining-Tokens"), fmt.Sprint(1_000_000-used); got != want {
			t.Errorf("left %s, want %s", got, want)
		}
	})
}

// Events that are not the extra one pass as they come, also in pieces, and a
// stream that is cut off ends as cut off.
func TestUsageFilter(t *testing.T) {
	events := make(chan string)
	up := caddytest.NewUpstream(t, caddytest.SSE(events))
	g := start(t, "client bob bob-key {\nlimit 1M tokens/month\n}\nchannel a "+up.URL+" {\napi_key k\nmodels m\n}")
	req, _ := http.NewRequest(http.MethodPost, g.URL+"/v1/chat/completions", strings.NewReader(`{"model":"m","stream":true}`))
	req.Header.Set("Authorization", "Bearer bob-key")
	go func() { events <- chunk }()
	resp, err := g.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	long := "data: " + strings.Repeat("x", 100_000) + "\n\n"
	both := `data: {"choices":[{}],"usage":{"prompt_tokens":1}}` + "\n\n"
	for _, step := range [][2]string{
		{"", chunk},
		{"data: a", ""},
		{"b\r\n\r", ""},
		{"\n: x\n\n", "data: ab\r\n\r\n: x\n\n"},
		{usageEvent[:20], ""},
		{usageEvent[20:] + chunk, chunk},
		{long, long},
		{both + usageEvent, both},
	} {
		if step[0] != "" {
			events <- step[0]
		}
		got := make([]byte, len(step[1]))
		if _, err := readFull(resp, got); err != nil || string(got) != step[1] {
			t.Fatalf("after %.100q: got %.100q (%v)", step[0], got, err)
		}
	}
	close(events)
	if n, err := resp.Body.Read(make([]byte, 1)); n > 0 || err != io.EOF {
		t.Errorf("after the last event: %d bytes, %v", n, err)
	}

	up.Handle(func(w http.ResponseWriter, r *http.Request) {
		caddytest.Events(chunk, usageEvent, "data: cut")(w, r)
		panic(http.ErrAbortHandler)
	})
	req, _ = http.NewRequest(http.MethodPost, g.URL+"/v1/chat/completions", strings.NewReader(`{"model":"m","stream":true}`))
	req.Header.Set("Authorization", "Bearer bob-key")
	if resp, err = g.client.Do(req); err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != chunk+brokeOff {
		t.Errorf("the stream ended with %v after %q", err, got)
	}
}
