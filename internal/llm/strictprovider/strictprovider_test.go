package strictprovider_test

import (
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/strictprovider"
)

// The turns of which the bodies below are made.
const (
	userTurn     = `{"role":"user","content":"hi"}`
	callTurn     = `{"role":"assistant","reasoning_content":"r","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]}`
	useTurn      = `{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}}]}`
	functionCall = `{"type":"function_call","call_id":"a","name":"f","arguments":"{}"}`
	hiTurn       = `{"role":"user","parts":[{"text":"hi"}]}`
)

// refusals are bodies, and a part of the error with which a provider of the dialect
// refuses them. Empty: it accepts the body, so that a neighbour is refused for what differs.
var refusals = []struct {
	dialect    neutral.Dialect
	body, want string
}{
	{neutral.Chat, `{"model":"m","messages":[` + userTurn + `],"stop":["1","2","3","4"]}`, ""},
	{neutral.Chat, `{"model":"m","messages":[` + userTurn + `],"top_k":1}`, "top_k"},
	{neutral.Chat, `{"messages":[` + userTurn + `]}`, "model"},
	{neutral.Chat, `{"model":"m","messages":[]}`, "too short"},
	{neutral.Chat, `{"model":"m","messages":[` + userTurn + `],"stop":["1","2","3","4","5"]}`, "stop"},
	{neutral.Chat, `{"model":"m","messages":[` + userTurn + `],"stream_options":{}}`, "stream_options"},
	{neutral.Chat, `{"model":"m","messages":[` + userTurn + `],"tools":[]}`, "too short"},
	{neutral.Chat, `{"model":"m","messages":[` + userTurn + `],"tool_choice":"auto"}`, "tool_choice"},
	{neutral.Chat, `{"model":"m","messages":[` + userTurn + `],"parallel_tool_calls":true}`, "parallel_tool_calls"},
	{neutral.Chat, `{"model":"m","messages":[` + userTurn + `],"tools":[{"type":"custom","custom":{"name":"f"}}]}`, "'type' of tool"},
	{neutral.Chat, `{"model":"m","messages":[` + userTurn + `],"tools":[{"type":"function","function":{"name":"a.b"}}]}`, "name"},
	{neutral.Chat, `{"model":"m","messages":[` + userTurn + `],"tools":[{"type":"function","function":{"name":"f","parameters":{}}}]}`, "type 'object'"},
	{neutral.Chat, `{"model":"m","messages":[` + userTurn + `,` + callTurn + `]}`, "no result"},
	{neutral.Chat, `{"model":"m","messages":[` + userTurn + `,` + callTurn + `,` + userTurn + `]}`, "must be followed"},
	{neutral.Chat, `{"model":"m","messages":[` + userTurn + `,` + strings.Replace(callTurn, `"r"`, `""`, 1) + `]}`, "reasoning_content"},
	{neutral.Chat, `{"model":"m","messages":[{"role":"tool","tool_call_id":"b","content":""}]}`, "preceding"},
	{neutral.Chat, `{"model":"m","messages":[` + userTurn + `,` + callTurn + `,{"role":"tool","tool_call_id":"a","content":[{"type":"image_url"}]}]}`, "image_url"},

	{neutral.Chat, `{"model":"gpt-5","max_completion_tokens":9,"temperature":1,"messages":[` + userTurn + `]}`, ""},
	{neutral.Chat, `{"model":"gpt-5","max_tokens":9,"messages":[` + userTurn + `]}`, "max_tokens"},
	{neutral.Chat, `{"model":"gpt-5","top_p":0.9,"messages":[` + userTurn + `]}`, "top_p"},
	{neutral.Chat, `{"model":"o3","stop":"x","messages":[` + userTurn + `]}`, "stop"},
	{neutral.Chat, `{"model":"gpt-5","reasoning_effort":"low","tools":[{"type":"function","function":{"name":"f"}}],"messages":[` + userTurn + `]}`, "/v1/responses"},
	{neutral.Chat, `{"model":"m","messages":[` + userTurn + `],"response_format":{"type":"json_schema","json_schema":{"schema":{}}}}`, "name"},
	{neutral.Chat, `{"model":"m","messages":[` + userTurn + `],"response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"type":"object","properties":{"a":{}}}}}}`, "strict"},
	{neutral.Chat, `{"model":"m","messages":[` + userTurn + `],"tools":[{"type":"function","function":{"name":"f","strict":true,"parameters":{"type":"object","properties":{"a":{}}}}}]}`, "strict"},
	{neutral.Responses, `{"model":"gpt-5","input":"hi","temperature":0.5}`, "temperature"},
	{neutral.Responses, `{"model":"m","input":"hi","text":{"format":{"type":"json_schema","name":"a b","schema":{}}}}`, "name"},
	{neutral.Messages, `{"model":"claude-sonnet-4-5","max_tokens":2000,"temperature":1,"thinking":{"type":"enabled","budget_tokens":1024},"messages":[` + userTurn + `]}`, ""},
	{neutral.Messages, `{"model":"claude-sonnet-4-5","max_tokens":1024,"thinking":{"type":"enabled","budget_tokens":1024},"messages":[` + userTurn + `]}`, "budget_tokens"},
	{neutral.Messages, `{"model":"claude-sonnet-4-5","max_tokens":2000,"thinking":{"type":"adaptive"},"messages":[` + userTurn + `]}`, "thinking.type"},
	{neutral.Messages, `{"model":"claude-sonnet-4-5","max_tokens":2000,"temperature":0.5,"thinking":{"type":"enabled","budget_tokens":1024},"messages":[` + userTurn + `]}`, "set to 1"},
	{neutral.Messages, `{"model":"claude-sonnet-4-5","max_tokens":2000,"temperature":0.5,"top_p":0.5,"messages":[` + userTurn + `]}`, "top_p"},
	{neutral.Messages, `{"model":"claude-sonnet-4-5","max_tokens":2000,"temperature":1.5,"messages":[` + userTurn + `]}`, "0..1"},
	{neutral.Messages, `{"model":"claude-sonnet-4-5","max_tokens":2000,"output_config":{"effort":"low"},"messages":[` + userTurn + `]}`, "effort"},
	{neutral.Messages, `{"model":"claude-sonnet-4-5","max_tokens":2000,"thinking":{"type":"enabled","budget_tokens":1024},"messages":[` + userTurn + `,` + useTurn + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"a"}]}]}`, "Expected `thinking`"},
	{neutral.Messages, `{"model":"claude-opus-5","max_tokens":9,"thinking":{"type":"disabled"},"output_config":{"effort":"max"},"messages":[` + userTurn + `]}`, "disabled"},
	{neutral.Messages, `{"model":"m","max_tokens":1,"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}},"messages":[` + userTurn + `]}`, "additionalProperties"},
	{neutral.Messages, `{"model":"m","max_tokens":1,"output_config":{"format":{"type":"json_schema","schema":{"type":"string","maxLength":1}}},"messages":[` + userTurn + `]}`, "maxLength"},
	{neutral.Messages, `{"model":"m","max_tokens":1,"tools":[{"name":"f","strict":true,"input_schema":{"type":"object"}}],"messages":[` + userTurn + `]}`, "additionalProperties"},
	{neutral.Gemini, `{"contents":[` + hiTurn + `],"tools":[{"googleSearch":{}},{"functionDeclarations":[{"name":"f"}]}]}`, "unsupported"},
	{neutral.Gemini, `{"contents":[` + hiTurn + `],"tools":[{"functionDeclarations":[{"name":"f","parameters":{},"parametersJsonSchema":{}}]}]}`, "only one of"},

	{neutral.Messages, `{"model":"m","max_tokens":1,"messages":[` + userTurn + `]}`, ""},
	{neutral.Messages, `{"model":"m","messages":[` + userTurn + `]}`, "max_tokens"},
	{neutral.Messages, `{"model":"m","max_tokens":1,"seed":1,"messages":[` + userTurn + `]}`, "seed"},
	{neutral.Messages, `{"model":"m","max_tokens":1,"temperature":1,"messages":[` + userTurn + `]}`, "temperature"},
	{neutral.Messages, `{"model":"m","max_tokens":1,"messages":[{"role":"assistant","content":"a"}]}`, "first message"},
	{neutral.Messages, `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"text","text":" "}]}]}`, "non-empty"},
	{neutral.Messages, `{"model":"m","max_tokens":1,"thinking":{"type":"enabled","budget_tokens":1024},"messages":[` + userTurn + `]}`, "thinking.type"},
	{neutral.Messages, `{"model":"m","max_tokens":1,"thinking":{"type":"adaptive"},"tools":[{"name":"f","input_schema":{"type":"object"}}],"tool_choice":{"type":"any"},"messages":[` + userTurn + `]}`, "forces tool use"},
	{neutral.Messages, `{"model":"m","max_tokens":1,"tools":[{"name":"f","input_schema":{}}],"messages":[` + userTurn + `]}`, "input_schema.type"},
	{neutral.Messages, `{"model":"m","max_tokens":1,"tools":[{"name":"f","input_schema":{"type":"object","anyOf":[]}}],"messages":[` + userTurn + `]}`, "top level"},
	{neutral.Messages, `{"model":"m","max_tokens":1,"tool_choice":{"type":"auto"},"messages":[` + userTurn + `]}`, "tool_choice"},
	{neutral.Messages, `{"model":"m","max_tokens":1,"messages":[` + userTurn + `,` + useTurn + `,` + userTurn + `]}`, "without `tool_result`"},
	{neutral.Messages, `{"model":"m","max_tokens":1,"messages":[` + userTurn + `,` + strings.Replace(useTurn, `"a"`, `"a:0"`, 1) + `]}`, "pattern"},
	{neutral.Messages, `{"model":"m","max_tokens":1,"messages":[` + userTurn + `,` + useTurn + `,{"role":"user","content":[{"type":"text","text":"x"},{"type":"tool_result","tool_use_id":"a"}]}]}`, "come first"},
	{neutral.Messages, `{"model":"m","max_tokens":1,"messages":[` + userTurn + `,{"role":"assistant","content":[{"type":"thinking","thinking":"a","signature":"foreign"}]}]}`, "Invalid `signature`"},
	{neutral.Messages, `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/bmp"}}]}]}`, "media_type"},

	{neutral.Responses, `{"model":"m","input":"hi"}`, ""},
	{neutral.Responses, `{"model":"m"}`, "input"},
	{neutral.Responses, `{"model":"m","input":"hi","stop":"x"}`, "stop"},
	{neutral.Responses, `{"model":"m","input":"hi","max_output_tokens":1}`, "max_output_tokens"},
	{neutral.Responses, `{"model":"m","input":"hi","tools":[{"type":"function","name":"f","parameters":{"type":"object","properties":{"a":{}}}}]}`, "strict"},
	{neutral.Responses, `{"model":"m","input":"hi","tools":[{"type":"bash"}]}`, "tools[].type"},
	{neutral.Responses, `{"model":"m","input":"hi","tool_choice":"required"}`, "required"},
	{neutral.Responses, `{"model":"m","input":[` + functionCall + `]}`, "no result"},
	{neutral.Responses, `{"model":"m","input":[{"type":"function_call_output","call_id":"b","output":""}]}`, "no call"},
	{neutral.Responses, `{"model":"m","input":[` + strings.Replace(functionCall, `"name"`, `"id":"call_1","name"`, 1) + `]}`, "begins with 'fc_'"},
	{neutral.Responses, `{"model":"m","input":[{"role":"assistant","content":[{"type":"input_text","text":"a"}]}]}`, "input_text"},
	{neutral.Responses, `{"model":"m","input":[{"type":"reasoning","summary":[],"encrypted_content":"foreign"}]}`, "verified"},

	{neutral.Gemini, `{"contents":[` + hiTurn + `]}`, ""},
	{neutral.Gemini, `{"contents":[]}`, "contents"},
	{neutral.Gemini, `{"contents":[` + hiTurn + `],"model":"m"}`, "model"},
	{neutral.Gemini, `{"contents":[{"role":"system","parts":[{"text":"a"}]}]}`, "role"},
	{neutral.Gemini, `{"contents":[{"role":"user","parts":[]}]}`, "empty"},
	{neutral.Gemini, `{"contents":[` + hiTurn + `],"generationConfig":{"thinkingConfig":{"thinkingLevel":"LOW","thinkingBudget":1}}}`, "only set one"},
	{neutral.Gemini, `{"contents":[` + hiTurn + `],"tools":[{"functionDeclarations":[{"name":"f","parametersJsonSchema":{"type":"object","propertyNames":{}}}]}]}`, "unknown name"},
	{neutral.Gemini, `{"contents":[` + hiTurn + `],"tools":[{"functionDeclarations":[{"name":"1f"}]}]}`, "function name"},
	{neutral.Gemini, `{"contents":[` + hiTurn + `,{"role":"model","parts":[{"functionCall":{"name":"f"}}]}]}`, "thought_signature"},
	{neutral.Gemini, `{"contents":[` + hiTurn + `,{"role":"model","parts":[{"functionCall":{"name":"f"},"thoughtSignature":"foreign"}]}]}`, "Corrupted"},
	{neutral.Gemini, `{"contents":[` + hiTurn + `,{"role":"model","parts":[{"functionCall":{"name":"f"},"thoughtSignature":"skip_thought_signature_validator"}]},` + hiTurn + `]}`, "number of function response"},
	{neutral.Gemini, `{"contents":[{"role":"user","parts":[{"fileData":{"fileUri":"https://example.com/a.png"}}]}]}`, "fetch"},
}

// Each dialect refuses what its provider refuses, and takes the same without it.
func TestRefusals(t *testing.T) {
	for _, c := range refusals {
		p := &strictprovider.Provider{Dialect: c.dialect, Vendor: "v"}
		err := p.Check("gemini-3-flash", []byte(c.body))
		if c.want == "" {
			if err != nil {
				t.Errorf("%s refuses %s: %v", c.dialect, c.body, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s to %s: got %v, want an error with %q", c.dialect, c.body, err, c.want)
		}
	}
}
