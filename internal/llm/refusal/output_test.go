package refusal

import (
	"strings"
	"testing"
)

var foundNames = [...]string{"nothing", "output", "failure", "end"}

// events are events of each dialect and what they have.
var events = map[string][]struct{ name, data, want string }{
	"chat": {
		{"", `{"id":"x","choices":[]}`, "nothing"},
		{"", `{"id":"x","choices":null}`, "nothing"},
		{"", `{"id":"x"}`, "nothing"},
		{"", `{}`, "nothing"},
		{"", `null`, "nothing"},
		{"", ``, "nothing"},
		{"", `{"choices":[],"prompt_filter_results":[{"prompt_index":0}]}`, "nothing"},
		{"", `{"choices":[{"index":0,"delta":{"role":"assistant"},"finish_reason":null}]}`, "nothing"},
		{"", `{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}`, "nothing"},
		{"", `{"choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[]},"finish_reason":""}]}`, "nothing"},
		{"", `{"choices":[{"index":0,"delta":{},"finish_reason":"null"}]}`, "nothing"},
		{"", `{"choices":[{"delta":null}]}`, "nothing"},
		{"", `{"choices":[],"usage":{"completion_tokens":0}}`, "nothing"},
		{"", `{"choices":[],"error":null}`, "nothing"},
		{"ping", `{"type":"ping"}`, "nothing"},
		{"", `{"choices":[{"delta":{"content":"a"}}]}`, "output"},
		{"", `{"choices":[{"delta":{"content":" "}}]}`, "output"},
		{"", `{"choices":[{"delta":{"content":[{"type":"thinking"}]}}]}`, "output"},
		{"", `{"choices":[{"delta":{"reasoning_content":"a"}}]}`, "output"},
		{"", `{"choices":[{"delta":{"reasoning":"a","content":""}}]}`, "output"},
		{"", `{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":""}}]}}]}`, "output"},
		{"", `{"choices":[{"delta":{"refusal":"no"}}]}`, "output"},
		{"", `{"choices":[{"delta":{},"finish_reason":"stop"}]}`, "output"},
		{"", `{"choices":[{"delta":{},"finish_reason":"content_filter"}]}`, "output"},
		{"", `{"choices":[{"text":"a"}]}`, "output"},
		{"", ` {"choices" : [ { "delta" : { "content" : "a" } } ] }`, "output"},
		{"", `1`, "output"},
		{"", `[DONE]`, "end"},
		{"", `{"error":{"code":429}}`, "failure"},
		{"", `{"error":{"code":502,"message":"x"},"choices":[{"delta":{},"finish_reason":"error"}]}`, "failure"},
		{"", `{"error":{"code":502,"message":"x"},"choices":[{"delta":{"content":""},"finish_reason":"stop"}]}`, "failure"},
		{"", `{"choices":[{"delta":{"content":"a"},"finish_reason":"error"}]}`, "failure"},
		{"", `{"choices":[{"error":{"code":500}}]}`, "failure"},
		{"", `{"error":"boom"}`, "failure"},
		{"", `{"error":""}`, "nothing"},
		{"", `{"error":{}}`, "nothing"},
		{"", `{"error":false}`, "nothing"},
		{"", `{"error":{"message":"","code":"200 OK"}}`, "nothing"},
		{"", `{"code":"x","message":"y","choices":null}`, "failure"},
		{"", `{"object":"error","message":"x"}`, "failure"},
		{"", `[{"error":{"code":429}}]`, "failure"},
		{"error", `{"message":"x"}`, "failure"},
	},
	"responses": {
		{"response.created", `{"type":"response.created","response":{"status":"in_progress","error":null,"output":[]}}`, "nothing"},
		{"response.in_progress", `{"type":"response.in_progress","response":{"status":"in_progress","output":[]}}`, "nothing"},
		{"response.queued", `{"type":"response.queued","response":{"status":"queued"}}`, "nothing"},
		{"", `{"type":"response.output_item.added","item":{"type":"message","status":"in_progress","content":[]}}`, "nothing"},
		{"", `{"type":"response.output_item.added","item":{"type":"reasoning","summary":[]}}`, "nothing"},
		{"", `{"type":"response.content_part.added","part":{"type":"output_text","text":""}}`, "nothing"},
		{"", `{"type":"response.output_text.delta","delta":""}`, "nothing"},
		{"", `{"type":"response.something.new","x":1}`, "nothing"},
		{"", `{"type":"keepalive"}`, "nothing"},
		{"", `{"type":"codex.rate_limits","rate_limits":{"primary":{}}}`, "nothing"},
		{"", `{"type":"response.output_item.added","item":{"type":"function_call","name":"f","arguments":""}}`, "output"},
		{"", `{"type":"response.output_item.added","item":{"type":"custom_tool_call","name":"f"}}`, "output"},
		{"", `{"type":"response.output_item.added","item":{"type":"web_search_call"}}`, "output"},
		{"", `{"type":"response.output_item.added","item":{"type":"reasoning","summary":[],"encrypted_content":"x"}}`, "output"},
		{"", `{"type":"response.output_item.done","item":{"type":"message"}}`, "output"},
		{"", `{"type":"response.output_text.delta","delta":"a"}`, "output"},
		{"", `{"type":"response.reasoning_summary_text.delta","delta":"a"}`, "output"},
		{"", `{"type":"response.function_call_arguments.done","arguments":"{}","name":"f"}`, "output"},
		{"", `{"type":"response.web_search_call.in_progress"}`, "output"},
		{"", `{"type":"response.completed","response":{"status":"completed","output":[]}}`, "output"},
		{"", `{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[]}}`, "output"},
		{"", `{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":null,"output":[]}}`, "nothing"},
		{"", `{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error"}}}`, "failure"},
		{"error", `{"type":"error","code":"server_error","message":"x"}`, "failure"},
		{"", `{"type":"error","code":"server_error","message":"x"}`, "failure"},
	},
	"messages": {
		{"message_start", `{"type":"message_start","message":{"content":[],"stop_reason":null,"usage":{"input_tokens":3}}}`, "nothing"},
		{"ping", `{"type":"ping"}`, "nothing"},
		{"", `{"type": "ping"}`, "nothing"},
		{"content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`, "nothing"},
		{"content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}`, "nothing"},
		{"content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""}}`, "nothing"},
		{"content_block_stop", `{"type":"content_block_stop","index":0}`, "nothing"},
		{"content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}`, "output"},
		{"content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"redacted_thinking","data":"x"}}`, "output"},
		{"content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}`, "output"},
		{"content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"a"}}`, "output"},
		{"content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{"}}`, "output"},
		{"content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"x"}}`, "output"},
		{"message_delta", `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}`, "output"},
		{"message_delta", `{"type":"message_delta","delta":{"stop_reason":null},"usage":{"output_tokens":1}}`, "nothing"},
		{"message_stop", `{"type":"message_stop"}`, "end"},
		{"error", `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, "failure"},
	},
	"gemini": {
		{"", `{"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":3}}`, "nothing"},
		{"", `{"candidates":[{"content":{"parts":[{"text":"","thoughtSignature":"x"}]}}]}`, "nothing"},
		{"", `{"candidates":[{"content":{"role":"model"}}]}`, "nothing"},
		{"", `{"candidates":[{"finishReason":"FINISH_REASON_UNSPECIFIED"}]}`, "nothing"},
		{"", `{"usageMetadata":{"promptTokenCount":3}}`, "nothing"},
		{"", `{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}`, "output"},
		{"", `{"candidates":[{"content":{"parts":[{"text":"a","thought":true}]}}]}`, "output"},
		{"", `{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{}}}]}}]}`, "output"},
		{"", `{"candidates":[{"finishReason":"STOP"}]}`, "output"},
		{"", `{"promptFeedback":{"blockReason":"SAFETY"}}`, "output"},
		{"", `[{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}]`, "output"},
		{"", `{"error":{"code":503,"message":"x","status":"UNAVAILABLE"}}`, "failure"},
		{"", `[{"error":{"code":503,"message":"x","status":"UNAVAILABLE"}}]`, "failure"},
	},
	"other": {
		{"", `{"type":"transcript.text.delta","delta":"a"}`, "output"},
		{"", `{"error":{"code":500}}`, "failure"},
		{"", `{}`, "nothing"},
	},
}

func TestInspectEvent(t *testing.T) {
	for dialect, list := range events {
		for _, e := range list {
			if got := foundNames[InspectEvent(dialects[dialect], []byte(e.name), []byte(e.data))]; got != e.want {
				t.Errorf("%s: %s: %s, want %s", dialect, e.data, got, e.want)
			}
		}
	}
}

func TestInspectBody(t *testing.T) {
	for _, tc := range []struct{ dialect, body, want string }{
		{"chat", `{"choices":[{"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}]}`, "output"},
		{"chat", "\n\n {\"choices\":[{\"message\":{\"content\":\"a\"}}]}", "output"},
		{"chat", "\xef\xbb\xbf{\"choices\":[{\"message\":{\"content\":\"a\"}}]}", "output"},
		{"chat", `{"choices":[{"message":{"content":null},"finish_reason":"stop"}]}`, "output"},
		{"chat", `{"choices":[{"message":{"content":"a`, "output"},
		{"chat", `{"choices":[{"message":{"content":"`, "nothing"},
		{"chat", `{"choi`, "nothing"},
		{"chat", `{"error":`, "nothing"},
		{"chat", `{"error":{"mess`, "failure"},
		{"chat", `{"result":{"response":"a"},"success":true,"errors":[]}`, "output"},
		{"chat", `{"message":{"role":"assistant","content":"a"},"done":true}`, "output"},
		{"chat", `{"candidates":[{"content":{}}]}`, "output"},
		{"chat", `{"id":"x","object":"chat.completion","model":"m","usage":{"total_tokens":3}}`, "nothing"},
		{"chat", `{"status":402,"success":false,"error":{"message":"x"}}`, "failure"},
		{"chat", `{"message":"invalid api token"}`, "failure"},
		{"chat", `{"detail":"x"}`, "failure"},
		{"chat", `{"code":0,"msg":"ok","choices":[{"message":{"content":"a"}}]}`, "output"},
		{"chat", "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n", "output"},
		{"chat", "data: {\"choices\":[]}\n\ndata: [DONE]\n\n", "end"},
		{"chat", ": wait\n\n", "nothing"},
		{"chat", `plain text`, "output"},
		{"chat", `<html>`, "nothing"},
		{"messages", `{"type":"message","content":[{"type":"text","text":"a"}],"stop_reason":"end_turn"}`, "output"},
		{"messages", `{"type":"message","content":[],"stop_reason":"end_turn"}`, "output"},
		{"messages", `{"type":"message","content":[],"stop_reason":null}`, "nothing"},
		{"messages", `{"type":"error","error":{"type":"api_error"}}`, "failure"},
		{"responses", `{"object":"response","status":"completed","output":[{"type":"message"}]}`, "output"},
		{"responses", `{"object":"response","status":"in_progress","output":[]}`, "output"},
		{"responses", `{"object":"response","status":"failed","error":{"code":"x"},"output":[]}`, "failure"},
		{"responses", `{"object":"response","status":"cancelled","output":[]}`, "failure"},
		{"responses", `{"object":"response","output":[]}`, "nothing"},
		{"gemini", `{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}`, "output"},
		{"gemini", `{"candidates":[]}`, "nothing"},
		{"gemini", `[{"candidates":[{"content":{"parts":[{"text":""}]}}]},{"candidates":[{"content":{"parts":[{"text":"a`, "output"},
		{"other", `{"data":[]}`, "output"},
		{"other", `{"error":{"message":"x"}}`, "failure"},
		{"other", `{"code":"x","message":"y"}`, "failure"},
		{"other", `{"message":"ok"}`, "output"},
		{"other", `[]`, "output"},
		{"other", "\x00\x01binary", "output"},
	} {
		if got := foundNames[InspectBody(dialects[tc.dialect], []byte(tc.body))]; got != tc.want {
			t.Errorf("%s: %s: %s, want %s", tc.dialect, tc.body, got, tc.want)
		}
	}
}

// A stream is judged in pieces as it is at once, whatever ends its lines.
func TestWatch(t *testing.T) {
	stream := ": PROCESSING\n\nevent: message_start\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n" +
		"data: {\"choices\":\ndata: []}\n\ndata:{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n"
	for name, end := range map[string]string{"LF": "\n", "CRLF": "\r\n", "CR": "\r"} {
		text := []byte(strings.ReplaceAll(stream, "\n", end))
		w := Watch{Dialect: DialectChat}
		for i := range len(text) + 1 {
			if found := w.Look(text[:i], i == len(text)); found != Nothing {
				if found != Output || !strings.Contains(string(w.Event.Data), `"a"`) {
					t.Errorf("%s: %s by %s", name, foundNames[found], w.Event.Data)
				}
				break
			}
			if i == len(text) {
				t.Errorf("%s: no output", name)
			}
		}
	}
	for text, want := range map[string]string{
		"":                                    "nothing",
		": a\n\n: b\n\n":                      "nothing",
		"data: [DONE]\n\n":                    "end",
		"data: {\"error\":{\"code\":500}}":    "failure", // not ended by a blank line
		"event: error\ndata: {\"x\":1}\n\n":   "failure",
		"event: ping\ndata: {\"type\":1}\n\n": "nothing",
		"data\n\n":                            "nothing",
		"data:\n\n":                           "nothing",
		"id: 4\nretry: 3\n\n":                 "nothing",
	} {
		w := Watch{Dialect: DialectChat}
		if got := foundNames[w.Look([]byte(text), true)]; got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// Data of several lines must not grow into what stands behind it.
func TestNextEventKeepsBuffer(t *testing.T) {
	text := []byte("data: a\ndata: b\n\ndata: c\n\n")
	before := string(text)
	e, n := NextEvent(text, false)
	if string(e.Data) != "a\nb" || n != 17 || string(text) != before {
		t.Errorf("%q, %d, %q", e.Data, n, text)
	}
}

func BenchmarkInspectEvent(b *testing.B) {
	for dialect, data := range map[string]string{
		"chat": `{"id":"chatcmpl-9s8d7f6s8d7f6sd8f7","object":"chat.completion.chunk","created":1795694400,"model":"m1","system_fingerprint":"fp_123","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":null}`,
		"responses": `{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","created_at":1795694400,"status":"in_progress","error":null,"incomplete_details":null,"instructions":"` +
			strings.Repeat("Be kind. ", 2000) + `","model":"m1","output":[]}}`,
		"messages": `{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m1","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":12,"output_tokens":1}}}`,
		"gemini":   `{"candidates":[{"content":{"parts":[{"text":"Hello"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":12,"totalTokenCount":13},"modelVersion":"m1"}`,
	} {
		b.Run(dialect, func(b *testing.B) {
			d, text := dialects[dialect], []byte(data)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				InspectEvent(d, nil, text)
			}
		})
	}
}

func BenchmarkWatch(b *testing.B) {
	stream := []byte(": OPENROUTER PROCESSING\n\ndata: {\"id\":\"gen-1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n" +
		"data: {\"id\":\"gen-1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"},\"finish_reason\":null}]}\n\n")
	b.ReportAllocs()
	for b.Loop() {
		w := Watch{Dialect: DialectChat}
		if w.Look(stream, false) != Output {
			b.Fatal("no output")
		}
	}
}

func BenchmarkClassify(b *testing.B) {
	for _, c := range load(b) {
		switch c.name {
		case "P02: day quota with a minute's delay", "P10: flagged prompt", "bare 403", "P16: challenge":
			b.Run(c.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					Classify(c.in)
				}
			})
		}
	}
}
