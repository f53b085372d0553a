package translate_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go/v2"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/responses"
	"google.golang.org/genai"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/translate"
)

// geminiRequest is the body of generateContent. The SDK has types for its fields
// only.
type geminiRequest struct {
	Contents          []*genai.Content        `json:"contents"`
	SystemInstruction *genai.Content          `json:"systemInstruction"`
	Tools             []*genai.Tool           `json:"tools"`
	ToolConfig        *genai.ToolConfig       `json:"toolConfig"`
	SafetySettings    []*genai.SafetySetting  `json:"safetySettings"`
	CachedContent     string                  `json:"cachedContent"`
	GenerationConfig  *genai.GenerationConfig `json:"generationConfig"`
	Labels            map[string]string       `json:"labels"`
}

// sdks are the request types of the official SDKs.
var sdks = map[neutral.Dialect]reflect.Type{
	neutral.Chat:      reflect.TypeFor[openai.ChatCompletionNewParams](),
	neutral.Responses: reflect.TypeFor[responses.ResponseNewParams](),
	neutral.Messages:  reflect.TypeFor[anthropic.MessageNewParams](),
	neutral.Gemini:    reflect.TypeFor[geminiRequest](),
}

// maxVariants is more than any union of the SDKs has.
const maxVariants = 40

// eachFilled calls a function with requests of a dialect: with each field of the SDK's
// request, alone, and each member of each union in it.
func eachFilled(t *testing.T, dialect neutral.Dialect, each func(body []byte, leaves []leaf)) {
	request := sdks[dialect]
	for i := range request.NumField() {
		field := request.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" || name == "-" || !field.IsExported() || name == "model" {
			continue
		}
		for variant := range 2 * maxVariants {
			f := filler{variant: variant / 2, role: "user"}
			if variant%2 == 1 {
				f.role = map[bool]string{true: "model", false: "assistant"}[dialect == neutral.Gemini]
			}
			var body map[string]any
			_ = json.Unmarshal([]byte(least[dialect]), &body)
			body[name] = f.value(field.Type, name, name)
			needTools(dialect, name, body)
			text, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			each(text, f.leaves)
		}
	}
}

// TestSDKs fills each field of each SDK's request. What is neither in the body that is
// sent, nor named as dropped, nor the reason of an error, was lost without a word.
func TestSDKs(t *testing.T) {
	for dialect := range sdks {
		refused, checked := 0, 0
		lost := map[string]bool{}
		eachFilled(t, dialect, func(body []byte, leaves []leaf) {
			for _, to := range dialects {
				if to == dialect {
					continue
				}
				if !checkKept(dialect, to, body, leaves, lost) {
					refused++
				} else {
					checked++
				}
			}
		})
		for path := range lost {
			t.Errorf("%s: %s was lost without a word", dialect, path)
		}
		if checked < refused/4 {
			t.Errorf("%s: %d requests were refused, %d checked", dialect, refused, checked)
		}
	}
}

// needTools declares a tool beside fields that mean nothing without one.
func needTools(dialect neutral.Dialect, name string, body map[string]any) {
	if name != "tool_choice" && name != "parallel_tool_calls" && name != "toolConfig" {
		return
	}
	tools := map[neutral.Dialect]string{
		neutral.Chat:      `[{"type":"function","function":{"name":"t"}}]`,
		neutral.Responses: `[{"type":"function","name":"t"}]`,
		neutral.Messages:  `[{"name":"t"}]`,
		neutral.Gemini:    `[{"functionDeclarations":[{"name":"t"}]}]`,
	}
	body["tools"] = json.RawMessage(tools[dialect])
}

// checkKept reports whether a request is served, and records what it loses.
func checkKept(from, to neutral.Dialect, body []byte, leaves []leaf, lost map[string]bool) bool {
	r, err := translate.Read(from, body)
	if err != nil {
		return false
	}
	sent, err := translate.Write(r, to, neutral.Target{Model: models[to], Vendor: "v"})
	if err != nil {
		return false
	}
	for _, leaf := range leaves {
		if !isLink(leaf.path) && !strings.Contains(string(sent.Body), leaf.mark) && !isNamed(leaf.path, sent.Dropped.Names()) {
			lost[leaf.path+" to "+string(to)] = true
		}
	}
	return true
}

// links are the ends of fields that say which call a result belongs to, or name an
// item, and of those whose number becomes a word.
var links = []string{".id", "call_id", "tool_use_id", "budget_tokens", "thinkingBudget"}

func isLink(path string) bool {
	for _, end := range links {
		if strings.HasSuffix(path, end) {
			return true
		}
	}
	return false
}

// isNamed reports whether a field, or what it is a part of, was named as dropped.
func isNamed(path string, dropped []string) bool {
	for _, name := range dropped {
		name, label, _ := strings.Cut(name, "(")
		if label != "" && isSchema(name) { // it is a keyword of the schema
			if strings.HasPrefix(path, name+".") && strings.Contains(path+".", "."+strings.TrimSuffix(label, ")")+".") {
				return true
			}
			continue
		}
		name = strings.TrimSuffix(name, "[]")
		if name == "" || name == "…" {
			return name == "…"
		}
		if rest, ok := strings.CutPrefix(path, name); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

// isSchema reports whether a name is that of a schema.
func isSchema(name string) bool {
	for _, end := range []string{"parameters", "parametersJsonSchema", "input_schema", "schema", "Schema"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}
