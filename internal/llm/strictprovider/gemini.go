package strictprovider

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// gemini is Google's API. Its opaque state is thoughtSignature, which Gemini 3 demands and
// older models take.
// Sources: https://ai.google.dev/api/generate-content for the fields,
// https://ai.google.dev/gemini-api/docs/thought-signatures for signatures
type gemini struct{}

// Google's server parses JSON into Protocol Buffers, and a field that it does not know is
// an error there ("Invalid JSON payload received. Unknown name … Cannot find field."). It
// also takes names with underscores, which the gateway does not send, so that they are
// refused here.
//
// geminiSchemas are the keywords of parametersJsonSchema. geminiDummies are documented
// for calls that another model has made; the second one is the Gemini API's alone.
var (
	geminiFields     = strings.Fields("contents systemInstruction tools toolConfig safetySettings cachedContent labels serviceTier store generationConfig " + modelInPath)
	generationFields = strings.Fields(`temperature topP topK candidateCount maxOutputTokens stopSequences seed presencePenalty frequencyPenalty
		responseLogprobs logprobs responseMimeType responseSchema responseJsonSchema responseFormat responseModalities mediaResolution speechConfig
		imageConfig thinkingConfig`)
	geminiParts   = strings.Fields("text inlineData fileData functionCall functionResponse executableCode codeExecutionResult thought thoughtSignature videoMetadata mediaResolution")
	geminiSchemas = strings.Fields(`$id $defs $ref $anchor type format title description enum items prefixItems minItems maxItems minimum maximum anyOf oneOf
		properties additionalProperties required propertyOrdering`)
	geminiDummies = []string{"skip_thought_signature_validator", "context_engineering_is_the_way_to_go"}
)

// check refuses a request as Google does. The model is the one in the path. Google's own
// tools beside functions are refused for each model: Gemini 2 cannot do both, and
// Gemini 3 requires toolConfig.includeServerSideToolInvocations for it.
//
// Sources: https://github.com/googleapis/go-genai/issues/323 and
// https://github.com/owndev/Open-WebUI-Functions/pull/159
func (gemini) check(r object, p *Provider) error {
	model := text(r[modelInPath])
	if err := onlyFields(r, "body", geminiFields...); err != nil {
		return err
	}
	if len(list(r["contents"])) == 0 {
		return fmt.Errorf("contents is not specified")
	}
	if err := checkGeneration(r["generationConfig"], model); err != nil {
		return err
	}
	names := make(map[string]bool)
	own := false
	for _, group := range list(r["tools"]) {
		own = own || member(group, "functionDeclarations") == nil
		for _, f := range list(member(group, "functionDeclarations")) {
			if err := checkDeclaration(f, names); err != nil {
				return err
			}
		}
	}
	if own && len(names) > 0 {
		return fmt.Errorf("tool use with function calling is unsupported")
	}
	for _, name := range list(member(r["toolConfig"], "functionCallingConfig", "allowedFunctionNames")) {
		if !names[text(name)] {
			return fmt.Errorf("allowed_function_names: there is no function %v", name)
		}
		if member(r["toolConfig"], "functionCallingConfig", "mode") == "AUTO" {
			return fmt.Errorf("allowed_function_names should only be set when the mode is ANY or VALIDATED")
		}
	}
	return checkContents(list(r["contents"]), isGemini3(model), p)
}

// isGemini3 reports whether a model is of the third generation, which has levels of
// thinking in place of budgets and demands signatures.
func isGemini3(model string) bool { return strings.Contains(model, "gemini-3") }

// checkGeneration checks generationConfig: a level and a budget exclude each other. Levels
// are for Gemini 3 and later; gemini-3-… still takes a budget, gemini-3.5 does not.
// Source: https://ai.google.dev/gemini-api/docs/thinking
func checkGeneration(config any, model string) error {
	if config == nil {
		return nil
	}
	if err := onlyFields(config, "generationConfig", generationFields...); err != nil {
		return err
	}
	level, budget := member(config, "thinkingConfig", "thinkingLevel"), member(config, "thinkingConfig", "thinkingBudget")
	switch {
	case level != nil && budget != nil:
		return fmt.Errorf("you can only set one of thinking budget and thinking level")
	case budget != nil && isGemini3(model) && !strings.Contains(model, "gemini-3-"):
		return fmt.Errorf("thinking budget is not supported for this model")
	case level != nil && !isGemini3(model):
		return fmt.Errorf("thinking level is not supported for this model")
	case len(list(member(config, "stopSequences"))) > 5:
		return fmt.Errorf("stop_sequences: 5 at most")
	case member(config, "responseJsonSchema") != nil && member(config, "responseMimeType") != "application/json":
		return fmt.Errorf("response_json_schema needs response_mime_type application/json")
	}
	if level == nil {
		return nil
	}
	return oneOf(level, "thinkingLevel", "MINIMAL", "LOW", "MEDIUM", "HIGH")
}

// checkDeclaration checks a function. The name's rule is Google's own, which is wider than
// that of other dialects. In parametersJsonSchema keywords that Google does not know are
// refused wherever they stand; `propertyNames` and `exclusiveMinimum` are in Claude Code's
// tools in each session. Beside $ref nothing may stand.
//
// Sources: FunctionDeclaration in google.golang.org/genai, and
// https://github.com/Mirrowel/LLM-API-Key-Proxy/issues/86
func checkDeclaration(f any, names map[string]bool) error {
	name := text(member(f, "name"))
	if !isName(name, 128, ".:") || strings.ContainsAny(name[:1], "0123456789-.:") || names[name] {
		return fmt.Errorf("invalid function name %q", name)
	}
	names[name] = true
	if err := onlyFields(f, "function_declarations", "name", "description", "parameters", "parametersJsonSchema", "response", "responseJsonSchema", "behavior"); err != nil {
		return err
	}
	if member(f, "parameters") != nil && member(f, "parametersJsonSchema") != nil {
		return fmt.Errorf("%s: only one of parameters and parameters_json_schema can be set", name)
	}
	return eachSchema(member(f, "parametersJsonSchema"), func(schema object) error {
		for keyword := range schema {
			if !slices.Contains(geminiSchemas, keyword) {
				return fmt.Errorf("unknown name %q at %s", keyword, name)
			}
		}
		if schema["$ref"] != nil && len(schema) > 1 {
			return fmt.Errorf("%s: beside $ref nothing may stand", name)
		}
		return nil
	})
}

// contents checks a conversation, one content after the other.
type contents struct {
	signed bool // the model signs calls, and requires the signatures back
	p      *Provider
	calls  int // of the content before, which wait for results
}

// checkContents checks all contents. The current turn begins with the last content in
// which the user says something and that is no result: calls after it must have their
// signatures, while older ones may have lost theirs.
func checkContents(turns []any, signed bool, p *Provider) error {
	c := contents{signed: signed, p: p}
	current := 0 // where the current turn of the user begins
	for i, turn := range turns {
		if member(turn, "role") != "model" && !slices.ContainsFunc(list(member(turn, "parts")), func(part any) bool { return member(part, "functionResponse") != nil }) {
			current = i
		}
	}
	for i, turn := range turns {
		if err := c.content(turn, fmt.Sprintf("contents[%d]", i), i > current); err != nil {
			return err
		}
	}
	if c.calls > 0 {
		return fmt.Errorf("a function call turn must be followed by function responses")
	}
	return nil
}

// content checks a content. As many results must follow calls as there were calls, in the
// next content, and only the first of parallel calls must be signed.
//
// Sources: https://github.com/google-gemini/gemini-cli/issues/4217 (number of results),
// https://github.com/nanbingxyz/5ire/issues/405 (missing signature)
func (c *contents) content(turn any, where string, isCurrent bool) error {
	if err := oneOf(member(turn, "role"), where+".role", "user", "model"); err != nil {
		return err
	}
	if len(list(member(turn, "parts"))) == 0 {
		return fmt.Errorf("%s.parts must not be empty", where)
	}
	calls, responses := 0, 0
	for _, part := range list(member(turn, "parts")) {
		if err := c.part(part, where); err != nil {
			return err
		}
		switch {
		case member(part, "functionCall") != nil:
			if calls++; calls == 1 && c.signed && isCurrent && member(part, "thoughtSignature") == nil {
				return fmt.Errorf("%s: function call is missing a thought_signature", where)
			}
		case member(part, "functionResponse") != nil:
			responses++
		}
	}
	if responses != c.calls {
		return fmt.Errorf("the number of function response parts (%d) must be equal to the number of function call parts (%d) of the function call turn", responses, c.calls)
	}
	c.calls = calls
	return nil
}

// part checks a part. A signature must be the provider's own or a dummy, whatever the
// model; Google's is "Corrupted thought signature", such as after a switch from another
// model. response and args are of the type Struct in Protocol Buffers, which is an
// object. Files are read from Google's own storage only.
// Source: https://github.com/google-gemini/gemini-cli/issues/13467
func (c *contents) part(part any, where string) error {
	if err := onlyFields(part, where+".parts", geminiParts...); err != nil {
		return err
	}
	if s, ok := member(part, "thoughtSignature").(string); ok && !c.p.isOwn(s) && !slices.Contains(geminiDummies, s) {
		return fmt.Errorf("%s: Corrupted thought signature", where)
	}
	if response := member(part, "functionResponse"); response != nil && (!isObject(member(response, "response")) || text(member(response, "name")) == "") {
		return fmt.Errorf("%s: function_response needs a name and a Struct", where)
	}
	if call := member(part, "functionCall"); call != nil {
		if args := member(call, "args"); args != nil && !isObject(args) {
			return fmt.Errorf("%s: args must be a Struct", where)
		}
	}
	if uri := text(member(part, "fileData", "fileUri")); uri != "" && !strings.HasPrefix(uri, "https://generativelanguage.googleapis.com/") {
		return fmt.Errorf("%s: cannot fetch content from the provided URL", where)
	}
	return nil
}

// read reads the conversation. Dummies count as signatures here; record leaves out those
// that are not the provider's own.
func (gemini) read(r object) conversation {
	c := conversation{tools: make(map[string]tool)}
	for _, group := range list(r["tools"]) {
		for _, f := range list(member(group, "functionDeclarations")) {
			schema := member(f, "parametersJsonSchema")
			if schema == nil {
				schema = member(f, "parameters")
			}
			c.tools[text(member(f, "name"))] = tool{schema: schema}
		}
	}
	for _, turn := range list(r["contents"]) {
		calls := false
		for _, part := range list(member(turn, "parts")) {
			if s := text(member(part, "thoughtSignature")); s != "" {
				c.signatures = append(c.signatures, s)
			}
			switch {
			case member(part, "functionCall") != nil:
				calls = true
			case member(part, "inlineData") != nil:
				c.images++
			case member(part, "functionResponse") != nil:
				c.results++
				c.images += len(list(member(part, "functionResponse", "parts")))
			}
		}
		if calls {
			c.turns++
		}
	}
	return c
}

// response writes a response, or one event of a stream, which has the same form.
func (gemini) response(parts []any, finish any) object {
	candidate := object{"index": 0, "content": object{"role": "model", "parts": parts}}
	if finish != nil {
		candidate["finishReason"] = finish
	}
	return object{
		"candidates": []any{candidate}, "modelVersion": "real", "responseId": "r1",
		"usageMetadata": object{"promptTokenCount": 12, "candidatesTokenCount": 3, "totalTokenCount": 15},
	}
}

// parts writes what the model says. Only the first call is signed, as Gemini signs only
// the first of parallel calls, and calls have no id. A turn without calls has no
// signature.
func (turn turn) parts() []any {
	parts := []any{object{"text": "Let me think.", "thought": true}}
	signature := turn.signature
	if turn.text != "" {
		parts = append(parts, object{"text": turn.text})
	}
	for _, call := range turn.calls {
		part := object{"functionCall": object{"name": call.name, "args": decoded(call.arguments)}}
		if signature != "" {
			part["thoughtSignature"], signature = signature, ""
		}
		parts = append(parts, part)
	}
	return parts
}

func (g gemini) whole(turn turn) string { return encode(g.response(turn.parts(), "STOP")) }

// stream writes an event for each part, the finish reason in the last one. A turn that
// breaks has none.
func (g gemini) stream(turn turn) (events []string) {
	parts := turn.parts()
	for i, part := range parts {
		var finish any
		if i == len(parts)-1 && !turn.breaks {
			finish = "STOP"
		}
		events = append(events, "data: "+encode(g.response([]any{part}, finish))+"\n\n")
	}
	if turn.breaks {
		events = append(events, `data: {"error":{"code":500,"message":"the model has stopped","status":"INTERNAL"}}`+"\n\n")
	}
	return events
}

// decoded returns arguments as the object that the dialect has. answer has checked them.
func decoded(arguments string) (v any) {
	if err := json.Unmarshal([]byte(arguments), &v); err != nil {
		panic(err)
	}
	return v
}
