package llmgateway

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// naming are what a body may have beside its model to get at another one. M
// stands for that one.
var naming = []string{
	`"models":["M"]`, `"models":["m","M"]`, `"models":"M"`, `"models":[["M"]]`, `"mODELS":["M"]`, `"mod\u0065ls":["M"]`, `"models":["\u004d"]`, `"models":[" M "]`,
	`"fallbacks":["M"]`, `"fallbacks":[{"m":["M"]}]`, `"fallbacks":[{"model":"M","messages":[{"role":"user","content":"m"}]}]`, `"fallback":"M"`,
	`"fallback_model":"M"`, `"fallback_model":"\u004d"`, `"fallbackModels":["M"]`, `"context_window_fallback_dict":{"m":"M"}`, `"model_list":[{"model_name":"m","litellm_params":{"model":"M"}}]`,
	`"route":"fallback","models":["m"],"models":["M"]`, `"provider":{"order":["x"],"models":["M"]}`, `"provider":{"fallbacks":["M"]}`, `"provider":[{"a":[{"model":"M"}]}]`,
	`"providerOptions":{"gateway":{"models":["M"]}}`, `"provider_options":{"gateway":{"order":["x"],"model":"M"}}`, `"provideroptions":{"x":{"modelId":"M"}}`,
	`"extra_body":{"model":"M"}`, `"extraBody":{"models":["M"]}`, `"extra_body":{"extra_body":{"fallbacks":["M"]}}`, `"session":{"model":"M"}`,
	`"session":{"audio":{"input":{"transcription":{"model":"M"}}}}`, `"plugins":[{"id":"auto-router","allowed_models":["M"]}]`, `"plugins":[{"id":"fusion","analysis_models":["m","M"]}]`,
	`"preset":"M"`, `"engine":"M"`, `"deployment_id":"M"`, `"generationConfig":{"routingConfig":{"manualMode":{"modelName":"M"}}}`,
	`"generateContentRequest":{"model":"models/M","contents":[]}`, `"requests":[{"model":"models/m"},{"model":"models/M","content":{"parts":[]}}]`,
	`"tools":[{"type":"image_generation","model":"M"}]`, `"tools":[{"type":"function","function":{"name":"f"}},{"type":"x:subagent","parameters":{"model":"M"}}]`,
	`"tools":[{"type":"namespace","name":"n","tools":[{"type":"image_generation","model":"M"}]}]`, `"tools":[{"type":"advisor_20260301","name":"advisor","model":"M"}]`,
	`"input":[{"type":"additional_tools","role":"developer","tools":[{"type":"image_generation","model":"M"}]}]`,
	`"input":{"model":"M","messages":[]}`, `"moderation":{"model":"M"}`, `"x\u0000models":["M"]`, `"ｍodels":["M"]`, `"opt":{"mod\u0000els":["M"]}`, `"opt":{"mo\u200bdels":["M"]}`,
	`"a":[[[[[[[[{"b":{"models":["M"]}}]]]]]]]]`, `"models":{"a":{"b":"M"}}`, `"speech_model":"M"`,
}

// harmless are bodies in which the word model means something else, as agents
// and chat programs send them.
var harmless = []string{
	`"messages":[{"role":"user","content":"use the model M","model":"M"}]`, `"models":["m"]`, `"fallback_model":"m"`, `"models":null`, `"models":[]`, `"fallbacks":[{"model":"m","messages":[]}]`,
	`"provider":{"order":["openai","M"],"allow_fallbacks":true,"sort":"price"}`, `"providerOptions":{"openai":{"reasoningEffort":"high","M":"M"}}`, `"extra_body":{"top_k":1}`,
	`"tools":[{"type":"function","function":{"name":"Task","description":"M","parameters":{"type":"object","properties":{"model":{"type":"string","enum":["M"]}}}}}]`,
	`"tools":[{"name":"Task","input_schema":{"type":"object","properties":{"model":{"type":"string","default":"M"}}},"cache_control":{"type":"ephemeral"}}]`,
	`"tools":[{"type":"custom","name":"x","format":{"type":"grammar","definition":"model: M"}},{"type":"web_search","user_location":{"city":"M"}}]`,
	`"tools":[{"type":"namespace","name":"n","tools":[{"type":"function","name":"f","parameters":{"properties":{"model":{"const":"M"}}}}]}]`,
	`"tools":[{"functionDeclarations":[{"name":"f","parametersJsonSchema":{"properties":{"model":{"enum":["M"]}}}}]},{"googleSearch":{}}]`,
	`"tools":[{"type":"function","model":"M"},{"model":"M"}]`, `"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"properties":{"model":{"enum":["M"]}}}}}`, `"text":{"format":{"schema":{"properties":{"model":{"const":"M"}}}}}`,
	`"output_config":{"effort":"high","format":{"type":"json_schema","schema":{"properties":{"model":{"const":"M"}}}}}`, `"generationConfig":{"responseJsonSchema":{"properties":{"model":{"enum":["M"]}}}}`,
	`"metadata":{"model":"M"}`, `"client_metadata":{"model":"M"}`, `"contents":[{"role":"user","parts":[{"text":"M"}]}]`, `"documents":[{"model":"M"}]`, `"modalities":["text"]`,
	`"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"M"}]},{"type":"function_call","arguments":"{\"model\":\"M\"}"}]`, `"input":"M"`, `"input":["M"]`,
	`"input":[{"type":"additional_tools","tools":[{"type":"function","name":"f","parameters":{"properties":{"model":{"const":"M"}}}}]}]`,
	`"context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]},"thinking":{"type":"adaptive"}`, `"requests":[{"model":"models/m","content":{"parts":[{"text":"M"}]}}]`,
	`"prompt":{"id":"M","variables":{"model":"M"}}`, `"system":[{"type":"text","text":"You are powered by the model M."}]`, `"temperature":1,"fallbacks":false,"model_options":{"x":1}`,
}

// A client that may use some models gets at no other one through further fields
// of the body, and is refused nothing else.
func TestOtherModelsInBodies(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, anyOutput))
	g := startClients(t, up, "")
	send := func(key, field string, before bool) (answer, string) {
		field = strings.ReplaceAll(strings.ReplaceAll(field, `"M`, `"gpt-9`), `M"`, `gpt-9"`)
		field = strings.ReplaceAll(strings.ReplaceAll(field, "gpt-9gpt-9", "gpt-9"), " M ", " gpt-9 ")
		body := `{"model":"m",` + field + `}`
		if before {
			body = `{` + field + ` , "model":"m"}`
		}
		return g.do(t, http.MethodPost, "/v1/chat/completions", body, "Authorization", "Bearer "+key), body
	}
	for _, field := range naming {
		for _, before := range []bool{false, true} {
			if a, body := send(keyBob, field, before); a.StatusCode != 400 && a.StatusCode != 404 {
				t.Errorf("status %d for %s", a.StatusCode, body)
			}
		}
		if strings.Contains(field, `\u0000`) || strings.Contains(field, "ｍ") {
			continue // read as model by some parsers: refused for all
		}
		if a, body := send(keyAlice, field, false); a.StatusCode != 200 {
			t.Errorf("of a client without models: status %d for %s: %s", a.StatusCode, body, a.text)
		}
	}
	for _, field := range harmless {
		for _, before := range []bool{false, true} {
			if a, body := send(keyBob, field, before); a.StatusCode != 200 {
				t.Errorf("status %d for %s: %s", a.StatusCode, body, a.text)
			}
		}
	}
	for _, r := range up.Requests() {
		if r.Header.Get("Authorization") != "Bearer k" {
			t.Error("a request came without the channel's key")
		}
	}
	// Large values lie in more than one piece.
	padding := strings.Repeat("x", 700_000)
	big := `{"model":"m","messages":[{"role":"user","content":"` + padding + `"}],"input":[{"content":"` + padding + `"},{"tools":[{"type":"x","model":"NAME"}]}]}`
	bob := []string{"Authorization", "Bearer " + keyBob}
	g.do(t, http.MethodPost, "/v1/responses", strings.Replace(big, "NAME", "other", 1), bob...).wantError(t, 404, "model_not_found")
	g.do(t, http.MethodPost, "/v1/responses", strings.Replace(big, "NAME", "m", 1), bob...).wantStatus(t, 200)
	g.do(t, http.MethodPost, "/v1/responses", `{"model":"m","a":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+`}`, bob...).wantError(t, 400, "")
	many := `{"model":"m"` + strings.Repeat(`,"a":1`, 300) + `}`
	g.do(t, http.MethodPost, "/v1/responses", many, bob...).wantError(t, 400, "")
	g.do(t, http.MethodPost, "/v1/responses", many).wantStatus(t, 200)
}

// Gemini's batches of embeddings name the model of each.
func TestOtherModelsInGeminiBatches(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, anyOutput))
	g := startClients(t, up, "")
	bob := []string{"Authorization", "Bearer " + keyBob}
	g.do(t, http.MethodPost, "/v1beta/models/m:batchEmbedContents", `{"requests":[{"model":"models/m"},{"model":"models/other"}]}`, bob...).wantGoogleError(t, 404, "NOT_FOUND")
	g.do(t, http.MethodPost, "/v1beta/models/m:batchEmbedContents", `{"requests":[{"model":"models/m"},{"model":"models/m"}]}`, bob...).wantStatus(t, 200)
	g.do(t, http.MethodPost, "/v1beta/models/m:countTokens", `{"generateContentRequest":{"model":"models/other"}}`, bob...).wantGoogleError(t, 404, "NOT_FOUND")
}

func TestOtherModelsInForms(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, anyOutput))
	g := startClients(t, up, "")
	for name, status := range map[string]int{
		"models": 400, "models[]": 400, "fallbacks": 400, "Fallback-Model": 400, "provider": 400, "providerOptions[gateway][order]": 400, "extra_body": 400, "session": 400,
		"prompt": 200, "language": 200, "timestamp_granularities[]": 200, "response_format": 200, "image[]": 200, "include[]": 200,
	} {
		body := form(t, "b", "file@", "sound", name, "other", "model", "m")
		for key, want := range map[string]int{keyBob: status, keyAlice: 200, keyCarol: 200} {
			a := g.do(t, http.MethodPost, "/v1/audio/transcriptions", body, "Content-Type", "multipart/form-data; boundary=b", "Authorization", "Bearer "+key)
			if a.StatusCode != want {
				t.Errorf("a form with %s of %s: status %d, want %d: %s", name, key, a.StatusCode, want, a.text)
			}
		}
	}
}
