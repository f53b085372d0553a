package chat

import (
	"slices"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// common are the settings that go to a channel, in the order in which they are
// written. max_tokens is written apart, because models differ in its name, and
// what changes the response in a way that other dialects cannot say is left out, such as
// logprobs. So is what only some providers know (top_k, min_p): Mistral and Google's
// chat endpoint refuse requests with an unknown field.
var common = []neutral.Field{
	{ID: neutral.Temperature, Name: "temperature"},
	{ID: neutral.TopP, Name: "top_p"},
	{ID: neutral.Seed, Name: "seed"},
	{ID: neutral.FrequencyPenalty, Name: "frequency_penalty"},
	{ID: neutral.PresencePenalty, Name: "presence_penalty"},
	{ID: neutral.Stop, Name: "stop"},
	{ID: neutral.Count, Name: "n"},
}

// ofOpenAI are the settings that mean the same in Responses. Other providers refuse
// most of them, so they are written only from the one dialect of OpenAI to the other,
// for one of its models.
var ofOpenAI = []neutral.Field{
	{ID: neutral.Verbosity, Name: "verbosity"},
	{ID: neutral.SafetyID, Name: "safety_identifier"},
	{ID: neutral.EndUser, Name: "user"},
	{ID: neutral.CacheKey, Name: "prompt_cache_key"},
	{ID: neutral.ServiceTier, Name: "service_tier"},
	{ID: neutral.Metadata, Name: "metadata"},
}

// maxStops is how many stop sequences OpenAI takes. The first ones are kept; that some
// are missing stands in X-Gateway-Dropped (stop[4:]).
const maxStops = 4

// WriteRequest returns the body of POST /v1/chat/completions. It may change r's own
// fields, but nothing that they point to. A *neutral.UnsupportedError says what the
// channel lacks; the gateway then tries one of another dialect.
//
// The order of the fields is fixed: all before the messages stays the same in each turn
// of a conversation as long as the client's settings do. Usage is always asked for in
// streams (see readStreamOptions). Of the tools only those that the client runs can be
// declared here: web search is a field of OpenAI's search models, not a tool.
func WriteRequest(r *neutral.Request, to neutral.Target) ([]byte, error) {
	if err := r.Check(neutral.Chat); err != nil {
		return nil, err
	}
	tools, choice, err := r.Usable(func(tool *neutral.Tool) bool { return tool.IsClientTool() })
	if err != nil {
		return nil, err
	}
	w := &rawjson.Writer{Bytes: make([]byte, 0, len(r.Source)+len(r.Source)/4+512)}
	w.Open('{')
	w.KeyString("model", to.Model)
	if r.Stream {
		w.KeyBool("stream", true)
		w.KeyRaw("stream_options", rawjson.Value(`{"include_usage":true}`))
	}
	writeSettings(w, r, to)
	writeReasoning(w, r, to, len(tools) > 0)
	writeFormat(w, r)
	if len(tools) > 0 {
		writeTools(w, r, tools, choice)
	}
	m := messagesWriter{w: w, r: r, to: to}
	if err := m.write(); err != nil {
		return nil, err
	}
	w.Close('}')
	return w.Bytes, nil
}

// writeSettings writes the plain fields and records those that are left out. r.Settings
// itself stays as it is: the copy is changed.
func writeSettings(w *rawjson.Writer, r *neutral.Request, to neutral.Target) {
	settings := r.Settings
	if settings.IsSet(neutral.MaxOutput) {
		w.KeyRaw(maxTokensField(to.Model), settings[neutral.MaxOutput].Value)
		settings[neutral.MaxOutput] = neutral.Setting{}
	}
	r.DropSamplers(&settings, to.Model)
	settings.CutStops(maxStops, &r.Dropped)
	table := common
	if neutral.IsOpenAI(to.Model) && r.Dialect == neutral.Responses {
		table = append(slices.Clip(table), ofOpenAI...)
	}
	settings.Write(table, w, &r.Dropped)
}

// maxTokensField is what a model calls its output limit. OpenAI's reasoning models
// refuse the old name with 400 unsupported_parameter, and many other servers know only
// that.
func maxTokensField(model string) string {
	if neutral.IsOpenAIReasoning(model) {
		return "max_completion_tokens"
	}
	return "max_tokens"
}

// writeReasoning writes reasoning_effort. OpenAI's newer models refuse it beside
// tools on this endpoint, unless it is none; other providers know only low, medium and
// high. A budget of tokens is put into words by EffortOf.
//
// Thinking that messages has disabled is dropped for models other than OpenAI's: it is
// what most models of that dialect do without the field, and few servers know the word
// none.
//
// Whether thoughts are shown cannot be said here. Where the client asks for none, it is
// recorded that it may get some.
// Source: https://github.com/openai/openai-openapi/issues/541
func writeReasoning(w *rawjson.Writer, r *neutral.Request, to neutral.Target, tools bool) {
	reasoning := &r.Reasoning
	effort := reasoning.EffortOf()
	if reasoning.Visible == neutral.Off || (reasoning.Summary != "" && reasoning.Summary != "auto") {
		r.Dropped.Add(reasoning.VisibleField)
	}
	if effort == "" {
		return
	}
	own := neutral.IsOpenAIReasoning(to.Model)
	switch {
	case own && tools && effort != "none", effort == "none" && !own && r.Dialect == neutral.Messages:
		r.Dropped.Add(reasoning.Field)
		return
	case own:
	case effort == "minimal":
		effort = "low"
	case effort == "xhigh", effort == "max":
		effort = "high"
	}
	w.KeyString("reasoning_effort", effort)
}

// writeFormat writes the form of the response. Plain text is the default and is not
// written, since some servers know no response_format.
func writeFormat(w *rawjson.Writer, r *neutral.Request) {
	format := &r.Format
	switch format.Kind {
	case neutral.FormatJSON:
		w.KeyRaw("response_format", rawjson.Value(`{"type":"json_object"}`))
	case neutral.FormatSchema:
		name := format.Name
		if name == "" {
			name = "response" // required here, unknown in messages and gemini
		}
		w.Key("response_format")
		w.Open('{')
		w.KeyString("type", "json_schema")
		w.Key("json_schema")
		w.Open('{')
		w.KeyString("name", name)
		if format.Description != "" {
			w.KeyString("description", format.Description)
		}
		w.KeyRaw("schema", r.Schema(format.Schema, neutral.SchemaAny, format.SchemaField))
		if strict := r.StrictFormat(); strict != neutral.Unset {
			w.KeyBool("strict", strict == neutral.On)
		}
		w.Close('}')
		w.Close('}')
	}
}

// writeTools writes the tools before the messages: they are the beginning of what
// prompt caches compare, and more of them are appended to the end of the array.
//
// Of a choice with allowed tools only those are declared, because few servers know
// allowed_tools. A single forced tool is named instead, and all stay declared: agents
// force one tool for one turn, and the others' declarations are in the cache. Without
// tools, tool_choice and parallel_tool_calls are refused, and are not written.
func writeTools(w *rawjson.Writer, r *neutral.Request, tools []*neutral.Tool, choice neutral.ToolChoice) {
	w.Key("tools")
	w.Open('[')
	for _, tool := range tools {
		if choice.Allows(tool) {
			writeTool(w, r, tool)
		}
	}
	w.Close(']')
	switch {
	case choice.Mode == neutral.ChoiceRequired && len(choice.Allowed) == 1:
		w.Key("tool_choice")
		w.Open('{')
		w.KeyString("type", "function")
		w.Key("function")
		w.Open('{')
		w.KeyString("name", r.Names.Sent(choice.Allowed[0]))
		w.Close('}')
		w.Close('}')
	case choice.Mode != neutral.ChoiceUnset:
		w.KeyString("tool_choice", [...]string{"", "auto", "none", "required"}[choice.Mode])
	}
	if r.Parallel != neutral.Unset {
		w.KeyBool("parallel_tool_calls", r.Parallel == neutral.On)
	}
}

// writeTool writes a tool as a function. A freeform tool, such as Codex's apply_patch,
// becomes one with the string input, and its grammar a part of the description: only
// OpenAI knows the type custom, and llama.cpp refuses a request that has one
// (https://github.com/ggml-org/llama.cpp/issues/20156). A function without parameters
// has none written, which means no arguments.
func writeTool(w *rawjson.Writer, r *neutral.Request, tool *neutral.Tool) {
	description, schema := tool.Description, tool.Schema
	if tool.Kind == neutral.Freeform {
		description, schema = neutral.FreeformDescription(tool), neutral.FreeformSchema()
	}
	w.Open('{')
	w.KeyString("type", "function")
	w.Key("function")
	w.Open('{')
	w.KeyString("name", r.Names.Sent(tool.ToolRef))
	if description != "" {
		w.KeyString("description", description)
	}
	if schema.Is('{') {
		w.KeyRaw("parameters", r.Schema(schema, neutral.SchemaAny, tool.SchemaField))
	}
	if strict := r.StrictTool(tool); strict != neutral.Unset {
		w.KeyBool("strict", strict == neutral.On)
	}
	w.Close('}')
	w.Close('}')
}
