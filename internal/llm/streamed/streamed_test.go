package streamed

import (
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
)

// A whole response becomes the events that its API would have sent, and nothing of
// it is lost.
func TestEvents(t *testing.T) {
	for _, tc := range []struct {
		name      string
		dialect   refusal.Dialect
		body      string
		withUsage bool
		want      []string
	}{
		{
			"a call of a tool", refusal.DialectChat,
			`{"id":"c","object":"chat.completion","choices":[{"message":{"role":"assistant","content":null,"tool_calls":[{"id":"1","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}],"usage":{"total_tokens":3}}`, true,
			[]string{
				`data: {"choices":[{"delta":{"content":null,"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{}"},"id":"1","index":0,"type":"function"}]},"finish_reason":null,"index":0}],"id":"c","object":"chat.completion.chunk"}`,
				`data: {"choices":[{"delta":{},"finish_reason":"tool_calls","index":0}],"id":"c","object":"chat.completion.chunk"}`,
				`data: {"choices":[],"id":"c","object":"chat.completion.chunk","usage":{"total_tokens":3}}`,
				`data: [DONE]`,
			},
		},
		{
			"a completion", refusal.DialectChat, `{"object":"text_completion","choices":[{"text":"a","index":0,"finish_reason":"stop"}],"usage":{}}`, false,
			[]string{`data: {"choices":[{"finish_reason":"stop","index":0,"text":"a"}],"object":"text_completion"}`, `data: [DONE]`},
		},
		{
			"thoughts and a tool", refusal.DialectMessages,
			`{"id":"m","type":"message","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"tool_use","id":"t","name":"f","input":{"a":1}}],"stop_reason":"tool_use","usage":{"output_tokens":3}}`, false,
			[]string{
				"event: message_start\n" + `data: {"message":{"content":[],"id":"m","stop_reason":null,"stop_sequence":null,"type":"message","usage":{"output_tokens":3}},"type":"message_start"}`,
				"event: content_block_start\n" + `data: {"content_block":{"signature":"","thinking":"","type":"thinking"},"index":0,"type":"content_block_start"}`,
				"event: content_block_delta\n" + `data: {"delta":{"thinking":"hm","type":"thinking_delta"},"index":0,"type":"content_block_delta"}`,
				"event: content_block_delta\n" + `data: {"delta":{"signature":"s","type":"signature_delta"},"index":0,"type":"content_block_delta"}`,
				"event: content_block_stop\n" + `data: {"index":0,"type":"content_block_stop"}`,
				"event: content_block_start\n" + `data: {"content_block":{"id":"t","input":{},"name":"f","type":"tool_use"},"index":1,"type":"content_block_start"}`,
				"event: content_block_delta\n" + `data: {"delta":{"partial_json":"{\"a\":1}","type":"input_json_delta"},"index":1,"type":"content_block_delta"}`,
				"event: content_block_stop\n" + `data: {"index":1,"type":"content_block_stop"}`,
				"event: message_delta\n" + `data: {"delta":{"stop_reason":"tool_use","stop_sequence":null},"type":"message_delta","usage":{"output_tokens":3}}`,
				"event: message_stop\n" + `data: {"type":"message_stop"}`,
			},
		},
		{
			"a call, cut short", refusal.DialectResponses,
			`{"id":"r","status":"incomplete","output":[{"type":"function_call","id":"fc","call_id":"c","name":"f","arguments":"{}"}],"usage":{"total_tokens":3}}`, false,
			[]string{
				"event: response.created\n" + `data: {"response":{"id":"r","output":[],"status":"in_progress","usage":null},"sequence_number":0,"type":"response.created"}`,
				"event: response.in_progress\n" + `data: {"response":{"id":"r","output":[],"status":"in_progress","usage":null},"sequence_number":1,"type":"response.in_progress"}`,
				"event: response.output_item.added\n" + `data: {"item":{"arguments":"","call_id":"c","id":"fc","name":"f","status":"in_progress","type":"function_call"},"output_index":0,"sequence_number":2,"type":"response.output_item.added"}`,
				"event: response.function_call_arguments.delta\n" + `data: {"delta":"{}","item_id":"fc","output_index":0,"sequence_number":3,"type":"response.function_call_arguments.delta"}`,
				"event: response.function_call_arguments.done\n" + `data: {"arguments":"{}","item_id":"fc","output_index":0,"sequence_number":4,"type":"response.function_call_arguments.done"}`,
				"event: response.output_item.done\n" + `data: {"item":{"arguments":"{}","call_id":"c","id":"fc","name":"f","type":"function_call"},"output_index":0,"sequence_number":5,"type":"response.output_item.done"}`,
				"event: response.incomplete\n" + `data: {"response":{"id":"r","output":[{"type":"function_call","id":"fc","call_id":"c","name":"f","arguments":"{}"}],"status":"incomplete","usage":{"total_tokens":3}},"sequence_number":6,"type":"response.incomplete"}`,
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Events(tc.dialect, []byte(tc.body), tc.withUsage)
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.Join(tc.want, "\n\n") + "\n\n"; string(got) != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// What is no response of the dialect is an error, and never a stream.
func TestNoResponse(t *testing.T) {
	for _, body := range []string{``, `[]`, `null`, `{}`, `{"error":{}}`, `"x"`} {
		for _, d := range []refusal.Dialect{refusal.DialectChat, refusal.DialectResponses, refusal.DialectMessages, refusal.DialectGemini, refusal.DialectOther} {
			if events, err := Events(d, []byte(body), true); err == nil {
				t.Errorf("%s in dialect %d: %s, want an error", body, d, events)
			}
		}
	}
}
