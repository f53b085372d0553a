package chat

import (
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// readTool reads a tool's declaration:
//
//	{"type":"function","function":{"name","description","parameters","strict"}}
//	{"type":"custom","custom":{"name","description","format":{"type":"grammar",
//	 "grammar":{"definition","syntax":"lark"|"regex"}}}}
//
// A tool without a type is a function. One of another type is of the provider that has
// it, and only there; it is kept by its type, so that it can be named as dropped, and so
// that a choice which forces it is an error.
func readTool(r *neutral.Request, value rawjson.Value) {
	tool := neutral.Tool{Field: "tools"}
	kind := value.Get("type").Text()
	switch kind {
	case "function", "":
		kind = "function"
	case "custom":
		tool.Kind = neutral.Freeform
	default:
		tool.Kind, tool.Type = neutral.Hosted, kind
		r.AddTool(tool)
		return
	}
	for name := range value.Members {
		if name != "type" && name != kind {
			r.Dropped.Add("tools[].", name)
		}
	}
	for name, member := range value.Get(kind).Members {
		switch name {
		case "name":
			tool.Name = member.Text()
		case "description":
			tool.Description = member.Text()
		case "parameters":
			tool.Schema, tool.SchemaField = member, "tools[].function.parameters"
		case "strict":
			tool.Strict = neutral.SwitchOf(member)
		case "format":
			tool.Grammar = member.Get("grammar").Get("definition").Text()
			tool.Syntax = member.Get("grammar").Get("syntax").Text()
		default:
			r.Dropped.Add("tools[].", kind, ".", name)
		}
	}
	r.AddTool(tool)
}

// readToolChoice reads which tools may be called: a word, one tool, or allowed_tools,
// which restricts the list without a change to it.
func readToolChoice(r *neutral.Request, value rawjson.Value) error {
	choice := &r.Choice
	choice.Field = "tool_choice"
	if value.Is('"') {
		choice.Mode = choiceMode(value.Text())
		return nil
	}
	kind := value.Get("type").Text()
	switch kind {
	case "function", "custom":
		choice.Mode, choice.Named = neutral.ChoiceRequired, true
		choice.Allowed = []neutral.ToolRef{{Name: value.Get(kind).Get("name").Text()}}
	case "allowed_tools":
		allowed := value.Get(kind)
		choice.Mode = choiceMode(allowed.Get("mode").Text())
		for tool := range allowed.Get("tools").Elements {
			name := tool.Get(tool.Get("type").Text()).Get("name").Text()
			choice.Allowed = append(choice.Allowed, neutral.ToolRef{Name: name})
		}
	default:
		return &neutral.UnsupportedError{Param: "tool_choice", What: "the tool choice " + kind, Where: []neutral.Dialect{neutral.Chat}}
	}
	return nil
}

// choiceMode reads a word for a choice. "any" is Mistral's for required; an unknown word
// is auto, the default.
func choiceMode(word string) neutral.ChoiceMode {
	switch word {
	case "none":
		return neutral.ChoiceNone
	case "required", "any":
		return neutral.ChoiceRequired
	}
	return neutral.ChoiceAuto
}
