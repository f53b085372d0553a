package chat

import (
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// readTool reads a tool's declaration.
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

func choiceMode(word string) neutral.ChoiceMode {
	switch word {
	case "none":
		return neutral.ChoiceNone
	case "required", "any":
		return neutral.ChoiceRequired
	}
	return neutral.ChoiceAuto
}
