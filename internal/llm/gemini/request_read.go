package gemini

import (
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// settings are the plain fields of generationConfig.
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

// get returns a member of an object by its name in JSON.
func get(v rawjson.Value, name string) (found rawjson.Value) {
	for key, member := range v.Members {
		if camel(key) == name {
			found = member
		}
	}
	return found
}

// ReadRequest reads the body of POST /v1beta/models/{model}:generateContent.
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
