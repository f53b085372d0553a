package translate_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/translate"
)

// requests are requests as agents send them, by the name of what they show.
var requests = map[string]struct {
	dialect neutral.Dialect
	body    string
}{
	"claude": {neutral.Messages, `{"model":"claude-sonnet-5-5","max_tokens":32000,"stream":true,
"system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=2; cch=00000;"},{"type":"text","text":"You are.","cache_control":{"type":"ephemeral"}},{"type":"text","text":"More."}],
"messages":[{"role":"user","content":[{"type":"text","text":"Hi"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]},
{"role":"system","content":[{"type":"text","text":"note"}]},
{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"abc"},{"type":"text","text":"ok"},{"type":"tool_use","id":"t1","name":"Read","input":{"a": 1}},{"type":"tool_use","id":"t2","name":"Read","input":{}}]},
{"role":"user","content":[{"type":"tool_result","tool_use_id":"t2","content":[{"type":"text","text":"two"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"BBBB"}}]},{"type":"tool_result","tool_use_id":"t1","content":"one","is_error":true},{"type":"text","text":"go","cache_control":{"type":"ephemeral"}}]}],
"tools":[{"name":"Read","description":"reads","input_schema":{"$schema":"x","type":"object","properties":{"type":{"type":"integer","exclusiveMinimum":3}},"additionalProperties":false}}],
"tool_choice":{"type":"auto"},"thinking":{"type":"adaptive"},"output_config":{"effort":"high"},"metadata":{"user_id":"u"},"context_management":{"edits":[]}}`},
	"codex": {neutral.Responses, `{"model":"gpt-6-sol","stream":true,"instructions":"sys","input":[
{"type":"additional_tools","role":"developer","tools":[{"type":"custom","name":"apply_patch","description":"patch","format":{"type":"grammar","syntax":"lark","definition":"start: x"}},{"type":"namespace","name":"fs","tools":[{"type":"function","name":"ls","parameters":{"type":"object","properties":{}},"strict":false}]},{"type":"tool_search","execution":"client","description":"find tools","parameters":{"type":"object","properties":{"query":{"type":"string"}}}}]},
{"type":"message","role":"developer","content":[{"type":"input_text","text":"dev"}]},{"role":"user","content":[{"type":"input_text","text":"hi"}]},
{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"thinking"}],"content":null,"encrypted_content":"gAAA"},
{"type":"message","role":"assistant","content":[{"type":"output_text","text":"I look"}],"phase":"commentary"},
{"type":"function_call","call_id":"c1","name":"ls","namespace":"fs","arguments":"{\"p\": 1}"},{"type":"custom_tool_call","call_id":"c2","name":"apply_patch","input":"*** é\n"},{"type":"tool_search_call","call_id":"c3","execution":"client","arguments":{"query":"git"}},
{"type":"custom_tool_call_output","call_id":"c2","output":"r2"},{"type":"function_call_output","call_id":"c1","output":[{"type":"input_text","text":"r1"},{"type":"input_image","image_url":"data:image/png;base64,CCCC"}]},
{"type":"tool_search_output","call_id":"c3","execution":"client","tools":[{"type":"function","name":"git","parameters":{"type":"object","properties":{}}}]}],
"tools":[],"tool_choice":"auto","parallel_tool_calls":true,"store":false,"include":["reasoning.encrypted_content"],"prompt_cache_key":"k","reasoning":{"effort":"xhigh","summary":"auto"},"text":{"verbosity":"low"}}`},
	"gemini": {neutral.Gemini, `{"systemInstruction":{"role":"user","parts":[{"text":"sys"}]},"contents":[{"role":"user","parts":[{"text":"hi"},{"inlineData":{"mimeType":"image/png","data":"AAAA"}}]},
{"role":"model","parts":[{"text":"look"},{"functionCall":{"name":"read.file","args":{"a": 1}},"thoughtSignature":"skip_thought_signature_validator"},{"functionCall":{"name":"ls","args":{}}}]},
{"role":"user","parts":[{"functionResponse":{"name":"read.file","response":{"output":"one"}}},{"functionResponse":{"name":"ls","response":{"error":"two"}}},{"inlineData":{"mimeType":"image/png","data":"BBBB"}}]}],
"tools":[{"functionDeclarations":[{"name":"read.file","parametersJsonSchema":{"type":"object","properties":{}}},{"name":"ls","parameters":{"type":"OBJECT","properties":{"a":{"type":"STRING"}}}}]}],
"generationConfig":{"temperature":1,"topP":0.95,"topK":64,"thinkingConfig":{"includeThoughts":true,"thinkingLevel":"HIGH"}}}`},
	"chat": {neutral.Chat, `{"model":"m","stream":true,"messages":[{"role":"system","content":"sys"},{"role":"user","content":[{"type":"text","text":"hi"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]},
{"role":"assistant","content":null,"tool_calls":[{"id":"functions.f:0","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}},{"id":"c2","type":"function","function":{"name":"g","arguments":""}}]},
{"role":"tool","tool_call_id":"functions.f:0","content":"one"},{"role":"tool","tool_call_id":"c2","content":"two"},{"role":"user","content":"go"}],
"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}},{"type":"function","function":{"name":"g"}}],"temperature":1.5,"max_tokens":100,"stop":["a","b"]}`},
}

// TestRequestsAreValid writes each request for each dialect: the body is JSON, the
// conversation is last, and reading it again gives the same conversation.
func TestRequestsAreValid(t *testing.T) {
	last := map[neutral.Dialect]string{neutral.Chat: "messages", neutral.Responses: "input", neutral.Messages: "messages", neutral.Gemini: "contents"}
	for name, request := range requests {
		for _, dialect := range dialects {
			body, _ := write(t, read(t, request.dialect, request.body), dialect, "gemini-3-pro")
			if !json.Valid([]byte(body)) {
				t.Fatalf("%s to %s is no JSON: %s", name, dialect, body)
			}
			if i := strings.Index(body, `"`+last[dialect]+`":[`); i < 0 || !strings.HasSuffix(body, "]}") {
				t.Errorf("%s to %s: the conversation is not last in %s", name, dialect, body)
			}
			again, err := translate.Read(dialect, []byte(body))
			if err != nil {
				t.Errorf("%s to %s cannot be read: %v", name, dialect, err)
				continue
			}
			if dropped := again.Dropped.Header(); strings.Contains(strings.ReplaceAll(dropped, "messages[].content[].cache_control", ""), "messages[].c") {
				t.Errorf("%s to %s: not read again: %s", name, dialect, dropped)
			}
		}
	}
}

// models take reasoning in the form of today. Older ones of Anthropic's refuse it
// after a turn of another model.
var models = map[neutral.Dialect]string{
	neutral.Chat: "qwen3", neutral.Responses: "gpt-6", neutral.Messages: "claude-opus-5", neutral.Gemini: "gemini-3-pro",
}

// TestPrefix writes the conversation after each message: what a turn has sent, up to
// its last message, is how all later ones begin.
func TestPrefix(t *testing.T) {
	list := map[neutral.Dialect]string{neutral.Chat: "messages", neutral.Responses: "input", neutral.Messages: "messages", neutral.Gemini: "contents"}
	for name, request := range requests {
		var whole map[string]json.RawMessage
		if err := json.Unmarshal([]byte(request.body), &whole); err != nil {
			t.Fatal(err)
		}
		key := list[request.dialect]
		var conversation []json.RawMessage
		if err := json.Unmarshal(whole[key], &conversation); err != nil {
			t.Fatal(err)
		}
		for _, dialect := range dialects {
			previous := ""
			for n := 1; n <= len(conversation); n++ {
				if strings.Contains(string(conversation[n-1]), "tool_search_output") {
					continue // declares tools, which stand before the conversation
				}
				if !isTurn(conversation, n) {
					continue
				}
				whole[key], _ = json.Marshal(conversation[:n])
				body, _ := json.Marshal(whole)
				r, err := translate.Read(request.dialect, body)
				if err != nil {
					continue // no message has come yet
				}
				got, _ := write(t, r, dialect, models[dialect])
				if common := lastMessage(previous, list[dialect]); !strings.HasPrefix(got, common) {
					t.Errorf("%s to %s, turn of %d: got\n%s\nwhich does not begin with\n%s", name, dialect, n, got, common)
				}
				previous = got
			}
		}
	}
}

// isTurn reports whether a client sends a request after n messages: when the next
// one is the model's, or none.
func isTurn(conversation []json.RawMessage, n int) bool {
	if n == len(conversation) {
		return true
	}
	next := string(conversation[n])
	return strings.Contains(next, `"assistant"`) || strings.Contains(next, `"role":"model"`) || strings.Contains(next, `"reasoning"`)
}

// lastMessage returns a body up to its last message.
func lastMessage(body, list string) string {
	var whole map[string]json.RawMessage
	if json.Unmarshal([]byte(body), &whole) != nil {
		return ""
	}
	var messages []json.RawMessage
	if json.Unmarshal(whole[list], &messages) != nil || len(messages) == 0 {
		return ""
	}
	return body[:strings.LastIndex(body, string(messages[len(messages)-1]))]
}

// TestSystemInTheMiddle has a system text as Claude Code sends it: as array in the
// first turn, as string in later ones.
func TestSystemInTheMiddle(t *testing.T) {
	const array = `{"role":"system","content":[{"type":"text","text":"note"}]}`
	const text = `{"role":"system","content":"note"}`
	body := requests["claude"].body
	if !strings.Contains(body, array) {
		t.Fatal("no system message in the middle")
	}
	for _, dialect := range dialects {
		first, _ := write(t, read(t, neutral.Messages, body), dialect, "m")
		second, _ := write(t, read(t, neutral.Messages, strings.Replace(body, array, text, 1)), dialect, "m")
		if first != second {
			t.Errorf("to %s: got\n%s\nand\n%s", dialect, first, second)
		}
		if strings.Index(first, "note") < strings.Index(first, "AAAA") {
			t.Errorf("to %s: the text has left its place in\n%s", dialect, first)
		}
	}
}

func TestWhatIsWritten(t *testing.T) {
	for _, c := range []struct {
		name    string
		request string
		to      neutral.Dialect
		want    []string
		not     []string
	}{
		{
			"claude", "claude", neutral.Chat,
			[]string{
				`{"role":"system","content":"You are.\n\nMore."}`,
				`"tool_calls":[{"id":"t1","type":"function","function":{"name":"Read","arguments":"{\"a\": 1}"}},{"id":"t2"`,
				`{"role":"tool","tool_call_id":"t1","content":"Error: one"},{"role":"tool","tool_call_id":"t2","content":"two"},{"role":"user","content":[{"type":"text","text":"From the result of Read:"},{"type":"image_url","image_url":{"url":"data:image/png;base64,BBBB"}}]}`,
				`"reasoning_effort":"high"`,
			},
			[]string{"hm", "abc", "billing", "cache_control"},
		},
		{
			"claude", "claude", neutral.Responses,
			[]string{`{"type":"function_call_output","call_id":"t2","output":[{"type":"input_text","text":"two"},{"type":"input_image","image_url":"data:image/png;base64,BBBB","detail":"auto"}]}`, `"strict":false`, `"role":"developer","content":[{"type":"input_text","text":"note"}]`},
			[]string{"hm", "abc", `"id":`},
		},
		{
			"claude", "claude", neutral.Gemini,
			[]string{
				`{"role":"user","parts":[{"functionResponse":{"name":"Read","response":{"error":"one"}}},{"functionResponse":{"name":"Read","response":{"output":"two"}}},{"inlineData":{"mimeType":"image/png","data":"BBBB"}},{"text":"go"}]}`,
				`"thinkingLevel":"HIGH"`, `"thoughtSignature":"skip_thought_signature_validator"},{"functionCall":{"name":"Read","args":{}}}`,
			},
			[]string{"exclusiveMinimum", "$schema", "abc"},
		},
		{
			"codex", "codex", neutral.Chat,
			[]string{
				`"name":"apply_patch","description":"patch\n\nThe input must follow this Lark grammar:\nstart: x","parameters":{"type":"object","properties":{"input":{"type":"string"}}`,
				`"name":"fs__ls"`, `"name":"tool_search"`, `"name":"git"`,
				`{"role":"assistant","content":"I look","tool_calls":[{"id":"c1","type":"function","function":{"name":"fs__ls","arguments":"{\"p\": 1}"}},{"id":"c2","type":"function","function":{"name":"apply_patch","arguments":"{\"input\":\"*** é\\n\"}"}},{"id":"c3"`,
				`{"role":"tool","tool_call_id":"c1","content":"r1"},{"role":"tool","tool_call_id":"c2","content":"r2"},{"role":"tool","tool_call_id":"c3"`,
			},
			[]string{"gAAA", "thinking", "prompt_cache_key"},
		},
		{
			"codex", "codex", neutral.Messages,
			[]string{`{"type":"tool_use","id":"c2","name":"apply_patch","input":{"input":"*** é\n"}}`, `{"type":"tool_result","tool_use_id":"c1","content":[{"type":"text","text":"r1"},{"type":"image"`, `"max_tokens":32000`},
			[]string{"gAAA"},
		},
		{
			"gemini", "gemini", neutral.Chat,
			[]string{`{"id":"call_1_0","type":"function","function":{"name":"read_file_`, `{"role":"tool","tool_call_id":"call_1_1","content":"Error: two"}`, `"parameters":{"type":"object","properties":{"a":{"type":"string"}}}`, `"temperature":1`},
			[]string{"skip_thought", "OBJECT", "top_k"},
		},
		{
			"chat", "chat", neutral.Messages,
			[]string{`"temperature":1,`, `"max_tokens":100`, `"stop_sequences":["a","b"]`, `{"type":"tool_result","tool_use_id":"call_`, `{"type":"text","text":"go","cache_control":{"type":"ephemeral"}}]}]}`},
			[]string{"functions.f:0"},
		},
	} {
		got, _ := write(t, read(t, requests[c.request].dialect, requests[c.request].body), c.to, "gemini-3-flash")
		for _, want := range c.want {
			contains(t, c.name+" to "+string(c.to), got, want)
		}
		for _, not := range c.not {
			containsNot(t, c.name+" to "+string(c.to), got, not)
		}
	}
}

func TestDropped(t *testing.T) {
	for _, c := range []struct {
		request string
		to      neutral.Dialect
		want    string
	}{
		{"claude", neutral.Chat, "system[].text(x-anthropic-billing-header), system[].cache_control, messages[].content[].cache_control, metadata.user_id, context_management, messages[].content[](thinking)"},
		{"codex", neutral.Chat, "input[].phase, text.verbosity, prompt_cache_key, input[](reasoning)"},
		{"chat", neutral.Responses, "stop"},
		{"gemini", neutral.Responses, "generationConfig.topK"},
		{"gemini", neutral.Chat, "generationConfig.topK"},
	} {
		if _, got := write(t, read(t, requests[c.request].dialect, requests[c.request].body), c.to, "m"); got != c.want {
			t.Errorf("%s to %s: got %q, want %q", c.request, c.to, got, c.want)
		}
	}
}

// TestRefused has what would mean something else.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name    string
		dialect neutral.Dialect
		body    string
		to      neutral.Dialect
		want    string
	}{
		{"an unknown format", neutral.Responses, `{"text":{"format":{"type":"xml"}},"input":"a"}`, neutral.Chat, "the response format xml needs a channel that speaks responses"},
		{"n", neutral.Chat, `{"n":2,"messages":[{"role":"user","content":"a"}]}`, neutral.Messages, "more than one choice needs a channel that speaks chat or gemini"},
		{"state", neutral.Responses, `{"previous_response_id":"resp_1","input":"a"}`, neutral.Chat, "an earlier response kept by the provider needs a channel that speaks responses"},
		{"conversation", neutral.Responses, `{"conversation":"c","input":"a"}`, neutral.Gemini, "a conversation kept by the provider needs a channel that speaks responses"},
		{"background", neutral.Responses, `{"background":true,"input":"a"}`, neutral.Chat, "a response in the background needs a channel that speaks responses"},
		{"reference", neutral.Responses, `{"input":[{"type":"item_reference","id":"x"}]}`, neutral.Chat, "an item kept by the provider needs a channel that speaks responses"},
		{"compaction", neutral.Responses, `{"input":[{"type":"compaction","encrypted_content":"x"},{"role":"user","content":"a"}]}`, neutral.Chat, "a compacted conversation needs a channel that speaks responses"},
		{"cachedContent", neutral.Gemini, `{"cachedContent":"c","contents":[{"parts":[{"text":"a"}]}]}`, neutral.Chat, "content cached by the provider needs a channel that speaks gemini"},
		{"file id", neutral.Messages, `{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"file","file_id":"f"}}]}]}`, neutral.Chat, "a file that was uploaded to one provider needs a channel that speaks messages"},
		{"URL to gemini", neutral.Chat, `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://a/b.png"}}]}]}`, neutral.Gemini, "an image that is given by its URL needs a channel that speaks chat or responses or messages"},
		{"audio", neutral.Chat, `{"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"AA","format":"wav"}}]}]}`, neutral.Messages, "audio needs a channel that speaks gemini or chat"},
		{"forced tool", neutral.Responses, `{"tools":[{"type":"image_generation"},{"type":"function","name":"f"}],"tool_choice":{"type":"image_generation"},"input":"a"}`, neutral.Chat, "the forced tool image_generation needs a channel that speaks responses"},
		{"required, but no tool is left", neutral.Responses, `{"tools":[{"type":"mcp"}],"tool_choice":"required","input":"a"}`, neutral.Chat, "a forced tool needs a channel that speaks responses"},
		{"deprecated functions", neutral.Chat, `{"functions":[{"name":"f"}],"messages":[{"role":"user","content":"a"}]}`, neutral.Gemini, "the deprecated field functions needs a channel that speaks chat"},
		{"image output", neutral.Gemini, `{"contents":[{"parts":[{"text":"a"}]}],"generationConfig":{"responseModalities":["IMAGE"]}}`, neutral.Chat, "output of image needs a channel that speaks gemini"},
		{"unknown content", neutral.Chat, `{"messages":[{"role":"user","content":[{"type":"hologram"}]}]}`, neutral.Messages, "content of the type hologram needs a channel that speaks chat"},
		{"prompt", neutral.Responses, `{"prompt":{"id":"p"},"input":"a"}`, neutral.Chat, "a prompt kept by the provider needs a channel that speaks responses"},
		{"container", neutral.Messages, `{"container":"c","messages":[{"role":"user","content":"a"}]}`, neutral.Responses, "a container kept by the provider needs a channel that speaks messages"},
		{"thread", neutral.Messages, `{"thread":{"id":"t"},"messages":[{"role":"user","content":"a"}]}`, neutral.Chat, "a thread kept by the provider needs a channel that speaks messages"},
		{"file in a container", neutral.Messages, `{"messages":[{"role":"user","content":[{"type":"container_upload","file_id":"f"}]}]}`, neutral.Gemini, "a file in a provider's container needs a channel that speaks messages"},
		{"audio of a response", neutral.Chat, `{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","audio":{"id":"au"}}]}`, neutral.Messages, "messages with audio needs a channel that speaks chat"},
		{"audio output", neutral.Chat, `{"modalities":["text","audio"],"messages":[{"role":"user","content":"a"}]}`, neutral.Gemini, "output of audio needs a channel that speaks chat"},
		{"role function", neutral.Chat, `{"messages":[{"role":"user","content":"a"},{"role":"function","name":"f","content":"b"}]}`, neutral.Responses, "the deprecated role function needs a channel that speaks chat"},
		{"video", neutral.Gemini, `{"contents":[{"parts":[{"inlineData":{"mimeType":"video/mp4","data":"AA"}}]}]}`, neutral.Responses, "a video needs a channel that speaks gemini"},
		{"file by its URL", neutral.Responses, `{"input":[{"role":"user","content":[{"type":"input_file","file_url":"https://a/b.pdf"}]}]}`, neutral.Chat, "a file that is given by its URL needs a channel that speaks responses or messages"},
		{"no JSON", neutral.Chat, `{`, neutral.Messages, "The body is not a JSON object"},
		{"no messages", neutral.Messages, `{"messages":[]}`, neutral.Chat, "messages: at least one message is required"},
		{"no input", neutral.Responses, `{"input":[]}`, neutral.Chat, "input: at least one item is required"},
		{"unknown role", neutral.Messages, `{"messages":[{"role":"wizard","content":"a"}]}`, neutral.Chat, "messages[].role: unknown role wizard"},
	} {
		r, err := translate.Read(c.dialect, []byte(c.body))
		if err == nil {
			_, err = translate.Write(r, c.to, neutral.Target{Model: "m"})
		}
		if err == nil {
			t.Errorf("%s: got no error, want %q", c.name, c.want)
			continue
		}
		if err.Error() != c.want {
			t.Errorf("%s: got %q, want %q", c.name, err, c.want)
		}
		if status := translate.ErrorOf(err).Status; status != 400 {
			t.Errorf("%s: got status %d, want 400", c.name, status)
		}
	}
}

// TestEmptiedTools has Codex's request for a summary, and one with nothing but
// tools that only its own provider has.
func TestEmptiedTools(t *testing.T) {
	for _, tools := range []string{`[]`, `[{"type":"image_generation"},{"type":"web_search"}]`} {
		r := read(t, neutral.Responses, `{"model":"m","tools":`+tools+`,"tool_choice":"auto","parallel_tool_calls":false,"input":"a"}`)
		got, _ := write(t, r, neutral.Chat, "m")
		containsNot(t, tools, got, "tool")
	}
}

func TestResults(t *testing.T) {
	const calls = `{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}},{"type":"tool_use","id":"b","name":"g","input":{}}]}`
	result := func(id, text string) string {
		return `{"type":"tool_result","tool_use_id":"` + id + `","content":"` + text + `"}`
	}
	tool := func(id, text string) string {
		return `{"role":"tool","tool_call_id":"` + id + `","content":"` + text + `"}`
	}
	const missing = "No result was recorded for this call."
	for _, c := range []struct{ name, user, want string }{
		{"out of order", result("b", "2") + "," + result("a", "1"), tool("a", "1") + "," + tool("b", "2")},
		{"one is missing", result("b", "2"), tool("a", missing) + "," + tool("b", "2")},
		{"all are missing", `{"type":"text","text":"stop"}`, tool("a", missing) + "," + tool("b", missing) + `,{"role":"user","content":"stop"}`},
		{"one too many", result("a", "1") + "," + result("b", "2") + "," + result("z", "9"), tool("a", "1") + "," + tool("b", "2") + `,{"role":"user","content":"Late result of a tool call:\n\n9"}`},
		{"one twice", result("a", "1") + "," + result("a", "3") + "," + result("b", "2"), tool("a", "1") + "," + tool("b", "2") + `,{"role":"user","content":"Late result of a tool call:\n\n3"}`},
		{"text before", `{"type":"text","text":"x"},` + result("a", "1") + "," + result("b", "2"), tool("a", "1") + "," + tool("b", "2") + `,{"role":"user","content":"x"}`},
	} {
		r := read(t, neutral.Messages, `{"messages":[{"role":"user","content":"go"},`+calls+`,{"role":"user","content":[`+c.user+`]}]}`)
		got, _ := write(t, r, neutral.Chat, "m")
		if _, got, _ = strings.Cut(got, `"arguments":"{}"}}]},`); got != c.want+"]}" {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// TestSignatures takes a signature to a client of each dialect and back.
func TestSignatures(t *testing.T) {
	upstream := data(`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{}},"thoughtSignature":"c2ln"}]},"finishReason":"STOP"}]}`)
	for _, dialect := range []neutral.Dialect{neutral.Chat, neutral.Responses, neutral.Messages} {
		r := read(t, dialect, least[dialect])
		whole, err := translate.Whole(r, how(neutral.Gemini), []byte(upstream))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			vendor string
			want   string
		}{
			{"v", `"thoughtSignature":"c2ln"`},
			{"other", `"thoughtSignature":"skip_thought_signature_validator"`},
		} {
			next := read(t, dialect, withTurn(t, dialect, whole))
			sent, err := translate.Write(next, neutral.Gemini, neutral.Target{Model: "gemini-3-pro", Vendor: c.vendor})
			if err != nil {
				t.Fatal(err)
			}
			contains(t, string(dialect)+", to vendor "+c.vendor, string(sent.Body), c.want)
			for _, other := range dialects {
				sent, err := translate.Write(next, other, neutral.Target{Model: "m", Vendor: "other"})
				if err != nil {
					t.Fatal(err)
				}
				containsNot(t, string(dialect)+" to a foreign "+string(other), string(sent.Body), neutral.SignatureMark)
				containsNot(t, string(dialect)+" to a foreign "+string(other), string(sent.Body), "c2ln")
			}
		}
	}
}

// withTurn returns a request whose conversation has a response in it, as the client
// sends it back.
func withTurn(t *testing.T, dialect neutral.Dialect, response []byte) string {
	t.Helper()
	var body map[string]json.RawMessage
	if err := json.Unmarshal(response, &body); err != nil {
		t.Fatal(err)
	}
	switch dialect {
	case neutral.Chat:
		var choices []struct{ Message json.RawMessage }
		_ = json.Unmarshal(body["choices"], &choices)
		return `{"messages":[{"role":"user","content":"a"},` + string(choices[0].Message) + `]}`
	case neutral.Responses:
		items := strings.TrimSuffix(strings.TrimPrefix(string(body["output"]), "["), "]")
		return `{"input":[{"role":"user","content":"a"},` + items + `]}`
	}
	return `{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":` + string(body["content"]) + `}]}`
}
