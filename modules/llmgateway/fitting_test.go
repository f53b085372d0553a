package llmgateway

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// startFitting runs a gateway whose first channel is for short texts, with another
// one for everything else.
func startFitting(t *testing.T, up *caddytest.Upstream) *testGateway {
	return start(t, `
		channel small `+up.URL+`/small {
			api_key k
			models  m small-only {
				context 1k
				output  100
				takes   text
				tools   off
			}
		}
		channel large `+up.URL+`/large {
			api_key k
			tier    2
			models  m large {
				context 1M
				takes   text image file
			}
			models  other
		}`)
}

const (
	imageOfChat     = `"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://a.example/x.png"}}]}]`
	imageOfMessages = `"max_tokens":10,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"QUJD"}}]}]`
	imageOfGemini   = `{"contents":[{"parts":[{"inlineData":{"mimeType":"image/png","data":"QUJD"}}]}]}`
	imageOfResponse = `"input":[{"role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,QUJD"}]}]`
)

// A request goes past channels that cannot serve it, in whatever dialect it says what
// it needs.
func TestCandidatesThatFit(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := startFitting(t, up)
	long := strings.Repeat("word ", 1100)
	for _, tc := range []struct{ path, body, want string }{
		{chatPath, `{"model":"m","messages":[{"role":"user","content":"image_url"}],"max_tokens":100,"tools":[]}`, "small"},
		{chatPath, `{"model":"m",` + imageOfChat + `}`, "large"},
		{messagesPath, `{"model":"m",` + imageOfMessages + `}`, "large"},
		{responsesPath, `{"model":"m",` + imageOfResponse + `}`, "large"},
		{geminiPath, imageOfGemini, "large"},
		{geminiPath, `{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"maxOutputTokens":101}}`, "large"},
		{chatPath, `{"model":"m","messages":[],"max_completion_tokens":101}`, "large"},
		{chatPath, `{"model":"m","messages":[],"tools":[{"type":"function"}]}`, "large"},
		{chatPath, `{"model":"m","messages":[{"role":"user","content":"` + long[:4000] + `"}]}`, "small"},
		{chatPath, `{"model":"m","messages":[{"role":"user","content":"` + long + `"}]}`, "large"},
		{"/v1/messages/count_tokens", `{"model":"m","messages":[{"role":"user","content":"` + long + `"}]}`, "small"},
	} {
		g.do(t, http.MethodPost, tc.path, tc.body)
		if got := strings.Split(up.Next(t).URI, "/")[1]; got != tc.want {
			t.Errorf("%s %.200s: asked %s, want %s", tc.path, tc.body, got, tc.want)
		}
	}
}

// When no channel can serve a request, the client hears why, and what it can ask
// instead, in its dialect.
func TestNothingFits(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := startFitting(t, up)
	for _, tc := range []struct {
		path, body, code string
		says             []string
	}{
		{chatPath, `{"model":"small-only",` + imageOfChat + `}`, "", []string{"small-only at channel small takes no images", "These can: m (channel large), large (channel large), other (channel large)."}},
		{messagesPath, `{"model":"small-only",` + imageOfMessages + `}`, "", []string{`"type":"error"`, "takes no images"}},
		{geminiPath, `{"contents":[{"parts":[{"inlineData":{"mimeType":"audio/wav"}}]}]}`, "", []string{`"INVALID_ARGUMENT"`, "m at channel small takes no audio; m at channel large takes no audio.", "These can: other"}},
		{chatPath, `{"model":"small-only","tools":[{}]}`, "", []string{"takes no tools"}},
		{chatPath, `{"model":"small-only","max_tokens":200}`, "", []string{"has an output of 100 tokens at most, and the request asks for 200"}},
		{chatPath, `{"model":"small-only","messages":[{"content":"` + strings.Repeat("word ", 1100) + `"}]}`, "context_length_exceeded", []string{"has a context of 1000 tokens, and the request has about 1"}},
	} {
		a := g.do(t, http.MethodPost, tc.path, tc.body)
		a.wantStatus(t, 400)
		for _, says := range tc.says {
			if !strings.Contains(a.text, says) {
				t.Errorf("%.100s: %s, want %s in it", tc.body, a.text, says)
			}
		}
		var e struct{ Error struct{ Code any } }
		if tc.path == chatPath && (json.Unmarshal([]byte(a.text), &e) != nil || e.Error.Code != any(tc.code) && (tc.code != "" || e.Error.Code != nil)) {
			t.Errorf("%.100s: code %v, want %q", tc.body, e.Error.Code, tc.code)
		}
	}
	if n := len(up.Requests()); n > 0 {
		t.Errorf("the channels got %d requests", n)
	}
}

// A request that was too long for a model goes to one with a larger context before it
// goes to others.
func TestLargerContextFirst(t *testing.T) {
	asked := new(modelsAsked)
	asked.refuses, asked.status = "m1", 400
	asked.body = `{"error":{"message":"This model's maximum context length is 8192 tokens.","type":"invalid_request_error","code":"context_length_exceeded"}}`
	up := caddytest.NewUpstream(t, asked.ServeHTTP)
	g := start(t, `
		lb_policy first
		channel a `+up.URL+`/a {
			api_key k
			models m as m1 {
				context 8k
			}
		}
		channel b `+up.URL+`/b {
			api_key k
			models m as m1 {
				context 4k
			}
		}
		channel unknown `+up.URL+`/unknown {
			api_key k
			models m as m1
		}
		channel larger `+up.URL+`/larger {
			api_key k
			tier 2
			models m as m1 {
				context 32k
			}
		}
		channel huge `+up.URL+`/huge {
			api_key k
			tier 3
			models m as m2 {
				context 1M
			}
		}`)
	g.chat(t, "m").wantStatus(t, 200)
	if got := asked.take(); got != "a m1, larger m1, huge m2" {
		t.Errorf("asked %s", got)
	}
	asked.refuses = "m1 m2"
	g.chat(t, "m").wantStatus(t, 400)
	if got := asked.take(); got != "a m1, larger m1, huge m2, b m1, unknown m1" {
		t.Errorf("with all of them refusing: asked %s", got)
	}
}
