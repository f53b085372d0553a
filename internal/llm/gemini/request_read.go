package gemini

import (
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// settings are the plain fields of generationConfig, for reading and for writing. A
// candidateCount of 1 is not counted as set. For log probabilities the dialect has other
// forms than chat, so they are dropped in both directions.
var settings = []neutral.Field{
	{ID: neutral.Temperature, Name: "temperature"},
	{ID: neutral.TopP, Name: "topP"},
	{ID: neutral.TopK, Name: "topK"},
	{ID: neutral.Count, Name: "candidateCount"},
	{ID: neutral.MaxOutput, Name: "maxOutputTokens"},
	{ID: neutral.Stop, Name: "stopSequences"},
	{ID: neutral.Seed, Name: "seed"},
	{ID: neutral.PresencePenalty, Name: "presencePenalty"},
	{ID: neutral.FrequencyPenalty, Name: "frequencyPenalty"},
}

// get returns a member of an object by its name in JSON, in either spelling. Of two the
// last one counts.
func get(v rawjson.Value, name string) (found rawjson.Value) {
	for key, member := range v.Members {
		if camel(key) == name {
			found = member
		}
	}
	return found
}

// ReadRequest reads the body of POST /v1beta/models/{model}:generateContent and of
// :streamGenerateContent. The request shares the memory of body. Its Model and Stream are
// empty: the caller takes them from the path. The error is a *neutral.InvalidError;
// what only this dialect has is recorded as a Need and refused when it is known which
// dialect the channel speaks.
func ReadRequest(body []byte) (*neutral.Request, error) {
	v, err := rawjson.Parse(body)
	if err != nil || !v.Is('{') {
		return nil, &neutral.InvalidError{Reason: "The body is not a JSON object"}
	}
	r := &neutral.Request{Dialect: neutral.Gemini, Source: v}
	var system []neutral.Part
	for key, value := range v.Members {
		if name := camel(key); name == "systemInstruction" {
			system = readSystem(r, value)
		} else if err := readField(r, name, value); err != nil {
			return nil, err
		}
	}
	if len(r.Messages) == 0 {
		return nil, &neutral.InvalidError{Param: "contents", Reason: "contents is not specified"}
	}
	if len(system) > 0 {
		r.Messages = append([]neutral.Message{{Role: neutral.System, Parts: system}}, r.Messages...)
	}
	r.Names = neutral.NewNames(r.Tools)
	return r, nil
}

// readField reads a member of the top level, under its name in camelCase. A member that is
// null was not sent.
//
// safetySettings are dropped although they change what is answered: they are thresholds of
// Google's filters, which no other provider has. cachedContent holds a part of the
// conversation, so that the request makes no sense without it.
func readField(r *neutral.Request, name string, value rawjson.Value) error {
	if !value.IsSet() {
		return nil
	}
	switch name {
	case "model": // stands in the path too
	case "contents":
		return readContents(r, value)
	case "tools":
		for tool := range value.Elements {
			readTool(r, tool)
		}
	case "toolConfig":
		readToolConfig(r, value)
	case "generationConfig":
		for key, member := range value.Members {
			readGeneration(r, camel(key), member)
		}
	case "cachedContent":
		r.Need(name, "content cached by the provider", neutral.Gemini)
	default:
		r.Dropped.Add(name)
	}
	return nil
}

// readSystem reads the instruction: a content, of which the Gemini CLI says the role user,
// or a string, as callers of Google's SDKs write it. Parts stay apart.
func readSystem(r *neutral.Request, value rawjson.Value) (parts []neutral.Part) {
	if value.Is('"') {
		return []neutral.Part{{Kind: neutral.Text, Text: value.Text()}}
	}
	list := get(value, "parts")
	if list.Is('{') {
		return []neutral.Part{{Kind: neutral.Text, Text: list.Get("text").Text()}}
	}
	for part := range list.Elements {
		for name := range part.Members {
			if name != "text" {
				r.Dropped.Add("systemInstruction.parts[].", camel(name))
			}
		}
		parts = append(parts, neutral.Part{Kind: neutral.Text, Text: part.Get("text").Text()})
	}
	return parts
}

// readGeneration reads a member of generationConfig. A schema decides the format whether
// it comes before its MIME type or behind it; without one, application/json is any JSON.
// responseSchema is Google's form, with types in upper case and numbers as strings
// ("maxItems":"3"); responseJsonSchema should be JSON Schema, but the Gemini CLI's router
// sends it with types in upper case, too. The writers see to both (neutral.Schema).
//
// responseModalities other than text ask for images or speech: the answer would be
// something else without them.
func readGeneration(r *neutral.Request, name string, value rawjson.Value) {
	const prefix = "generationConfig."
	if !value.IsSet() || r.Settings.Read(settings, prefix, name, value) {
		return
	}
	switch name {
	case "responseMimeType":
		switch value.Text() {
		case "application/json":
			if r.Format.Kind == neutral.FormatText {
				r.Format.Kind = neutral.FormatJSON
			}
		case "text/plain":
		default:
			r.Dropped.Add(prefix, name)
		}
	case "responseSchema", "responseJsonSchema":
		r.Format.Kind = neutral.FormatSchema
		r.Format.Schema, r.Format.SchemaField = value, prefix+name
	case "thinkingConfig":
		readThinking(r, value)
	case "responseModalities":
		for modality := range value.Elements {
			if word := modality.Text(); !strings.EqualFold(word, "text") {
				r.Need(prefix+name, "output of "+strings.ToLower(word), neutral.Gemini)
			}
		}
	default:
		r.Dropped.Add(prefix, name)
	}
}

// readThinking reads how much the model may think. Budgets are for Gemini 2.5: 0 is none
// and -1 leaves it to the model. Levels are for Gemini 3, and are words of efforts in
// upper case (MINIMAL, LOW, MEDIUM, HIGH). The Gemini CLI sends "HIGH", or 8192 for 2.5.
func readThinking(r *neutral.Request, value rawjson.Value) {
	reasoning := &r.Reasoning
	reasoning.Field = "generationConfig.thinkingConfig"
	for key, member := range value.Members {
		switch name := camel(key); name {
		case "includeThoughts":
			reasoning.Visible, reasoning.VisibleField = neutral.SwitchOf(member), reasoning.Field+".includeThoughts"
		case "thinkingBudget":
			reasoning.Budget, reasoning.HasBudget = member.Int()
		case "thinkingLevel":
			if level := strings.ToLower(member.Text()); level != "thinking_level_unspecified" {
				reasoning.Effort = level
			}
		default:
			r.Dropped.Add(reasoning.Field, ".", name)
		}
	}
}

// readTool reads an element of tools. Each may have functions and tools of Google's, by
// their member's name; the latter's options, such as a time range of the search, are
// dropped by name if the tool as such is not. googleSearchRetrieval is what the search
// was called for Gemini 1.5.
func readTool(r *neutral.Request, value rawjson.Value) {
	for key, member := range value.Members {
		tool := neutral.Tool{Field: "tools", Type: camel(key)}
		switch tool.Type {
		case "functionDeclarations":
			for declaration := range member.Elements {
				readDeclaration(r, declaration)
			}
			continue
		case "googleSearch", "googleSearchRetrieval":
			tool.Name, tool.Kind = "web_search", neutral.WebSearch
		case "urlContext":
			tool.Name, tool.Kind = "web_fetch", neutral.WebFetch
		case "codeExecution":
			tool.Name, tool.Kind = "code_execution", neutral.CodeRun
		default:
			tool.Kind = neutral.Hosted
		}
		if tool.Kind != neutral.Hosted {
			for option := range member.Members {
				r.Dropped.Add("tools[].", tool.Type, ".", option)
			}
		}
		r.AddTool(tool)
	}
}

// readDeclaration reads a function. parameters is Google's form of a schema and
// parametersJsonSchema the one that the Gemini CLI uses; the API takes one of them. A
// schema of the response is of use to Google's models only. Names may have dots and
// colons here, which neutral.Names maps for other dialects, and back.
func readDeclaration(r *neutral.Request, value rawjson.Value) {
	tool := neutral.Tool{Field: "tools[].functionDeclarations"}
	for key, member := range value.Members {
		switch name := camel(key); name {
		case "name":
			tool.Name = member.Text()
		case "description":
			tool.Description = member.Text()
		case "parameters", "parametersJsonSchema":
			if member.IsSet() {
				tool.Schema, tool.SchemaField = member, "tools[].functionDeclarations[]."+name
			}
		default:
			if member.IsSet() {
				r.Dropped.Add("tools[].functionDeclarations[].", name)
			}
		}
	}
	r.AddTool(tool)
}

// readToolConfig reads the choice of a tool. ANY with one allowed name is what others call
// a forced tool. Whether calls may be parallel cannot be said in this dialect.
func readToolConfig(r *neutral.Request, value rawjson.Value) {
	for key := range value.Members {
		if name := camel(key); name != "functionCallingConfig" {
			r.Dropped.Add("toolConfig.", name)
		}
	}
	config := get(value, "functionCallingConfig")
	choice := &r.Choice
	choice.Field = "toolConfig.functionCallingConfig"
	for key, member := range config.Members {
		switch name := camel(key); name {
		case "mode":
			choice.Mode = choiceMode(member.Text())
		case "allowedFunctionNames":
			for name := range member.Elements {
				choice.Allowed = append(choice.Allowed, neutral.ToolRef{Name: name.Text()})
			}
		default:
			r.Dropped.Add(choice.Field, ".", name)
		}
	}
	choice.Named = choice.Mode == neutral.ChoiceRequired && len(choice.Allowed) == 1
}

// choiceMode returns the mode of a word. VALIDATED is AUTO with calls that keep to the
// schema, and with a list of allowed names, which AUTO does not take.
func choiceMode(word string) neutral.ChoiceMode {
	switch strings.ToUpper(word) {
	case "ANY":
		return neutral.ChoiceRequired
	case "NONE":
		return neutral.ChoiceNone
	case "AUTO", "VALIDATED":
		return neutral.ChoiceAuto
	}
	return neutral.ChoiceUnset
}
