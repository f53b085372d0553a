package translate_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/translate"
)

// codexTools declares tools where Codex does: in an item, without any at the top.
const codexTools = `{"type":"additional_tools","role":"developer","tools":[
{"type":"custom","name":"apply_patch","format":{"type":"grammar","syntax":"lark","definition":"start: x"}},
{"type":"namespace","name":"fs","tools":[{"type":"function","name":"ls","parameters":{"type":"object","properties":{}}},{"type":"custom","name":"run"}]},
{"type":"namespace","name":"db","tools":[{"type":"function","name":"ls","parameters":{"type":"object","properties":{}}}]},
{"type":"tool_search","execution":"client","parameters":{"type":"object","properties":{"query":{"type":"string"}}}}]}`

// answerTo returns a chat stream that calls tools by the names that were sent, cut
// into pieces of a few bytes.
func answerTo(calls [][2]string, size int) string {
	events := []string{role}
	for i, c := range calls {
		index := `"index":` + string(rune('0'+i)) + `,`
		events = append(events, call(index, `"c`+string(rune('0'+i))+`"`, `"`+c[0]+`"`, `""`))
		for rest := c[1]; rest != ""; {
			n := min(size, len(rest))
			for n < len(rest) && rest[n]&0xC0 == 0x80 {
				n++ // JSON does not cut a character
			}
			piece, _ := json.Marshal(rest[:n])
			events = append(events, chunk(`{"tool_calls":[{`+index+`"function":{"arguments":`+string(piece)+`}}]}`))
			rest = rest[n:]
		}
	}
	return data(append(events, called, "[DONE]")...)
}

// TestCodexCalls has each kind of tool called: what comes back is the kind that was
// declared, with name, namespace and call_id, however the arguments are cut.
func TestCodexCalls(t *testing.T) {
	r := read(t, neutral.Responses, `{"model":"m","stream":true,"input":[`+codexTools+`,{"role":"user","content":"hi"}]}`)
	body, _ := write(t, r, neutral.Chat, "m")
	for _, name := range []string{"apply_patch", "fs__ls", "fs__run", "db__ls", "tool_search"} {
		contains(t, "declared", body, `"name":"`+name+`"`)
	}
	const want = "caf\u00e9 😀 \\ \"q\"\n"
	calls := [][2]string{
		{"apply_patch", `{"input":"caf\u00e9 \ud83d\ude00 \\ \"q\"\n"}`},
		{"fs__ls", `{"a":1}`},
		{"fs__run", `{"input":"é"}`},
		{"db__ls", `{}`},
		{"tool_search", `{"query":"git"}`},
		{"never_declared", `{}`},
	}
	for size := 1; size < 40; size++ {
		got := stream(r, neutral.Chat, answerTo(calls, size))
		for _, item := range []string{
			`"type":"custom_tool_call","status":"completed","call_id":"c0","name":"apply_patch","input":"café 😀 \\ \"q\"\n"`,
			`"type":"function_call","status":"completed","call_id":"c1","name":"ls","namespace":"fs","arguments":"{\"a\":1}"`,
			`"type":"custom_tool_call","status":"completed","call_id":"c2","name":"run","namespace":"fs","input":"é"`,
			`"type":"function_call","status":"completed","call_id":"c3","name":"ls","namespace":"db","arguments":"{}"`,
			`"type":"tool_search_call","status":"completed","call_id":"c4","execution":"client","arguments":{"query":"git"}`,
			`"type":"function_call","status":"completed","call_id":"c5","name":"never_declared","arguments":"{}"`,
		} {
			if n := strings.Count(got, item); n != 2 {
				t.Errorf("pieces of %d: %s is there %d times, want 2: when it is done, and in the end", size, item, n)
			}
		}
		if joined := joinDeltas(t, got, "response.custom_tool_call_input.delta", 0); joined != want {
			t.Errorf("pieces of %d: the deltas say %q, want %q", size, joined, want)
		}
	}
}

// joinDeltas returns what the deltas of an item say together.
func joinDeltas(t *testing.T, stream, kind string, index int) (joined string) {
	t.Helper()
	for _, line := range strings.Split(stream, "\n") {
		var event struct {
			Type        string
			OutputIndex int `json:"output_index"`
			Delta       string
		}
		if text, ok := strings.CutPrefix(line, "data: "); !ok || json.Unmarshal([]byte(text), &event) != nil {
			continue
		}
		if event.Type == kind && event.OutputIndex == index {
			joined += event.Delta
		}
	}
	return joined
}

// TestFoundTools has tools that a search has found: they are appended, and in later
// turns the array begins with the same bytes.
func TestFoundTools(t *testing.T) {
	const search = `,{"role":"user","content":"hi"},{"type":"tool_search_call","call_id":"s","execution":"client","arguments":{"query":"q"}}`
	const found = `,{"type":"tool_search_output","call_id":"s","execution":"client","tools":[{"type":"namespace","name":"git","tools":[{"type":"function","name":"log"}]},{"type":"function","name":"apply_patch"}]}`
	tools := func(input string) string {
		r := read(t, neutral.Responses, `{"model":"m","input":[`+codexTools+input+`]}`)
		sent, err := translate.Write(r, neutral.Chat, neutral.Target{Model: "m"})
		if err != nil {
			t.Fatal(err)
		}
		var body struct{ Tools json.RawMessage }
		if err := json.Unmarshal(sent.Body, &body); err != nil {
			t.Fatal(err)
		}
		return string(body.Tools)
	}
	before, after := tools(search), tools(search+found)
	if !strings.HasPrefix(after, strings.TrimSuffix(before, "]")) {
		t.Errorf("got\n%s\nwhich does not begin with\n%s", after, before)
	}
	contains(t, "the found tool", after, `"name":"git__log"`)
	if n := strings.Count(after, `"apply_patch"`); n != 1 {
		t.Errorf("apply_patch is declared %d times, want once: the first one counts", n)
	}
}
