package responses

import (
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// readTool reads a declaration, wherever it stands: in tools, in the item
// additional_tools, or in the result of a search for tools. field is where, as the client
// calls it, and namespace the one that the tool is in, "" for none.
//
//	{"type":"function","name","description","parameters","strict"}
//	{"type":"custom","name","description","format":{"type":"grammar","syntax","definition"}}
//	{"type":"namespace","name","description","tools":[function or custom…]}
//	{"type":"tool_search","execution":"client","description","parameters"}
//	{"type":"web_search"…} and others that the provider runs
//
// The description of a namespace has no place beside its tools, whose own say what they
// do. A search that the provider runs cannot be handed to a model that has no such tools,
// while the client's own becomes a function.
func readTool(r *neutral.Request, field, namespace string, value rawjson.Value) {
	tool := neutral.Tool{Field: field, Type: value.Get("type").Text()}
	tool.Name, tool.Namespace = value.Get("name").Text(), namespace
	switch {
	case tool.Type == "function":
		readFunction(r, &tool, value)
	case tool.Type == "custom":
		tool.Kind = neutral.Freeform
		readFunction(r, &tool, value)
	case tool.Type == "namespace":
		if value.Get("description").Text() != "" {
			r.Dropped.Add(field, "[].description(namespace)")
		}
		for inner := range value.Get("tools").Elements {
			readTool(r, field+"[].tools", tool.Name, inner)
		}
		return
	case tool.Type == "tool_search" && value.Get("execution").Text() == "client":
		tool.Kind, tool.Name = neutral.ToolSearch, "tool_search"
		readFunction(r, &tool, value)
	default:
		tool.Kind, tool.Name = hostedKind(tool.Type)
		if tool.Kind != neutral.Hosted {
			for option := range value.Members {
				if option != "type" {
					r.Dropped.Add(field, "[].", option)
				}
			}
		}
	}
	r.AddTool(tool)
}

// hostedKind returns what a tool of the provider's own does, and its name. Types of web
// search have dates and previews in them (web_search_preview_2025_03_11).
func hostedKind(kind string) (neutral.ToolKind, string) {
	switch {
	case strings.HasPrefix(kind, "web_search"):
		return neutral.WebSearch, "web_search"
	case kind == "code_interpreter":
		return neutral.CodeRun, "code_execution"
	}
	return neutral.Hosted, kind
}

// readFunction reads what a function, a freeform tool and the search for tools have
// in common. What only OpenAI knows, such as defer_loading and output_schema, is dropped.
func readFunction(r *neutral.Request, tool *neutral.Tool, value rawjson.Value) {
	for name, member := range value.Members {
		switch name {
		case "type", "name", "execution":
		case "description":
			tool.Description = member.Text()
		case "parameters":
			if member.IsSet() {
				tool.Schema, tool.SchemaField = member, tool.Field+"[].parameters"
			}
		case "strict":
			tool.Strict = neutral.SwitchOf(member)
		case "format":
			tool.Grammar = member.Get("definition").Text()
			tool.Syntax = member.Get("syntax").Text()
		default:
			if member.IsSet() {
				r.Dropped.Add(tool.Field, "[].", name)
			}
		}
	}
}

// readToolChoice reads which tools may or must be called: a word, allowed_tools, or one
// tool. The last one may be of the provider's; if it was dropped, the request is an error,
// since the model would have to call what it does not have.
func readToolChoice(r *neutral.Request, value rawjson.Value) {
	choice := &r.Choice
	choice.Field = "tool_choice"
	if value.Is('"') {
		choice.Mode = choiceMode(value.Text())
		return
	}
	if value.Get("type").Text() == "allowed_tools" {
		choice.Mode = choiceMode(value.Get("mode").Text())
		for tool := range value.Get("tools").Elements {
			choice.Allowed = append(choice.Allowed, chosen(tool))
		}
		return
	}
	choice.Mode, choice.Named = neutral.ChoiceRequired, true
	choice.Allowed = []neutral.ToolRef{chosen(value)}
}

// chosen returns the tool that a choice names, by its name or, if only the provider
// has it, by its type.
func chosen(value rawjson.Value) neutral.ToolRef {
	if name := value.Get("name").Text(); name != "" {
		return neutral.ToolRef{Name: name, Namespace: value.Get("namespace").Text()}
	}
	_, name := hostedKind(value.Get("type").Text())
	return neutral.ToolRef{Name: name}
}

// choiceMode reads a word for a choice; an unknown one is auto, the default.
func choiceMode(word string) neutral.ChoiceMode {
	switch word {
	case "none":
		return neutral.ChoiceNone
	case "required":
		return neutral.ChoiceRequired
	}
	return neutral.ChoiceAuto
}
