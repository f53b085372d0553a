package translate_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/strictprovider"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/translate"
)

// TestRecordedAgents has what Codex, Claude Code and the Gemini CLI have sent (see
// RECORD_AGENTS in the tests of the gateway), towards each other dialect: strict
// providers take it, each tool arrives, and a turn begins with the bytes of the one
// before it.
func TestRecordedAgents(t *testing.T) {
	files, err := filepath.Glob("testdata/agents/*.jsonl")
	if err != nil || len(files) != 6 {
		t.Fatalf("there are %d recordings (%v), want 6", len(files), err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		from := recordedDialect(file)
		for _, to := range dialects {
			if to == from {
				continue
			}
			for _, model := range strictModels[to] {
				checkRecording(t, filepath.Base(file), content, from, to, model)
			}
		}
	}
}

// checkRecording translates the requests of a recording for a model.
func checkRecording(t *testing.T, name string, content []byte, from, to neutral.Dialect, model string) {
	t.Helper()
	lists := map[neutral.Dialect]string{neutral.Chat: "messages", neutral.Responses: "input", neutral.Messages: "messages", neutral.Gemini: "contents"}
	var begin []byte
	for i, line := range bytes.Split(bytes.TrimSpace(content), []byte("\n")) {
		r := read(t, from, string(line))
		sent, err := translate.Write(r, to, neutral.Target{Model: model, Vendor: "other"})
		if err != nil {
			t.Fatalf("%s, request %d to %s: %v", name, i, model, err)
		}
		provider := strictprovider.Provider{Dialect: to, Vendor: "other"}
		if err := provider.Check(model, sent.Body); err != nil {
			t.Errorf("%s, request %d: %s refuses it: %v", name, i, model, err)
		}
		for j := range r.Tools {
			if name := r.Names.Sent(r.Tools[j].ToolRef); r.Tools[j].IsClientTool() && !bytes.Contains(sent.Body, []byte(`"name":"`+name+`"`)) {
				t.Errorf("%s, request %d: %s is not declared to %s", name, i, name, model)
			}
		}
		// Anthropic's older models must not think when the thoughts of a call are lost.
		if changes := model == "claude-sonnet-4-5"; !changes && !bytes.HasPrefix(sent.Body, begin) {
			t.Errorf("%s, request %d to %s does not begin with the bytes of the one before it", name, i, model)
		}
		var fields map[string]json.RawMessage
		var elements []json.RawMessage
		if json.Unmarshal(sent.Body, &fields) != nil || json.Unmarshal(fields[lists[to]], &elements) != nil || len(elements) == 0 {
			t.Fatalf("%s, request %d to %s has no conversation", name, i, model)
		}
		begin = sent.Body[:bytes.LastIndex(sent.Body, elements[len(elements)-1])]
	}
}

// strictModels are models of each dialect that differ in what they refuse.
var strictModels = map[neutral.Dialect][]string{
	neutral.Chat:      {"deepseek-v4", "gpt-5.4", "qwen3", "openai/gpt-oss-120b"},
	neutral.Responses: {"gpt-5.4", "gpt-4.1"},
	neutral.Messages:  {"claude-opus-5", "claude-sonnet-4-5"},
	neutral.Gemini:    {"gemini-3-flash", "gemini-2.5-pro", "gemini-3.5-pro"},
}

// TestStrictModels has requests that mean much towards each model: providers take
// them.
func TestStrictModels(t *testing.T) {
	for from, fields := range demanding {
		for i, field := range fields {
			body := least[from][:len(least[from])-1] + "," + field + "}"
			r := read(t, from, body)
			for _, to := range dialects {
				if to == from {
					continue
				}
				for _, model := range strictModels[to] {
					sent, err := translate.Write(r, to, neutral.Target{Model: model, Vendor: "other"})
					if err != nil {
						t.Errorf("%s %d to %s: %v", from, i, model, err)
						continue
					}
					provider := strictprovider.Provider{Dialect: to, Vendor: "other"}
					if err := provider.Check(model, sent.Body); err != nil {
						t.Errorf("%s, %s: %s refuses %s: %v", from, field, model, sent.Body, err)
					}
				}
			}
		}
	}
}

// demanding are fields that some model or other refuses.
var demanding = map[neutral.Dialect][]string{
	neutral.Chat: {
		`"temperature":1.7,"top_p":0.5,"frequency_penalty":1,"presence_penalty":1,"seed":1,"stop":["1","2","3","4"]`,
		`"max_tokens":5`, `"max_completion_tokens":1000,"reasoning_effort":"high"`, `"reasoning_effort":"none","temperature":0.5`, `"reasoning_effort":"xhigh"`, `"reasoning_effort":"minimal","top_p":0.5`,
		`"reasoning_effort":"medium","tools":[{"type":"function","function":{"name":"f","strict":true,"parameters":{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}}}],"tool_choice":"required"`,
		`"tools":[{"type":"function","function":{"name":"a.b:c","parameters":{"type":"object","anyOf":[{"required":["a"]}],"properties":{"a":{"type":"string","pattern":"x","minLength":1}}}}},{"type":"function","function":{"name":"f"}}],"parallel_tool_calls":false`,
		`"response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"type":"object","properties":{"a":{"type":["string","null"]},"n":{"type":"integer","minimum":1}},"required":["a","n"],"additionalProperties":false}}}`,
		`"response_format":{"type":"json_object"}`, `"tools":[],"tool_choice":"none"`, `"web_search_options":{},"tools":[{"type":"function","function":{"name":"f"}}]`,
	},
	neutral.Responses: {
		`"temperature":1.7,"top_p":0.5`, `"max_output_tokens":20`, `"reasoning":{"effort":"high","summary":"detailed"}`, `"reasoning":{"effort":"none"},"temperature":0.2`,
		`"tools":[{"type":"function","name":"f","parameters":{"type":"object","properties":{}}},{"type":"web_search"},{"type":"custom","name":"g","format":{"type":"grammar","syntax":"lark","definition":"start: x"}}],"tool_choice":{"type":"custom","name":"g"}`,
		`"text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object","properties":{"a":{"type":"string","maxLength":3}}}},"verbosity":"low"}`, `"tools":[],"tool_choice":"auto","parallel_tool_calls":true`,
	},
	neutral.Messages: {
		`"temperature":0.5,"top_p":0.5,"top_k":5,"stop_sequences":["1","2","3","4","5","6"]`, `"max_tokens":1`, `"max_tokens":32000,"thinking":{"type":"enabled","budget_tokens":31999}`,
		`"thinking":{"type":"adaptive"},"output_config":{"effort":"max"}`, `"thinking":{"type":"disabled"},"temperature":0.5`,
		`"output_config":{"format":{"type":"json_schema","schema":{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"object","properties":{"c":{}},"additionalProperties":false}},"required":["a"],"additionalProperties":false}}}`,
		`"tools":[{"name":"f","strict":true,"input_schema":{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}},{"type":"web_search_20250305","name":"web_search"}],"tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true}`,
		`"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"tool_use","id":"a","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":[]}]}],"tools":[{"name":"f","input_schema":{"type":"object"}}],"thinking":{"type":"enabled","budget_tokens":2000},"max_tokens":4000`,
		`"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"system","content":"c"},{"role":"user","content":"d"}]`,
	},
	neutral.Gemini: {
		`"generationConfig":{"temperature":1.7,"topP":0.95,"topK":64,"seed":1,"presencePenalty":1,"stopSequences":["1","2","3","4","5"]}`, `"generationConfig":{"maxOutputTokens":5}`,
		`"generationConfig":{"thinkingConfig":{"thinkingBudget":24576,"includeThoughts":true}}`, `"generationConfig":{"thinkingConfig":{"thinkingLevel":"MINIMAL"}}`, `"generationConfig":{"thinkingConfig":{"thinkingBudget":0},"temperature":0}`,
		`"generationConfig":{"responseMimeType":"application/json","responseSchema":{"type":"OBJECT","nullable":true,"properties":{"a":{"type":"STRING","maxLength":"3"}}}}`,
		`"tools":[{"functionDeclarations":[{"name":"a.b","parameters":{"type":"OBJECT","properties":{"a":{"type":"INTEGER","minimum":1}}}}]},{"googleSearch":{}}],"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["a.b"]}}`,
	},
}

// TestSignatureOfCall has a signature that the client has kept on a call alone, as the
// Gemini CLI does: it goes back to the vendor that gave it, and to no other.
func TestSignatureOfCall(t *testing.T) {
	for vendor, want := range map[string]bool{"v": true, "other": false} {
		sig := neutral.Sig{Vendor: vendor, Value: "c2ln"}
		body := `{"contents":[{"role":"user","parts":[{"text":"hi"}]},{"role":"model","parts":[{"functionCall":{"id":"c","name":"f","args":{}},"thoughtSignature":"` + sig.Mark() +
			`"}]},{"role":"user","parts":[{"functionResponse":{"id":"c","name":"f","response":{"output":"x"}}}]}]}`
		got, dropped := write(t, read(t, neutral.Gemini, body), neutral.Responses, "gpt-5.4")
		if is := strings.Contains(got, `{"type":"reasoning","summary":[],"encrypted_content":"c2ln"},{"type":"function_call"`); is != want {
			t.Errorf("of %s: the signature is sent: %v, want %v, in %s", vendor, is, want, got)
		}
		if is := dropped == ""; is != want {
			t.Errorf("of %s: dropped %q", vendor, dropped)
		}
	}
}
