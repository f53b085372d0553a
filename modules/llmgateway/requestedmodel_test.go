package llmgateway

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
)

// The model is replaced where a message has it, wherever the pieces of it end, and
// nowhere else.
func TestRequestedModelStage(t *testing.T) {
	for _, c := range []struct {
		name     string
		depth    int
		in, want string
	}{
		{"a message", 1, `{"model":"real","id":"m","content":[]}`, `{"model":"asked \"for\"","id":"m","content":[]}`},
		{"space and escapes", 1, "{ \"a\\\"b\" : \"\\\\\", \"model\"\n:\t\"re\\\"al\" }", "{ \"a\\\"b\" : \"\\\\\", \"model\"\n:\t\"asked \\\"for\\\"\" }"},
		{
			"behind the content", 1, `{"content":[{"type":"text","text":"\"model\":\"x\""},{"type":"tool_use","input":{"model":"x","a":[{"model":"y"}]}}],"model":"real","usage":{"model":"z"}}`,
			`{"content":[{"type":"text","text":"\"model\":\"x\""},{"type":"tool_use","input":{"model":"x","a":[{"model":"y"}]}}],"model":"asked \"for\"","usage":{"model":"z"}}`,
		},
		{"other members", 1, `{"models":"real","a":"model","modelmodel":"real","model ":"x"}`, `{"models":"real","a":"model","modelmodel":"real","model ":"x"}`},
		{"no text", 1, `{"model":null,"a":"b"}`, `{"model":null,"a":"b"}`},
		{
			"a stream", 2, "event: ping\ndata: {\"type\":\"ping\",\"model\":\"no\"}\n\nevent: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"1\",\"model\":\"real\"}}\n\ndata: {\"delta\":{\"model\":\"real\"}}\n\n",
			"event: ping\ndata: {\"type\":\"ping\",\"model\":\"no\"}\n\nevent: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"1\",\"model\":\"asked \\\"for\\\"\"}}\n\ndata: {\"delta\":{\"model\":\"real\"}}\n\n",
		},
	} {
		for cut := range len(c.in) {
			s := requestedModelStage{name: `asked "for"`, depth: c.depth}
			got := string(s.pass([]byte(c.in[:cut]), more))
			got += string(s.pass([]byte(c.in[cut:]), nothing))
			if got != c.want {
				t.Fatalf("%s, cut at %d: got %s, want %s", c.name, cut, got, c.want)
			}
		}
		s, got := requestedModelStage{name: `asked "for"`, depth: c.depth}, ""
		for i := range len(c.in) {
			got += string(s.pass([]byte{c.in[i]}, more))
		}
		if got != c.want {
			t.Errorf("%s, byte by byte: got %s, want %s", c.name, got, c.want)
		}
	}
}

// A message that is passed on names the model that the client has asked for. Nothing
// else of it is changed, and nothing of other dialects, nor without another name.
func TestResponsesNameTheRequestedModel(t *testing.T) {
	for dialect, response := range responsesIn {
		up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept") == "text/event-stream" {
				caddytest.Events(response.stream)(w, r)
				return
			}
			caddytest.JSON(200, response.whole)(w, r)
		})
		base := baseOf(up, neutral.Dialect(dialect))
		for model, sent := range map[string]string{"m": "real", "real": "real"} {
			for _, speaks := range []string{"", "speaks " + dialect} {
				g := start(t, "channel a "+base+" {\napi_key k\nauth none\nmodels "+model+" as "+sent+"\n"+speaks+"\n}")
				for _, streamed := range []bool{false, true} {
					path, body := requestIn(dialect, streamed)
					path, body = strings.Replace(path, "models/m:", "models/"+model+":", 1), strings.Replace(body, `"model":"m"`, `"model":"`+model+`"`, 1)
					want := response.whole
					if streamed {
						want = response.stream
					}
					if dialect == "messages" {
						want = strings.Replace(want, `"model":"real"`, `"model":"`+model+`"`, 1)
					}
					a := g.do(t, http.MethodPost, path, body, "Accept", map[bool]string{true: "text/event-stream", false: "application/json"}[streamed])
					if a.wantStatus(t, 200); a.text != want {
						t.Errorf("%s, %s as %s, %q, streamed %v: got %s, want %s", dialect, model, sent, speaks, streamed, a.text, want)
					}
				}
			}
		}
	}
}
