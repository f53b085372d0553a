package responses

import (
	"slices"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// sent are the settings that go to a channel, in the order in which they are
// written. top_logprobs is not among them: the neutral response has no probabilities.
var sent = []neutral.Field{
	{ID: neutral.MaxOutput, Name: "max_output_tokens"},
	{ID: neutral.Temperature, Name: "temperature"},
	{ID: neutral.TopP, Name: "top_p"},
}

// ofOpenAI are the settings that mean the same in chat. They go from there to here only:
// those of another vendor's dialect mean other things, such as Anthropic's service tiers
// and the metadata that Claude Code sends.
var ofOpenAI = []neutral.Field{
	{ID: neutral.SafetyID, Name: "safety_identifier"},
	{ID: neutral.EndUser, Name: "user"},
	{ID: neutral.CacheKey, Name: "prompt_cache_key"},
	{ID: neutral.ServiceTier, Name: "service_tier"},
	{ID: neutral.Metadata, Name: "metadata"},
}

// leastOutput is the smallest max_output_tokens that the API takes. Clients of other
// dialects send less, such as 1 to see whether a key works; more output does no harm.
const leastOutput = 16

// WriteRequest returns the body of POST /v1/responses. It may change r's own fields,
// but nothing that they point to. The conversation comes last: all before it stays
// the same in each turn. A *neutral.UnsupportedError says what the channel lacks.
//
// Nothing is stored, since the client sends the whole conversation each time. That makes
// the encrypted reasoning necessary: it is how the model gets its own thoughts back. The
// client gets it with the gateway's mark, in the form that its dialect has.
//
// web_search and code_interpreter are asked for where the client's dialect has its own;
// other tools of providers differ too much, and are dropped.
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

// writeSettings writes the plain fields and records those that are left out. r.Settings
// itself stays as it is. store:false is what is done anyway, and is not named as dropped.
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

// writeReasoning writes how much the model shall think. Without a summary OpenAI shows
// no thoughts at all, so one is asked for where the client asks for them. That they
// shall be hidden cannot be said, and is recorded as dropped.
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

// writeText writes the member text, if there is anything in it. Plain text is the
// default.
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

// writeSchema writes the schema of the response. strict is written also if it is false:
// left out, this API would try to make the schema strict.
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

// writeTools writes the tools, and which may be called. All are declared in each turn,
// because the API has allowed_tools for what chat can only say with fewer declarations.
// The same declarations in each turn keep the beginning of the prompt in the cache.
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
		writeChosen(w, r, kindsOf(tools), choice.Allowed[0])
	case len(choice.Allowed) > 0:
		w.Key("tool_choice")
		w.Open('{')
		w.KeyString("type", "allowed_tools")
		w.KeyString("mode", choiceWords[max(choice.Mode, neutral.ChoiceAuto)])
		w.Key("tools")
		w.Open('[')
		kinds := kindsOf(tools)
		for _, ref := range choice.Allowed {
			writeChosen(w, r, kinds, ref)
		}
		w.Close(']')
		w.Close('}')
	}
	if r.Parallel != neutral.Unset {
		w.KeyBool("parallel_tool_calls", r.Parallel == neutral.On)
	}
}

// choiceWords are the words for a neutral.ChoiceMode, which is their index.
var choiceWords = [...]string{"", "auto", "none", "required"}

// kindsOf returns the kinds of the tools by their names. A choice names a tool by its
// type too, which the client's choice does not say in all dialects.
func kindsOf(tools []*neutral.Tool) map[string]neutral.ToolKind {
	kinds := make(map[string]neutral.ToolKind)
	for _, tool := range tools {
		kinds[tool.Name] = tool.Kind
	}
	return kinds
}

// writeChosen names a tool that may or must be called. The provider's own tools go by
// their type alone.
// Source: https://platform.openai.com/docs/api-reference/responses/create#responses-create-tool_choice
func writeChosen(w *rawjson.Writer, r *neutral.Request, kinds map[string]neutral.ToolKind, ref neutral.ToolRef) {
	w.Open('{')
	defer w.Close('}')
	switch kinds[ref.Name] {
	case neutral.WebSearch:
		w.KeyString("type", typeWebSearch)
		return
	case neutral.CodeRun:
		w.KeyString("type", typeCodeRun)
		return
	case neutral.Freeform:
		w.KeyString("type", "custom")
	default:
		w.KeyString("type", "function")
	}
	w.KeyString("name", r.Names.Sent(ref))
}

// The types of the provider's own tools.
const (
	typeWebSearch = "web_search"
	typeCodeRun   = "code_interpreter"
)

// writeTool writes a tool. A function without strict would be strict here, so that
// the model would fill in all optional arguments: the API then tries to make the schema
// strict, where chat takes it as it is. A freeform tool, Codex's or chat's, is custom,
// with its grammar; it needs no function to stand for it. Tools of a namespace have flat
// names, as in chat; neutral.Names maps them back.
// Sources: https://developers.openai.com/api/docs/guides/function-calling and
// https://github.com/open-webui/open-webui/issues/27750
func writeTool(w *rawjson.Writer, r *neutral.Request, tool *neutral.Tool) {
	w.Open('{')
	switch tool.Kind {
	case neutral.WebSearch:
		w.KeyString("type", typeWebSearch)
	case neutral.CodeRun:
		w.KeyString("type", typeCodeRun)
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
