package translate_test

import (
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/translate"
)

// chunk is a chunk of a chat stream with a delta.
func chunk(delta string) string { return `{"choices":[{"index":0,"delta":` + delta + `}]}` }

const (
	role    = `{"id":"c1","object":"chat.completion.chunk","created":5,"model":"up","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}`
	stopped = `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`
	called  = `{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}`
)

func call(index, id, name, arguments string) string {
	return chunk(`{"tool_calls":[{` + index + `"id":` + id + `,"type":"function","function":{"name":` + name + `,"arguments":` + arguments + `}}]}`)
}

// oddities are streams as providers send them, and what they mean: text, thoughts,
// and each call's name and arguments.
var oddities = []struct {
	name   string
	stream string
	want   string // in the order of events; T:text H:thought C:name(arguments) R:refusal, then the finish reason
}{
	{"plain", data(role, chunk(`{"content":"a"}`), chunk(`{"content":"b"}`), stopped, "[DONE]"), "T:ab|stop"},
	{"no DONE", data(role, chunk(`{"content":"a"}`), stopped), "T:a|stop"},
	{"no finish reason", data(role, chunk(`{"content":"a"}`), "[DONE]"), "T:a|stop"},
	{"cut off", data(role, chunk(`{"content":"a"}`)), "T:a|failed"},
	{"nothing", "", "|failed"},
	{"only DONE", data("[DONE]"), "|failed"},
	{"choices missing or empty, delta null", data(`{"choices":[],"prompt_filter_results":[]}`, `{"id":"x"}`, `{"choices":[{"index":0,"delta":null}]}`, chunk(`{"content":"a"}`), stopped), "T:a|stop"},
	{"content null, role again", data(chunk(`{"role":"assistant","content":null}`), chunk(`{"role":"assistant","content":"a"}`), stopped), "T:a|stop"},
	{"content as array", data(chunk(`{"content":[{"type":"thinking","thinking":[{"type":"text","text":"h"}]},{"type":"text","text":"a"}]}`), stopped), "H:h|T:a|stop"},
	{"finish reason empty, then null as text", data(`{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":""}]}`, `{"choices":[{"index":0,"delta":{"content":"b"},"finish_reason":"null"}]}`, stopped), "T:ab|stop"},
	{"finish reason on each chunk", data(`{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}`, `{"choices":[{"index":0,"delta":{"content":"b"},"finish_reason":"stop"}]}`), "T:ab|stop"},
	{"two finish chunks", data(chunk(`{"content":"a"}`), stopped, stopped, "[DONE]"), "T:a|stop"},
	{"reasoning under two names", data(chunk(`{"reasoning":"h","reasoning_content":"h"}`), chunk(`{"content":"a"}`), stopped), "H:h|T:a|stop"},
	{"reasoning details only", data(chunk(`{"reasoning_details":[{"type":"reasoning.text","text":"h"}]}`), chunk(`{"content":"a"}`), stopped), "H:h|T:a|stop"},
	{"think tags over chunks", data(chunk(`{"content":"<th"}`), chunk(`{"content":"ink>h</thi"}`), chunk(`{"content":"nk>a"}`), stopped), "H:h|T:a|stop"},
	{"refusal", data(chunk(`{"refusal":"no"}`), stopped), "R:no|stop"},
	{"filtered", data(chunk(`{"content":"a"}`), `{"choices":[{"index":0,"delta":{},"finish_reason":"content_filter"}]}`), "T:a|filter"},
	{"length", data(chunk(`{"content":"a"}`), `{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}`), "T:a|length"},

	{"a call in pieces", data(role, call(`"index":0,`, `"i1"`, `"f"`, `""`), chunk(`{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}]}`), chunk(`{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}`), called), `C:f({"a":1})|calls`},
	{"a call in one chunk, stop", data(call(`"index":0,`, `"i1"`, `"f"`, `"{}"`), stopped), `C:f({})|calls`},
	{"calls in one chunk", data(chunk(`{"tool_calls":[{"index":0,"id":"i1","function":{"name":"f","arguments":"{}"}},{"index":1,"id":"i2","function":{"name":"g","arguments":"{}"}}]}`), called), `C:f({})|C:g({})|calls`},
	{"no index", data(call("", `"i1"`, `"f"`, `"{}"`), call("", `"i2"`, `"g"`, `"{}"`), called), `C:f({})|C:g({})|calls`},
	{"no index, in pieces", data(call("", `"i1"`, `"f"`, `"{"`), chunk(`{"tool_calls":[{"function":{"arguments":"}"}}]}`), call("", `"i2"`, `"g"`, `"{}"`), called), `C:f({})|C:g({})|calls`},
	{"all calls at index 0", data(call(`"index":0,`, `"i1"`, `"f"`, `"{}"`), call(`"index":0,`, `"i2"`, `"g"`, `"{}"`), called), `C:f({})|C:g({})|calls`},
	{"index from 1", data(call(`"index":1,`, `"i1"`, `"f"`, `"{}"`), call(`"index":2,`, `"i2"`, `"g"`, `"{}"`), called), `C:f({})|C:g({})|calls`},
	{"id in each chunk", data(call(`"index":0,`, `"i1"`, `"f"`, `"{"`), call(`"index":0,`, `"i1"`, `null`, `"}"`), called), `C:f({})|calls`},
	{"name in each chunk", data(call(`"index":0,`, `"i1"`, `"f"`, `"{"`), call(`"index":0,`, `""`, `"f"`, `"}"`), called), `C:f({})|calls`},
	{"name in pieces", data(call(`"index":0,`, `"i1"`, `"get_"`, `""`), call(`"index":0,`, `"i1"`, `"it"`, `"{}"`), called), `C:get_it({})|calls`},
	{"id empty or late", data(call(`"index":0,`, `""`, `"f"`, `""`), call(`"index":0,`, `"i1"`, `null`, `"{}"`), called), `C:f({})|calls`},
	{"name late", data(chunk(`{"tool_calls":[{"index":0,"id":"i1","function":{"arguments":"{}"}}]}`), chunk(`{"tool_calls":[{"index":0,"function":{"name":"f"}}]}`), called), `C:f({})|calls`},
	{"one id for two calls", data(call(`"index":0,`, `"i"`, `"f"`, `"{}"`), call(`"index":1,`, `"i"`, `"g"`, `"{}"`), called), `C:f({})|C:g({})|calls`},
	{"arguments as object", data(call(`"index":0,`, `"i1"`, `"f"`, `{"a":1}`), called), `C:f({"a":1})|calls`},
	{"arguments null", data(call(`"index":0,`, `"i1"`, `"f"`, `null`), called), `C:f({})|calls`},
	{"no arguments at all", data(chunk(`{"tool_calls":[{"index":0,"id":"i1","function":{"name":"f"}}]}`), called), `C:f({})|calls`},
	{"the same call at another index", data(call(`"index":0,`, `"i1"`, `"f"`, `"{}"`), call(`"index":1,`, `"i1"`, `"f"`, `"{}"`), called), `C:f({})|calls`},
	{"two entries of one index", data(chunk(`{"tool_calls":[{"index":0,"id":"i1","function":{"name":"f","arguments":""}},{"index":0,"function":{"arguments":"{}"}}]}`), called), `C:f({})|calls`},
	{"pieces of two calls mixed", data(call(`"index":0,`, `"i1"`, `"f"`, `"{\"a\":"`), call(`"index":1,`, `"i2"`, `"g"`, `"{\"b\":"`), chunk(`{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}`), chunk(`{"tool_calls":[{"index":1,"function":{"arguments":"2}"}}]}`), called), `C:f({"a":1})|C:g({"b":2})|calls`},
	{"text before and after a call", data(chunk(`{"content":"a"}`), call(`"index":0,`, `"i1"`, `"f"`, `"{}"`), chunk(`{"content":"b"}`), called), `T:a|C:f({})|T:b|calls`},
	{"the limit in the middle of a call", data(call(`"index":0,`, `"i1"`, `"f"`, `"{\"a\":"`), `{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}`), `|length`},
	{"thoughts and a refusal in the middle of a call", data(call(`"index":0,`, `"i1"`, `"f"`, `"{\"a\":"`), chunk(`{"reasoning_content":"h"}`), chunk(`{"refusal":"r"}`), chunk(`{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}`), called), `C:f({"a":1})|H:h|R:r|calls`},
	{"an old function call", data(chunk(`{"function_call":{"name":"f","arguments":""}}`), chunk(`{"function_call":{"arguments":"{}"}}`), `{"choices":[{"index":0,"delta":{},"finish_reason":"function_call"}]}`), `C:f({})|calls`},

	{"an error in the middle", data(chunk(`{"content":"a"}`), `{"error":{"message":"boom","code":502}}`), "T:a|failed"},
	{"an error beside choices", data(chunk(`{"content":"a"}`), `{"error":{"message":"boom","code":502},"choices":[{"index":0,"delta":{},"finish_reason":"error"}]}`), "T:a|failed"},
	{"HTML", "<html><body>down</body></html>", "|failed"},
	{"JSON where a stream was asked for", `{"id":"c1","choices":[{"index":0,"message":{"role":"assistant","content":"a","reasoning_content":"h","tool_calls":[{"id":"i1","function":{"name":"f","arguments":"{}"}},{"id":"i2","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"}]}`, `H:h|T:a|C:f({})|C:f({})|calls`},
	{"JSON with an error", `{"error":{"message":"boom"}}`, "|failed"},
	{"CRLF and no space", strings.ReplaceAll(strings.ReplaceAll(data(chunk(`{"content":"a"}`), stopped), "data: ", "data:"), "\n", "\r\n"), "T:a|stop"},
}

var finishes = map[neutral.Finish]string{
	neutral.FinishStop: "stop", neutral.FinishCalls: "calls", neutral.FinishLength: "length", neutral.FinishFilter: "filter",
}

// meaning returns what a response says, in the notation of oddities.
func meaning(r *neutral.Response) string {
	var said []string
	if len(r.Choices) > 0 {
		for _, part := range r.Choices[0].Parts {
			switch part.Kind {
			case neutral.Text:
				said = append(said, "T:"+part.Text)
			case neutral.Refusal:
				said = append(said, "R:"+part.Text)
			case neutral.Thought:
				if part.Text != "" {
					said = append(said, "H:"+part.Text)
				}
			case neutral.Call:
				said = append(said, "C:"+part.Call.Name+"("+part.Call.Input+")")
			}
		}
	}
	end := finishes[r.Choices[0].Finish]
	if r.Err != nil {
		end = "failed"
	}
	return strings.Join(said, "|") + "|" + end
}

func TestChatOddities(t *testing.T) {
	for _, c := range oddities {
		want := c.want
		if !strings.Contains(want, ":") && !strings.HasPrefix(want, "|") {
			want = "|" + want
		}
		got := meaning(translate.Collect(read(t, neutral.Chat, least[neutral.Chat]), how(neutral.Chat), []byte(c.stream)))
		if got != want {
			t.Errorf("%s: got %s, want %s", c.name, got, want)
		}
	}
}

// TestCallsHaveIDs checks that no two calls of a response have one id, and none has
// an empty one: Claude Code runs neither.
func TestCallsHaveIDs(t *testing.T) {
	for _, c := range oddities {
		r := translate.Collect(read(t, neutral.Chat, least[neutral.Chat]), how(neutral.Chat), []byte(c.stream))
		seen := map[string]bool{"": true}
		for _, part := range r.Choices[0].Parts {
			if part.Kind != neutral.Call {
				continue
			}
			if seen[part.Call.ID] {
				t.Errorf("%s: the id %q is empty, or that of two calls", c.name, part.Call.ID)
			}
			seen[part.Call.ID] = true
		}
	}
}
