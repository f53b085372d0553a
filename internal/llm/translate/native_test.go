package translate_test

import (
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/translate"
)

// messageEvents makes an event stream of the data of events, whose names are their
// types.
func messageEvents(events ...string) string {
	var b strings.Builder
	for _, event := range events {
		name, _, _ := strings.Cut(strings.TrimPrefix(event, `{"type":"`), `"`)
		b.WriteString("event: " + name + "\ndata: " + event + "\n\n")
	}
	return b.String()
}

const (
	messageStart = `{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"up","content":[],"stop_reason":null,"usage":{"input_tokens":101,"cache_read_input_tokens":15104,"cache_creation_input_tokens":100,"output_tokens":1}}}`
	messageStop  = `{"type":"message_stop"}`
	created      = `{"type":"response.created","response":{"id":"resp_1","created_at":5,"model":"up","status":"in_progress","output":[]}}`
	respUsage    = `"usage":{"input_tokens":15305,"input_tokens_details":{"cached_tokens":15104,"cache_write_tokens":100},"output_tokens":7,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":15312}`
)

func stopFor(reason string) string {
	return `{"type":"message_delta","delta":{"stop_reason":"` + reason + `","stop_sequence":null},"usage":{"output_tokens":7,"output_tokens_details":{"thinking_tokens":3}}}`
}

// native are streams of the dialects other than chat, by the dialect's place in
// dialects.
var native = map[int]string{
	1: messageEvents(created, `{"type":"response.output_item.added","output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[]}}`,
		`{"type":"response.reasoning_summary_part.added","output_index":0,"summary_index":0}`, `{"type":"response.reasoning_summary_text.delta","output_index":0,"delta":"hm é"}`,
		`{"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"hm é"}],"encrypted_content":"gAAA"}}`,
		`{"type":"response.output_item.added","output_index":1,"item":{"type":"message","id":"msg_1","content":[]}}`, `{"type":"response.output_text.delta","output_index":1,"delta":"Héllo 😀"}`,
		`{"type":"response.output_item.done","output_index":1,"item":{"type":"message","id":"msg_1","content":[{"type":"output_text","text":"Héllo 😀"}]}}`,
		`{"type":"response.output_item.added","output_index":2,"item":{"type":"function_call","id":"fc_1","call_id":"i1","name":"f","arguments":""}}`,
		`{"type":"response.function_call_arguments.delta","output_index":2,"delta":"{\"a\":\"é\"}"}`,
		`{"type":"response.output_item.done","output_index":2,"item":{"type":"function_call","id":"fc_1","call_id":"i1","name":"f","arguments":"{\"a\":\"é\"}"}}`,
		`{"type":"response.output_item.done","output_index":3,"item":{"type":"function_call","id":"fc_2","call_id":"i2","name":"g","arguments":"{}"}}`,
		`{"type":"response.completed","response":{"id":"resp_1","status":"completed","output":[{},{},{},{}],`+respUsage+`}}`),
	2: messageEvents(messageStart, `{"type":"ping"}`, `{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm é"}}`, `{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2ln"}}`, `{"type":"content_block_stop","index":0}`,
		`{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}`, `{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Héllo 😀"}}`, `{"type":"content_block_stop","index":1}`,
		`{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"i1","name":"f","input":{}}}`, `{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}`, `{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"\"é\"}"}}`, `{"type":"content_block_stop","index":2}`,
		`{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"i2","name":"g","input":{}}}`, `{"type":"content_block_stop","index":3}`,
		stopFor("tool_use"), messageStop),
}

func init() {
	for place, body := range native {
		full[dialects[place]] = body
	}
}

// TestMessagesOddities has streams of channels that speak messages.
func TestMessagesOddities(t *testing.T) {
	const textStart, textStop = `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`, `{"type":"content_block_stop","index":0}`
	text := `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}`
	for _, c := range []struct{ name, stream, want string }{
		{"plain", messageEvents(messageStart, textStart, text, textStop, stopFor("end_turn"), messageStop), "T:a|stop"},
		{"no names of events", data(messageStart, textStart, text, textStop, stopFor("end_turn"), messageStop), "T:a|stop"},
		{"no message_stop", messageEvents(messageStart, textStart, text, textStop, stopFor("end_turn")), "T:a|stop"},
		{"no stop reason", messageEvents(messageStart, textStart, text, textStop, messageStop), "T:a|stop"},
		{"cut off", messageEvents(messageStart, textStart, text), "T:a|failed"},
		{"an error", messageEvents(messageStart, textStart, text, `{"type":"error","error":{"type":"overloaded_error","message":"m"}}`), "T:a|failed"},
		{"input in the start", messageEvents(messageStart, `{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"i","name":"f","input":{"a":1}}}`, textStop, stopFor("tool_use"), messageStop), `C:f({"a":1})|calls`},
		{"end_turn with a call", messageEvents(messageStart, `{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"i","name":"f","input":{}}}`, textStop, stopFor("end_turn"), messageStop), `C:f({})|calls`},
		{"server tools", messageEvents(messageStart, `{"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"s","name":"web_search","input":{}}}`, `{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{}"}}`, textStop, `{"type":"content_block_start","index":1,"content_block":{"type":"web_search_tool_result","content":[]}}`, `{"type":"content_block_stop","index":1}`, stopFor("end_turn"), messageStop), "|stop"},
		{"the limit in a call", messageEvents(messageStart, `{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"i","name":"f","input":{}}}`, `{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"a"}}`, stopFor("max_tokens"), messageStop), "|length"},
		{"refusal", messageEvents(messageStart, stopFor("refusal"), messageStop), "|filter"},
		{"JSON", `{"id":"m","type":"message","role":"assistant","content":[{"type":"thinking","thinking":"h","signature":"s"},{"type":"text","text":"a"},{"type":"tool_use","id":"i","name":"f","input":{"b":2}}],"stop_reason":"tool_use","usage":{}}`, `H:h|T:a|C:f({"b":2})|calls`},
		{"JSON with an error", `{"type":"error","error":{"type":"api_error","message":"m"}}`, "|failed"},
	} {
		if got := meaning(translate.Collect(read(t, neutral.Chat, least[neutral.Chat]), how(neutral.Messages), []byte(c.stream))); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// TestResponsesOddities has streams of channels that speak responses.
func TestResponsesOddities(t *testing.T) {
	text := `{"type":"response.output_text.delta","output_index":0,"delta":"a"}`
	done := `{"type":"response.completed","response":{"id":"r","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"a"}]}],"usage":null}}`
	for _, c := range []struct{ name, stream, want string }{
		{"plain", messageEvents(created, text, done), "T:a|stop"},
		{"no events but the last", messageEvents(done), "T:a|stop"},
		{"only data", data(created, text, done, "[DONE]"), "T:a|stop"},
		{"cut off", messageEvents(created, text), "T:a|failed"},
		{"failed", messageEvents(created, text, `{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"m"}}}`), "T:a|failed"},
		{"an error", messageEvents(created, `{"type":"error","code":"x","message":"m"}`), "|failed"},
		{"incomplete", messageEvents(created, text, `{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[]}}`), "T:a|length"},
		{"filtered", messageEvents(created, `{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"content_filter"},"output":[]}}`), "|filter"},
		{"a refusal", messageEvents(created, `{"type":"response.refusal.delta","output_index":0,"delta":"no"}`, done), "R:no|stop"},
		{"no deltas of arguments", messageEvents(created, `{"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","call_id":"i","name":"f","arguments":""}}`, `{"type":"response.output_item.done","output_index":0,"item":{"type":"function_call","call_id":"i","name":"f","arguments":"{\"a\":1}"}}`, `{"type":"response.completed","response":{"status":"completed","output":[]}}`), `C:f({"a":1})|calls`},
		{"hosted tools", messageEvents(created, `{"type":"response.output_item.added","output_index":0,"item":{"type":"web_search_call","id":"ws"}}`, `{"type":"response.web_search_call.searching","output_index":0}`, `{"type":"response.output_item.done","output_index":0,"item":{"type":"web_search_call","id":"ws"}}`, `{"type":"response.output_text.delta","output_index":1,"delta":"a"}`, `{"type":"response.completed","response":{"status":"completed","output":[{"type":"web_search_call"},{"type":"message","content":[{"type":"output_text","text":"a"}]}]}}`), "T:a|stop"},
		{"JSON", `{"id":"r","object":"response","status":"completed","output":[{"type":"reasoning","summary":[{"type":"summary_text","text":"h"}]},{"type":"message","content":[{"type":"output_text","text":"a"}]},{"type":"function_call","call_id":"i","name":"f","arguments":"{}"}],"error":null}`, `H:h|T:a|C:f({})|calls`},
	} {
		got := meaning(translate.Collect(read(t, neutral.Chat, least[neutral.Chat]), how(neutral.Responses), []byte(c.stream)))
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// TestGeminiOddities has streams of channels that speak gemini.
func TestGeminiOddities(t *testing.T) {
	candidate := func(parts, rest string) string {
		return `{"candidates":[{"content":{"parts":[` + parts + `]}` + rest + `}]}`
	}
	const stop = `,"finishReason":"STOP"`
	for _, c := range []struct{ name, stream, want string }{
		{"plain", data(candidate(`{"text":"a"}`, ""), candidate(`{"text":"b"}`, stop)), "T:ab|stop"},
		{"no content at the end", data(candidate(`{"text":"a"}`, ""), `{"candidates":[{"finishReason":"STOP"}]}`), "T:a|stop"},
		{"no parts", data(`{"candidates":[{"content":{"role":"model"},"finishReason":"STOP"}]}`), "|stop"},
		{"no candidates", data(`{"usageMetadata":{}}`, candidate(`{"text":"a"}`, stop)), "T:a|stop"},
		{"an empty text with a signature", data(candidate(`{"text":"a"}`, ""), candidate(`{"text":"","thoughtSignature":"c2ln"}`, stop)), "T:a|stop"},
		{"thoughts after text", data(candidate(`{"text":"a"},{"text":"h","thought":true}`, stop)), "T:a|H:h|stop"},
		{"calls in several events", data(candidate(`{"functionCall":{"name":"f","args":{"a":1}}}`, ""), candidate(`{"functionCall":{"name":"f","args":{"a":1}}}`, ""), candidate(``, stop)), `C:f({"a":1})|C:f({"a":1})|calls`},
		{"no args", data(candidate(`{"functionCall":{"name":"f"}}`, stop)), `C:f({})|calls`},
		{"blocked", data(`{"promptFeedback":{"blockReason":"SAFETY"}}`), "|filter"},
		{"filtered", data(candidate(`{"text":"a"}`, `,"finishReason":"SAFETY"`)), "T:a|filter"},
		{"cut off", data(candidate(`{"text":"a"}`, "")), "T:a|failed"},
		{"an error", data(candidate(`{"text":"a"}`, ""), `{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}`), "T:a|failed"},
		{"an array", `[` + candidate(`{"text":"a"}`, "") + "\n," + candidate(`{"text":"b"}`, stop) + `]`, "T:ab|stop"},
		{"JSON", candidate(`{"text":"a"}`, stop), "T:a|stop"},
	} {
		if got := meaning(translate.Collect(read(t, neutral.Chat, least[neutral.Chat]), how(neutral.Gemini), []byte(c.stream))); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}
