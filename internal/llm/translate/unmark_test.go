package translate_test

import (
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/translate"
)

func TestUnmark(t *testing.T) {
	marked := neutral.Sig{Vendor: "google", Value: "c2ln"}.Mark()
	for _, c := range []struct{ name, body, want string }{
		{"none", `{"messages": [ {"role":"user"} ]}`, `{"messages": [ {"role":"user"} ]}`},
		{"no JSON", `{` + marked, `{` + marked},
		{"a user's words", `{"messages":[{"role":"user","content":"` + marked + `"}]}`, `{"messages":[{"role":"user","content":"` + marked + `"}]}`},
		{
			"messages",
			`{"a": 1.0,"messages":[{"role":"user", "content":"x"},{"role":"assistant","content":[{"type":"thinking","thinking":"h","signature":"` + marked + `"},{"type":"redacted_thinking","data":"` + marked + `"},{"type":"thinking","thinking":"own","signature":"abc"},{"type":"text","text":"t"}]}]}`,
			`{"a":1.0,"messages":[{"role":"user", "content":"x"},{"role":"assistant","content":[{"type":"thinking","thinking":"own","signature":"abc"},{"type":"text","text":"t"}]}]}`,
		},
		{
			"responses",
			`{"input":[{"type":"reasoning","summary":[],"encrypted_content":"` + marked + `"},{"type":"reasoning","encrypted_content":"gAAA"}]}`,
			`{"input":[{"type":"reasoning","encrypted_content":"gAAA"}]}`,
		},
		{
			"gemini",
			`{"contents":[{"parts":[{"text":"a","thoughtSignature":"` + marked + `"},{"functionCall":{"name":"f"},"thoughtSignature":"` + marked + `"},{"text":"b","thoughtSignature":"c2ln"}]}]}`,
			`{"contents":[{"parts":[{"text":"a"},{"functionCall":{"name":"f"},"thoughtSignature":"skip_thought_signature_validator"},{"text":"b","thoughtSignature":"c2ln"}]}]}`,
		},
		{
			"chat",
			`{"messages":[{"reasoning_details":[{"type":"reasoning.encrypted","data":"` + marked + `"}],"tool_calls":[{"id":"i","extra_content":{"google":{"thought_signature":"` + marked + `"}}}]}]}`,
			`{"messages":[{"reasoning_details":[],"tool_calls":[{"id":"i"}]}]}`,
		},
	} {
		if got := string(translate.Unmark([]byte(c.body))); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// TestModelsOwnBytes has a model that writes its calls with space and escapes: the
// next turn has the same bytes.
func TestModelsOwnBytes(t *testing.T) {
	const declared = `,"tools":[{"type":"custom","name":"p"},{"type":"function","name":"f"}]`
	const patch, arguments = `{"input": "caf\\u00e9 \\ud83d\\ude00 \\\\"}`, `{"a": 1, "b":"\\u00e9"}`
	upstream := data(call(`"index":0,`, `"i1"`, `"p"`, `"`+strings.ReplaceAll(patch, `"`, `\"`)+`"`), call(`"index":1,`, `"i2"`, `"f"`, `"`+strings.ReplaceAll(arguments, `"`, `\"`)+`"`), called)
	memory := neutral.NewCallMemory(1 << 20)
	for _, c := range []struct {
		memory *neutral.CallMemory
		want   []string
	}{
		{memory, []string{`"arguments":"{\"input\": \"caf\\u00e9 \\ud83d\\ude00 \\\\\"}"`, `"arguments":"{\"a\": 1, \"b\":\"\\u00e9\"}"`}},
		{nil, []string{`"arguments":"{\"input\":\"café 😀 \\\\\"}"`}},
	} {
		first := read(t, neutral.Responses, strings.Replace(least[neutral.Responses], `"hi"`, `"hi"`+declared, 1))
		answer := how(neutral.Chat)
		answer.Calls = c.memory
		whole, failure := translate.Whole(first, answer, []byte(upstream))
		if failure != nil {
			t.Fatal(failure)
		}
		contains(t, "the client", string(whole), `"input":"café 😀 \\"`)
		next := read(t, neutral.Responses, strings.TrimSuffix(withTurn(t, neutral.Responses, whole), "}")+declared+"}")
		sent, err := translate.Write(next, neutral.Chat, neutral.Target{Model: "m", Vendor: "v", Calls: c.memory})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			contains(t, "the next turn", string(sent.Body), want)
		}
	}
}

func TestCallMemoryIsBounded(t *testing.T) {
	memory := neutral.NewCallMemory(1000)
	first := neutral.ToolCall{ID: "first", Input: `{"a":1}`}
	memory.Record("first", `{"a": 1}`)
	if got := memory.Arguments(&first); got != `{"a": 1}` {
		t.Errorf("got %s, want the model's own", got)
	}
	if got := memory.Arguments(&neutral.ToolCall{ID: "first", Input: `{"a":2}`}); got != `{"a":2}` {
		t.Errorf("of another meaning: got %s", got)
	}
	for i := range 100 {
		memory.Record(strings.Repeat("x", i%50+1), `{"b": 2}`)
	}
	if got := memory.Arguments(&first); got != `{"a":1}` {
		t.Errorf("after many others: got %s, want the client's", got)
	}
}
