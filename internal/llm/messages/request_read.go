package messages

import (
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// settings are the plain fields.
var settings = []neutral.Field{
	{ID: neutral.MaxOutput, Name: "max_tokens"},
	{ID: neutral.Temperature, Name: "temperature"},
	{ID: neutral.TopP, Name: "top_p"},
	{ID: neutral.TopK, Name: "top_k"},
	{ID: neutral.Stop, Name: "stop_sequences"},
	{ID: neutral.ServiceTier, Name: "service_tier"},
}

// ReadRequest reads the body of POST /v1/messages.
func ReadRequest(body []byte) (*neutral.Request, error) {
	v, err := rawjson.Parse(body)
	if err != nil || !v.Is('{') {
		return nil, &neutral.InvalidError{Reason: "The body is not a JSON object"}
	}
	r := &neutral.Request{Dialect: neutral.Messages, Source: v}
	var system []neutral.Part
	for name, value := range v.Members {
		if name == "system" {
			system = readSystem(r, "system", value)
		} else if err := readField(r, name, value); err != nil {
			return nil, err
		}
	}
	if len(r.Messages) == 0 && len(r.Needs) == 0 {
		return nil, &neutral.InvalidError{Param: "messages", Reason: "at least one message is required"}
	}
	if len(system) > 0 {
		r.Messages = append([]neutral.Message{{Role: neutral.System, Parts: system}}, r.Messages...)
	}
	r.Names = neutral.NewNames(r.Tools)
	return r, nil
}

func readField(r *neutral.Request, name string, value rawjson.Value) error {
	if !value.IsSet() || r.Settings.Read(settings, "", name, value) {
		return nil
	}
	switch name {
	case "model":
		r.Model = value.Text()
	case "messages":
		return readMessages(r, value)
	case "stream":
		r.Stream = value.Bool()
	case "tools":
		for tool := range value.Elements {
			readTool(r, tool)
		}
	case "tool_choice":
		readToolChoice(r, value)
	case "thinking":
		readThinking(r, value)
	case "output_config":
		readOutputConfig(r, value)
	case "output_format":
		readFormat(r, name, value)
	case "metadata":
		for key := range value.Members {
			r.Dropped.Add("metadata.", key)
		}
	case "container", "thread":
		r.Need(name, "a "+name+" kept by the provider", neutral.Messages)
	default:
		r.Dropped.Add(name)
	}
	return nil
}

// billing is how a system block of Claude Code begins that is no prompt. It changes
// from request to request, which would spoil prompt caches.
const billing = "x-anthropic-billing-header:"

func readSystem(r *neutral.Request, path string, value rawjson.Value) (parts []neutral.Part) {
	if value.Is('"') {
		return []neutral.Part{{Kind: neutral.Text, Text: value.Text()}}
	}
	for block := range value.Elements {
		text := block.Get("text").Text()
		if strings.HasPrefix(text, billing) {
			r.Dropped.Add("system[].text(x-anthropic-billing-header)")
			continue
		}
		dropBeside(r, path, block, "type", "text")
		parts = append(parts, neutral.Part{Kind: neutral.Text, Text: text})
	}
	return parts
}

// dropBeside records the members of a block other than those that are read.
func dropBeside(r *neutral.Request, path string, block rawjson.Value, read ...string) {
	for name, member := range block.Members {
		known := !member.IsSet()
		for _, field := range read {
			known = known || field == name
		}
		if !known {
			r.Dropped.Add(path, "[].", name)
		}
	}
}

func readThinking(r *neutral.Request, value rawjson.Value) {
	reasoning := &r.Reasoning
	if reasoning.Field == "" {
		reasoning.Field = "thinking"
	}
	for name, member := range value.Members {
		switch name {
		case "type":
			if member.Text() == "disabled" {
				reasoning.Effort = "none"
			}
		case "budget_tokens":
			reasoning.Budget, reasoning.HasBudget = member.Int()
		case "display":
			reasoning.Visible, reasoning.VisibleField = neutral.On, "thinking.display"
			if member.Text() == "omitted" {
				reasoning.Visible = neutral.Off
			}
		default:
			r.Dropped.Add("thinking.", name)
		}
	}
}

func readOutputConfig(r *neutral.Request, value rawjson.Value) {
	for name, member := range value.Members {
		switch {
		case name == "effort" && member.Is('"'):
			r.Reasoning.Field = "output_config.effort"
			if r.Reasoning.Effort != "none" {
				r.Reasoning.Effort = member.Text()
			}
		case name == "format":
			readFormat(r, "output_config.format", member)
		case member.IsSet():
			r.Dropped.Add("output_config.", name)
		}
	}
}

func readFormat(r *neutral.Request, path string, value rawjson.Value) {
	if value.Get("type").Text() != "json_schema" {
		if value.IsSet() {
			r.Dropped.Add(path)
		}
		return
	}
	r.Format = neutral.Format{Kind: neutral.FormatSchema, Schema: value.Get("schema"), SchemaField: path + ".schema", Strict: neutral.On}
	for name := range value.Members {
		if name != "type" && name != "schema" {
			r.Dropped.Add(path, ".", name)
		}
	}
}

func readTool(r *neutral.Request, value rawjson.Value) {
	tool := neutral.Tool{Field: "tools"}
	tool.Name = value.Get("name").Text()
	if kind := value.Get("type").Text(); kind != "" && kind != "custom" {
		tool.Type = kind
		tool.Kind = hostedKind(kind)
		r.AddTool(tool)
		if tool.Kind != neutral.Hosted {
			dropBeside(r, "tools", value, "type", "name")
		}
		return
	}
	for name, member := range value.Members {
		switch name {
		case "name", "type":
		case "description":
			tool.Description = member.Text()
		case "input_schema":
			tool.Schema, tool.SchemaField = member, "tools[].input_schema"
		case "strict":
			tool.Strict = neutral.SwitchOf(member)
		default:
			if member.IsSet() {
				r.Dropped.Add("tools[].", name)
			}
		}
	}
	r.AddTool(tool)
}

// hostedKind returns what a tool of the provider's own does.
func hostedKind(kind string) neutral.ToolKind {
	switch {
	case strings.HasPrefix(kind, "web_search_"):
		return neutral.WebSearch
	case strings.HasPrefix(kind, "web_fetch_"):
		return neutral.WebFetch
	case strings.HasPrefix(kind, "code_execution_"):
		return neutral.CodeRun
	}
	return neutral.Hosted
}

func readToolChoice(r *neutral.Request, value rawjson.Value) {
	choice := &r.Choice
	choice.Field = "tool_choice"
	switch value.Get("type").Text() {
	case "any":
		choice.Mode = neutral.ChoiceRequired
	case "none":
		choice.Mode = neutral.ChoiceNone
	case "tool":
		choice.Mode, choice.Named = neutral.ChoiceRequired, true
		choice.Allowed = []neutral.ToolRef{{Name: value.Get("name").Text()}}
	default:
		choice.Mode = neutral.ChoiceAuto
	}
	if parallel := value.Get("disable_parallel_tool_use"); parallel.IsSet() {
		r.Parallel = neutral.On
		if parallel.Bool() {
			r.Parallel = neutral.Off
		}
	}
}
