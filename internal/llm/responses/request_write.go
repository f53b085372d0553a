package responses

import (
	"slices"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// sent are the settings that go to a channel, in the order in which they are
// written.
var sent = []neutral.Field{
	{ID: neutral.MaxOutput, Name: "max_output_tokens"},
	{ID: neutral.Temperature, Name: "temperature"},
	{ID: neutral.TopP, Name: "top_p"},
}

// ofOpenAI are the settings that mean the same in chat.
var ofOpenAI = []neutral.Field{
	{ID: neutral.SafetyID, Name: "safety_identifier"},
	{ID: neutral.EndUser, Name: "user"},
	{ID: neutral.CacheKey, Name: "prompt_cache_key"},
	{ID: neutral.ServiceTier, Name: "service_tier"},
	{ID: neutral.Metadata, Name: "metadata"},
}

// leastOutput is the smallest max_output_tokens that the API takes.
const leastOutput = 16

// WriteRequest returns the body of POST /v1/responses. It may change r's own fields,
// but nothing that they point to. The conversation comes last: all before it stays
// the same in each turn.
func WriteRequest(r *neutral.Request, to neutral.Target) ([]byte, error) {
	if err := r.Check(neutral.Responses); err != nil {
		return nil, err
	}
	tools, choice, err := r.Usable(func(tool *neutral.Tool) bool { return tool.Kind != neutral.Hosted && tool.Kind != neutral.WebFetch })
	if err != nil {
		return nil, err
	}
	w := &rawjson.Writer{Bytes: make([]byte, 0, len(r.Source)+len(r.Source)/4+512)}
	w.Open('{')
	w.KeyString("model", to.Model)
	if r.Stream {
		w.KeyBool("stream", true)
	}
	w.KeyBool("store", false) // the client has the conversation
	w.KeyRaw("include", rawjson.Value(`["reasoning.encrypted_content"]`))
	writeSettings(w, r, to)
	writeReasoning(w, r)
	writeText(w, r)
	i := inputWriter{w: w, r: r, to: to, turns: r.Turns()}
	i.instructions()
	if len(tools) > 0 {
		writeTools(w, r, tools, choice)
	}
	if err := i.write(); err != nil {
		return nil, err
	}
	w.Close('}')
	return w.Bytes, nil
}

func writeSettings(w *rawjson.Writer, r *neutral.Request, to neutral.Target) {
	settings := r.Settings
	r.DropSamplers(&settings, to.Model)
	if limit := settings.Int(neutral.MaxOutput); settings.IsSet(neutral.MaxOutput) && limit < leastOutput {
		settings[neutral.MaxOutput].Value = rawjson.Value("16")
	}
	table := sent
	if r.Dialect == neutral.Chat {
		table = append(slices.Clip(table), ofOpenAI...)
	}
	settings[neutral.Verbosity] = neutral.Setting{} // stands in text
	if string(settings[neutral.Store].Value) == "false" {
		settings[neutral.Store] = neutral.Setting{}
	}
	settings.Write(table, w, &r.Dropped)
}

func writeReasoning(w *rawjson.Writer, r *neutral.Request) {
	reasoning := &r.Reasoning
	if !reasoning.IsSet() {
		return
	}
	effort, visible := reasoning.EffortOf(), reasoning.Visible == neutral.On && reasoning.EffortOf() != "none"
	if reasoning.Visible == neutral.Off {
		r.Dropped.Add(reasoning.VisibleField)
	}
	if effort == "" && !visible {
		return
	}
	w.Key("reasoning")
	w.Open('{')
	if effort != "" {
		w.KeyString("effort", effort)
	}
	if visible {
		w.KeyString("summary", "auto")
	}
	w.Close('}')
}

func writeText(w *rawjson.Writer, r *neutral.Request) {
	verbosity := r.Settings[neutral.Verbosity].Value
	format := &r.Format
	if len(verbosity) == 0 && format.Kind == neutral.FormatText {
		return
	}
	w.Key("text")
	w.Open('{')
	if len(verbosity) > 0 {
		w.KeyRaw("verbosity", verbosity)
	}
	if format.Kind != neutral.FormatText {
		w.Key("format")
		w.Open('{')
		if format.Kind == neutral.FormatJSON {
			w.KeyString("type", "json_object")
		} else {
			writeSchema(w, r)
		}
		w.Close('}')
	}
	w.Close('}')
}

func writeSchema(w *rawjson.Writer, r *neutral.Request) {
	format := &r.Format
	name := format.Name
	if name == "" {
		name = "response" // required here, unknown in messages and gemini
	}
	w.KeyString("type", "json_schema")
	w.KeyString("name", name)
	if format.Description != "" {
		w.KeyString("description", format.Description)
	}
	w.KeyRaw("schema", r.Schema(format.Schema, neutral.SchemaAny, format.SchemaField))
	w.KeyBool("strict", r.StrictFormat() == neutral.On)
}

func writeTools(w *rawjson.Writer, r *neutral.Request, tools []*neutral.Tool, choice neutral.ToolChoice) {
	w.Key("tools")
	w.Open('[')
	for _, tool := range tools {
		writeTool(w, r, tool)
	}
	w.Close(']')
	switch {
	case len(choice.Allowed) == 0 && choice.Mode != neutral.ChoiceUnset:
		w.KeyString("tool_choice", choiceWords[choice.Mode])
	case choice.Mode == neutral.ChoiceRequired && len(choice.Allowed) == 1:
		w.Key("tool_choice")
		writeChosen(w, r, freeform(tools), choice.Allowed[0])
	case len(choice.Allowed) > 0:
		w.Key("tool_choice")
		w.Open('{')
		w.KeyString("type", "allowed_tools")
		w.KeyString("mode", choiceWords[max(choice.Mode, neutral.ChoiceAuto)])
		w.Key("tools")
		w.Open('[')
		isFreeform := freeform(tools)
		for _, ref := range choice.Allowed {
			writeChosen(w, r, isFreeform, ref)
		}
		w.Close(']')
		w.Close('}')
	}
	if r.Parallel != neutral.Unset {
		w.KeyBool("parallel_tool_calls", r.Parallel == neutral.On)
	}
}

var choiceWords = [...]string{"", "auto", "none", "required"}

// freeform returns the names of the tools that are no functions.
func freeform(tools []*neutral.Tool) map[string]bool {
	names := make(map[string]bool)
	for _, tool := range tools {
		if tool.Kind == neutral.Freeform {
			names[tool.Name] = true
		}
	}
	return names
}

// writeChosen names a tool that may or must be called.
func writeChosen(w *rawjson.Writer, r *neutral.Request, isFreeform map[string]bool, ref neutral.ToolRef) {
	kind := "function"
	if isFreeform[ref.Name] {
		kind = "custom"
	}
	w.Open('{')
	w.KeyString("type", kind)
	w.KeyString("name", r.Names.Sent(ref))
	w.Close('}')
}

// writeTool writes a tool. A function without strict would be strict here, so that
// the model would fill in all optional arguments.
func writeTool(w *rawjson.Writer, r *neutral.Request, tool *neutral.Tool) {
	w.Open('{')
	switch tool.Kind {
	case neutral.WebSearch:
		w.KeyString("type", "web_search")
	case neutral.CodeRun:
		w.KeyString("type", "code_interpreter")
		w.KeyRaw("container", rawjson.Value(`{"type":"auto"}`))
	case neutral.Freeform:
		w.KeyString("type", "custom")
		w.KeyString("name", r.Names.Sent(tool.ToolRef))
		if tool.Description != "" {
			w.KeyString("description", tool.Description)
		}
		if tool.Grammar != "" {
			w.Key("format")
			w.Open('{')
			w.KeyString("type", "grammar")
			w.KeyString("syntax", tool.Syntax)
			w.KeyString("definition", tool.Grammar)
			w.Close('}')
		}
	default:
		w.KeyString("type", "function")
		w.KeyString("name", r.Names.Sent(tool.ToolRef))
		if tool.Description != "" {
			w.KeyString("description", tool.Description)
		}
		w.KeyRaw("parameters", r.Schema(tool.Schema, neutral.SchemaAny, tool.SchemaField))
		w.KeyBool("strict", r.StrictTool(tool) == neutral.On)
	}
	w.Close('}')
}
