package messages

import (
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// settings are the plain fields. temperature, top_p and top_k are gone from the types of
// Anthropic's newer SDKs; clients of older models still send them. temperature ends at 1
// here and at 2 elsewhere; below that the scales agree, so it is passed on as it is.
var settings = []neutral.Field{
	{ID: neutral.MaxOutput, Name: "max_tokens"},
	{ID: neutral.Temperature, Name: "temperature"},
	{ID: neutral.TopP, Name: "top_p"},
	{ID: neutral.TopK, Name: "top_k"},
	{ID: neutral.Stop, Name: "stop_sequences"},
	{ID: neutral.ServiceTier, Name: "service_tier"},
}

// ReadRequest reads the body of POST /v1/messages. The request shares the memory of body.
// The error is a *neutral.InvalidError, or a *neutral.UnsupportedError for content that
// only this dialect has. What Anthropic's API would refuse is left to the channel if it
// is no obstacle to reading: max_tokens, which the API requires, may be missing.
//
// The system texts at the top become the first message, wherever the member stands.
// Messages may be empty if there is a Need, whose error says more.
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

// readField reads a member of the top level. A member that is null was not sent.
//
// What stands in no case is dropped: context_management, diagnostics, fallbacks and
// mcp_servers are for Anthropic's servers, and cache_control, which marks the last block
// of the request, means nothing to providers that cache by themselves.
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

// readSystem reads system texts, of the top or of a message. Blocks stay apart, so that a
// writer of a dialect with blocks can repeat them as such.
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

// dropBeside records the members of a block other than those that are read. Most often
// that is cache_control, which Claude Code sets on three blocks.
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

// readThinking reads whether and how much the model shall think:
//
//	{"type":"disabled"}                          Effort none
//	{"type":"enabled","budget_tokens":31999}     Budget; an effort in words is derived
//	{"type":"adaptive"}, "between_tools"         nothing: the model decides, or effort does
//	"display":"summarized", "omitted"            Visible; Claude Code asks for "omitted"
//
// Field is the name for X-Gateway-Dropped; that of the effort goes before it.
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

// readOutputConfig reads the effort and the format. Thinking that is disabled stays so,
// whichever of the two fields comes first. Claude Code sends both, also for models that
// it does not know.
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

// readFormat reads structured output: output_config.format, or output_format, as it was
// called while it was a beta. The dialect has no loose form, so that Strict is always on,
// and no name for a schema, which chat and Responses require and their writers make up.
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

// readTool reads a tool. A type that is missing, null or "custom" is a function of the
// client's. All others have the version in their type, such as web_search_20250305 or
// bash_20250124; the name that they are called by is fixed. Those that other providers
// have too are passed on without their options, which are dropped by name. Claude Code
// searches the web in a request of its own with nothing but that tool.
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

// hostedKind returns what a tool of the provider's own does. Hosted also has the tools
// that the client runs by a schema which only Claude knows (bash_…, text_editor_…,
// computer_…): another model could not call them, as no schema is sent.
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

// readToolChoice reads the choice: auto, any, none or tool with a name. An unknown type is
// auto, the default. Whether calls may be parallel is said the other way round than in
// OpenAI's dialects, and only in here.
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
