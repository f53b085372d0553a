package llmgateway

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// used returns the tokens that a client, or else the first key of a channel, has
// used.
func used(name string) (tokens int64) {
	gateways.Range(func(_, value any) bool {
		h := value.(*gateway)
		for _, c := range h.auth.clients {
			if c.Name == name {
				tokens = c.tokens[0].Used()
			}
		}
		if c := channelNamed(h.channels, name); c != nil {
			tokens = c.keys()[0].tokens[0].Used()
		}
		return true
	})
	return tokens
}

// wantUsed waits until so many tokens are charged, which is after the client has
// the response, and checks that it stays so.
func wantUsed(t *testing.T, name string, from, to int64) {
	t.Helper()
	var got int64
	for range 300 {
		if got = used(name); got >= from && got > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if got < from || got > to {
		t.Errorf("%s has used %d tokens, want %d to %d", name, got, from, to)
	}
}

// thousand is a thousand tokens of text.
var thousand = strings.Repeat("word ", 800)

// prompt is a request with a thousand tokens, and a little more for the names of
// its fields.
func prompt(fields string) string {
	return `{"model":"m",` + fields + `"messages":[{"role":"user","content":"` + thousand + `"}]}`
}

// deltas are events with a hundred tokens of text in all, without usage.
var deltas = sse(`{"choices":[{"index":0,"delta":{"role":"assistant","content":"`+thousand[:200]+`"}}]}`,
	`{"choices":[{"index":0,"delta":{"content":"`+thousand[:200]+`"}}]}`, `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`)

const bigUsage = `{"choices":[],"usage":{"prompt_tokens":100000,"completion_tokens":250,"total_tokens":100250}}`

// bigWhole is a response that is no stream.
var bigWhole = strings.Replace(bigUsage, `[]`, `[{"message":{"content":"a"}}]`, 1)

func zipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.String()
}

// response is what a channel answers, with its Content-Type.
type response struct{ header, text string }

type chargedResponse struct {
	name, path, body string
	response
	from, to int64 // tokens
}

// chargedResponses are requests, their responses, and how many tokens they are charged.
func chargedResponses() []chargedResponse {
	plain := func(text string) response { return response{"application/json", text} }
	events := func(text string) response { return response{"text/event-stream", text} }
	metadata := `,"metadata":{` + strings.Repeat(`"key":"`+strings.Repeat("m", 512)+`",`, 16) + `"x":""}`
	content := `{"choices":[{"message":{"role":"assistant","content":"` + thousand[:400] + `"}}]`
	return []chargedResponse{
		{"stated", "/v1/chat/completions", prompt(""), plain(content + `,"usage":{"prompt_tokens":100000,"completion_tokens":250}}`), 100_250, 100_250},
		{"stated in a stream", "/v1/chat/completions", prompt(`"stream":true,`), events(deltas + sse(bigUsage, "[DONE]")), 100_250, 100_250},
		{"stated in a stream, no spaces", "/v1//chat/completions/", prompt(`"stream":true,`), events(deltas + sse(bigUsage, "[DONE]")), 100_250, 100_250},
		{"behind the usage", "/v1/responses", prompt(""), plain(`{"output":["a"],"usage":{"input_tokens":1000,"output_tokens":500}` + metadata + `}`), 1500, 1500},
		{"before the usage", "/v1/responses", prompt(""), plain(`{"output":["a"]` + metadata + `,"usage":{"input_tokens":1000,"output_tokens":500}}`), 1500, 1500},
		{"in the echo of the client", "/v1/responses", prompt(""), plain(`{"output":["a"],"usage":{"input_tokens":1000,"output_tokens":500},"metadata":{"usage":{"input_tokens":1}}}`), 1500, 1500},
		{"embeddings", "/v1/embeddings", prompt(""), plain(`{"data":[{"embedding":[0.1,0.2]}],"usage":{"prompt_tokens":900,"total_tokens":900}}`), 900, 900},
		{"a total only", "/v1/embeddings", prompt(""), plain(`{"data":[],"usage":{"total_tokens":900}}`), 900, 900},

		{"a stream as text", "/v1/chat/completions", prompt(`"stream":true,`), response{"text/plain; charset=utf-8", deltas + sse(bigUsage, "[DONE]")}, 100_250, 100_250},
		{"a stream without a type", "/v1/chat/completions", prompt(`"stream":true,`), response{"", deltas + sse(bigUsage, "[DONE]")}, 100_250, 100_250},
		{"JSON as text", "/v1/chat/completions", prompt(""), response{"text/plain", bigWhole}, 100_250, 100_250},
		{"JSON without a type", "/v1/chat/completions", prompt(""), response{"", "\n" + bigWhole}, 100_250, 100_250},
		{"JSON as bytes", "/v1/chat/completions", prompt(""), response{"application/octet-stream", bigWhole}, 100_250, 100_250},

		{"none", "/v1/chat/completions", prompt(""), plain(content + "}"), 1100, 1110},
		{"none in a stream", "/v1/chat/completions", prompt(`"stream":true,`), events(deltas), 1100, 1115},
		{"none in another stream", "/v1/responses", prompt(`"stream":true,`), events(sse(`{"type":"response.output_text.delta","delta":"` + thousand[:400] + `"}`)), 1100, 1115},
		{"an event a token", "/v1/chat/completions", prompt(`"stream":true,`), events(strings.Repeat(sse(`{"choices":[{"delta":{"content":"a"}}]}`), 300)), 1300, 1315},
		{"zeros", "/v1/chat/completions", prompt(""), plain(content + `,"usage":{"prompt_tokens":0,"completion_tokens":0}}`), 1100, 1110},
		{"negative", "/v1/chat/completions", prompt(""), plain(content + `,"usage":{"prompt_tokens":-1000,"completion_tokens":-100}}`), 1100, 1110},
		{"absurd", "/v1/chat/completions", prompt(""), plain(content + `,"usage":{"prompt_tokens":1e308,"completion_tokens":9223372036854775807}}`), 1100, 1110},
		{"strings", "/v1/chat/completions", prompt(""), plain(content + `,"usage":{"prompt_tokens":"1","completion_tokens":null}}`), 1100, 1110},
		{"too little", "/v1/chat/completions", prompt(""), plain(content + `,"usage":{"prompt_tokens":1,"completion_tokens":1}}`), 60, 70},
		{"at the beginning only", "/v1/messages", prompt(`"stream":true,`), events(sse(`{"type":"message_start","message":{"usage":{"input_tokens":7000,"output_tokens":1}}}`,
			`{"type":"content_block_delta","delta":{"type":"text_delta","text":"`+thousand[:400]+`"}}`)), 7100, 7100},
		{"text", "/v1/audio/transcriptions", prompt(""), response{"text/plain", thousand[:400]}, 1100, 1110},
		{"sound", "/v1/audio/speech", prompt(""), response{"audio/mpeg", strings.Repeat("\xff\xfb", 25600)}, 1100, 1110},
		{"bytes", "/v1/audio/speech", prompt(""), response{"application/octet-stream", strings.Repeat("\xff\x00", 25600)}, 1100, 1110},
		{"an image in base64", "/v1/images/generations", prompt(""), plain(`{"data":[{"b64_json":"` + strings.Repeat("A", 51200) + `"}]}`), 1100, 1110},
		{
			"an image in the prompt", "/v1/chat/completions", `{"model":"m","messages":[{"content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgoA` + strings.Repeat("A", 51200) + `"}}]}]}`,
			plain(`{"choices":[{"message":{"content":"A cat"}}]}`), 100, 120,
		},

		{"a count", "/v1/messages/count_tokens", prompt(""), plain(`{"input_tokens":1000}`), 0, 0},
		{"an error in a 200", "/v1/chat/completions", prompt(""), plain(`{"error":{"message":"boom"}}`), 0, 0},
		{"an error event", "/v1/chat/completions", prompt(`"stream":true,`), events(sse(`{"error":{"message":"boom"}}`)), 0, 0},
	}
}

// Whatever a client with a token limit asks for and wherever, and whatever a
// provider states, the tokens are charged: as stated, or as the bytes of both
// directions amount to.
func TestTokensAreCharged(t *testing.T) {
	for _, tc := range chargedResponses() {
		t.Run(tc.name, func(t *testing.T) {
			up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Content-Type"] = []string{tc.header}
				if tc.header == "" {
					w.Header()["Content-Type"] = nil
				}
				io.WriteString(w, tc.text)
			})
			g := start(t, `
				client bob bob-key {
					limit 10M tokens/month
				}
				channel a `+up.URL+` {
					api_key k
					quota   10M tokens/month
					models  m
				}`)
			a := g.do(t, http.MethodPost, tc.path, tc.body, "Authorization", "Bearer bob-key")
			status := 200
			if tc.name == "an error in a 200" || tc.name == "an error event" {
				status = 502
			}
			a.wantStatus(t, status)
			g.Logs.Wait(t, "http.log.access", fmt.Sprintf(`"status":%d`, status))
			wantUsed(t, "bob", tc.from, tc.to)
			if client, key := used("bob"), used("a"); client != key {
				t.Errorf("the client is charged %d, the key %d", client, key)
			}
		})
	}
	zippedLength := int64(len(zipped(deltas)))
	for coding, to := range map[string][2]int64{"gzip": {1100, 1115}, "an-unknown-one": {1000 + zippedLength/4, 1010 + zippedLength/4}} {
		t.Run("compressed by "+coding, func(t *testing.T) {
			up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Encoding", coding)
				caddytest.Answer(200, "text/event-stream", zipped(deltas))(w, r)
			})
			g := start(t, "client bob bob-key {\nlimit 10M tokens/month\n}\nchannel a "+up.URL+" {\napi_key k\nmodels m\n}")
			g.do(t, http.MethodPost, "/v1/chat/completions", prompt(""), "Authorization", "Bearer bob-key", "Accept-Encoding", "gzip").wantStatus(t, 200)
			wantUsed(t, "bob", to[0], to[1])
		})
	}
}

// A client that leaves before the usage comes pays for what it has asked and
// what it has got by then.
func TestTokensOfClientThatLeaves(t *testing.T) {
	for name, tc := range map[string]struct {
		events   []string // before it leaves
		from, to int64
	}{
		"before the response":    {nil, 1000, 1015},
		"in the middle":          {[]string{deltas[:strings.Index(deltas, "\n\n")+2]}, 1050, 1065},
		"before the usage":       {[]string{deltas}, 1100, 1115},
		"in the middle of usage": {[]string{deltas, "data: " + bigUsage[:40]}, 1100, 1115},
	} {
		t.Run(name, func(t *testing.T) {
			stream := make(chan string)
			up := caddytest.NewUpstream(t, caddytest.SSE(stream))
			if tc.events == nil {
				up.Handle(caddytest.Hang)
			}
			g := start(t, `
				client bob bob-key {
					limit 10M tokens/month
				}
				channel a `+up.URL+` {
					api_key k
					quota   10M tokens/month
					models  m
				}`)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			req, _ := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+"/v1/chat/completions", strings.NewReader(prompt(`"stream":true,`)))
			req.Header.Set("Authorization", "Bearer bob-key")
			left := make(chan struct{})
			go func() {
				defer close(left)
				resp, err := g.client.Do(req)
				if err != nil {
					return
				}
				defer resp.Body.Close()
				got := make([]byte, len(deltas))
				if name == "in the middle" {
					got = got[:len(tc.events[0])]
				}
				_, _ = io.ReadFull(resp.Body, got)
				cancel()
			}()
			up.Next(t)
			for _, event := range tc.events {
				select {
				case stream <- event:
				case <-left:
				}
			}
			if tc.events == nil {
				cancel()
			}
			<-left
			up.WaitLeft(t)
			wantUsed(t, "bob", tc.from, tc.to)
			wantUsed(t, "a", tc.from, tc.to)
			if got := g.Metric("caddy_llm_gateway_estimated_tokens_total"); got < float64(tc.from) {
				t.Errorf("the metric of estimates is %v", got)
			}
		})
	}
}

// Without a token limit or quota nothing is estimated.
func TestNoEstimates(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.Events(deltas))
	g := start(t, "client alice alice-key {\nlimit 10/day\n}\nchannel a "+up.URL+" {\napi_key k\nquota 100/day\nmodels m\n}")
	before := g.Metric("caddy_llm_gateway_estimated_tokens_total")
	g.do(t, http.MethodPost, "/v1/chat/completions", prompt("")).wantStatus(t, 200)
	g.Logs.Wait(t, "http.log.access", `"input_tokens":0,"output_tokens":0,"outcome":"complete"}`)
	if after := g.Metric("caddy_llm_gateway_estimated_tokens_total"); after != before {
		t.Errorf("%v tokens are estimated", after-before)
	}
}

// A client with a token limit cannot make the gateway and the channel read two
// requests: one with a stream, and one without.
func TestStreamedTwice(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "client alice alice-key\nclient bob bob-key {\nlimit 1M tokens/month\n}\nchannel a "+up.URL+" {\napi_key k\nmodels m\n}")
	for _, fields := range []string{
		`"stream":false,"stream":true,`, `"stream":true,"stream":false,`, `"stream":true,"str\u0065am":true,`,
		`"stream":true,"stream_options":{},"stream_options":{"include_usage":false},`,
		`"Stream":true,`, `"stream":true,"Stream_Options":{"include_usage":false},`,
	} {
		g.do(t, http.MethodPost, "/v1/chat/completions", prompt(fields), "Authorization", "Bearer bob-key").wantError(t, 400, "")
		g.do(t, http.MethodPost, "/v1/chat/completions", prompt(fields)).wantStatus(t, 200)
	}
	if n := len(up.Requests()); n != 6 {
		t.Errorf("%d requests reached the channel", n)
	}
}

// An error is seen in a response whose type says nothing.
func TestErrorsWithoutType(t *testing.T) {
	for _, contentType := range []string{"text/plain", "", "application/octet-stream", "text/plain; charset=utf-8"} {
		for _, text := range []string{openAIError, " \n" + openAIError, sse(openAIError), ": ping\n\n" + sse(openAIError), "<!DOCTYPE html>", "<html>"} {
			first := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Content-Type"] = []string{contentType}
				if contentType == "" {
					w.Header()["Content-Type"] = nil
				}
				io.WriteString(w, text)
			})
			second := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
			g := twoChannels(t, first, second, "")
			if a := g.chat(t, "m"); a.StatusCode != 200 || a.Header.Get("X-Gateway-Channel") != "second" {
				t.Errorf("%q as %q: status %d from %s", text, contentType, a.StatusCode, a.Header.Get("X-Gateway-Channel"))
			}
		}
	}
}

// What has no type passes unchanged, streams event by event.
func TestPassesWithoutType(t *testing.T) {
	for _, text := range []string{"", " \n", "Hello", "{", "[1]", "\x00\xff", "\xef\xbb\xbf{}", "WEBVTT\n\n1\n", "<p>", strings.Repeat("x", 100_000)} {
		up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Type"] = nil
			io.WriteString(w, text)
		})
		g := start(t, "channel a "+up.URL+" {\napi_key k\nmodels m\n}\nchannel b "+up.URL+"/b/v1 {\napi_key k\nmodels m\n}")
		if a := g.do(t, http.MethodPost, "/v1/embeddings", chatBody("m")); a.StatusCode != 200 || a.text != text {
			t.Errorf("%.20q: status %d, %.20q", text, a.StatusCode, a.text)
		}
	}
	events := make(chan string)
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Type"] = nil
		for event := range events {
			io.WriteString(w, event)
			_ = http.NewResponseController(w).Flush()
		}
	})
	g := start(t, "client bob bob-key {\nlimit 1M tokens/month\n}\nchannel a "+up.URL+" {\napi_key k\nmodels m\n}")
	go func() { events <- chunk }()
	req, _ := http.NewRequest(http.MethodPost, g.URL+"/v1/chat/completions", strings.NewReader(`{"model":"m","stream":true}`))
	req.Header.Set("Authorization", "Bearer bob-key")
	resp, err := g.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for i, want := range []string{chunk, chunk, chunk} {
		if i > 0 {
			events <- want
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != want {
			t.Fatalf("got %q (%v), want %q", got, err, want)
		}
	}
	events <- usageEvent
	close(events)
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
		t.Errorf("after the last event: %q, %v", rest, err)
	}
	wantUsed(t, "bob", 101, 101)
	if got := resp.Header.Get("Content-Type"); got != "" {
		t.Errorf("Content-Type %s", got)
	}
}

// Requests at the same time do not pass a token limit without bound: each
// reserves what it is expected to use.
func TestTokensOfRequestsAtOnce(t *testing.T) {
	release := make(chan struct{})
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		<-release
		caddytest.JSON(200, `{"choices":[{"message":{"content":"a"}}],"usage":{"prompt_tokens":1000,"completion_tokens":10}}`)(w, r)
	})
	g := start(t, "client bob bob-key {\nlimit 10k tokens/month\n}\nchannel a "+up.URL+" {\napi_key k\nmodels m\n}")
	bob := []string{"Authorization", "Bearer bob-key"}
	answers := make(chan answer, 50)
	for range cap(answers) {
		go func() {
			a, _ := g.try(t, http.MethodPost, "/v1/chat/completions", prompt(""), bob...)
			answers <- a
		}()
	}
	for range cap(answers) - 7 { // 7 of them reserve the limit and a little more
		var a answer
		select {
		case a = <-answers:
		case <-time.After(time.Minute):
			close(release)
			t.Fatalf("%d requests reached the channel, want 7", len(up.Requests()))
		}
		a.wantError(t, 429, "rate_limit_exceeded")
		if got := a.Header.Get("Retry-After"); got != "1" {
			t.Errorf("Retry-After: %s", got)
		}
	}
	close(release)
	for range 7 {
		(<-answers).wantStatus(t, 200)
	}
	wantUsed(t, "bob", 7070, 7070)
	g.do(t, http.MethodPost, "/v1/chat/completions", prompt(""), bob...).wantStatus(t, 200)
	if n := len(up.Requests()); n != 8 {
		t.Errorf("%d requests reached the channel", n)
	}
}

// What is refused, what fails and what is left gives its reservation back.
func TestReservationsAreGivenBack(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(500, "{}"))
	g, _, _ := startAt(t, "client bob bob-key {\nlimit 5k tokens/month\nlimit 8/day\n}\nchannel a "+up.URL+" {\napi_key k\nmodels m\n}")
	bob := []string{"Authorization", "Bearer bob-key"}
	for range 8 {
		g.do(t, http.MethodPost, "/v1/chat/completions", prompt(""), bob...).wantStatus(t, 500)
	}
	g.do(t, http.MethodPost, "/v1/chat/completions", prompt(""), bob...).wantError(t, 429, "rate_limit_exceeded")
	g.do(t, http.MethodPost, "/v1/chat/completions", strings.Replace(prompt(""), `"m"`, `"x"`, 1), bob...).wantStatus(t, 429)
	gateways.Range(func(_, value any) bool {
		for _, c := range value.(*gateway).auth.clients {
			if n := c.reserved.Load(); n != 0 {
				t.Errorf("%d tokens are still reserved", n)
			}
		}
		return true
	})
}
