package messages

import (
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

const (
	// defaultMaxOutput is what Claude Code asks of models that it does not know. A smaller
	// value would cut answers of clients that have set none; a channel whose models take
	// less sets neutral.Target.MaxOutput.
	defaultMaxOutput = 32000
	// leastBudget is the smallest budget for thinking that the API takes, in tokens. It
	// must also be less than max_tokens (ThinkingConfigEnabledParam in Anthropic's SDK).
	leastBudget = 1024
	// longestUserID is the longest metadata.user_id, in bytes.
	longestUserID = 256
)

// cached marks the end of what a prompt cache shall keep, for five minutes, the default.
// Writing with a lifetime of an hour costs more, and the client has not asked for it.
// Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching
const cached = `{"type":"ephemeral"}`

// jsonOnly stands for a format that the dialect does not have: response_format json_object
// of chat, and Gemini's application/json without a schema. It is a system text, behind the
// client's own, so that it is the same in each turn.
const jsonOnly = "Respond with one JSON object and nothing else."

// WriteRequest returns the body of POST /v1/messages. It may change r's own fields,
// but nothing that they point to. The conversation comes last: all before it stays
// the same in each turn, but for thinking, which is left out of some requests to older
// models (see thinks). What is left out is recorded in r.Dropped.
//
// An error says that this channel cannot serve the request: r.Check for what only another
// dialect has, r.Usable for a forced tool that cannot be declared, and media of a kind
// that the dialect has no block for. Then nothing was sent, and another channel is asked.
//
// Functions, Codex's freeform tools and its tool search become tools of the client, and
// the web search of any dialect becomes Anthropic's. Other tools of providers are dropped.
func WriteRequest(r *neutral.Request, to neutral.Target) ([]byte, error) {
	if err := r.Check(neutral.Messages); err != nil {
		return nil, err
	}
	tools, choice, err := r.Usable(func(tool *neutral.Tool) bool {
		return tool.IsClientTool() || tool.Kind == neutral.WebSearch
	})
	if err != nil {
		return nil, err
	}
	w := &rawjson.Writer{Bytes: make([]byte, 0, len(r.Source)+len(r.Source)/4+512)}
	m := messagesWriter{w: w, r: r, to: to, turns: r.Turns()}
	w.Open('{')
	w.KeyString("model", to.Model)
	if r.Stream {
		w.KeyBool("stream", true)
	}
	limit := writeLimit(w, r, to)
	m.thinking = m.thinks(choice, limit)
	writeThinking(w, r, m.thinking, limit)
	writeSampling(w, r, to, m.thinking)
	writeUser(w, r)
	m.system()
	if len(tools) > 0 {
		writeTools(w, r, tools, choice)
	}
	if err := m.write(); err != nil {
		return nil, err
	}
	w.Close('}')
	return w.Bytes, nil
}

// writeLimit writes max_tokens, which the API requires, and returns it. In order of
// preference it is what the client asks for, the channel's maximum, or 32000; never more
// than the channel's maximum, since a higher value is a 400 and not lowered by the API.
// The setting is cleared, so that writeSampling does not count it as dropped.
func writeLimit(w *rawjson.Writer, r *neutral.Request, to neutral.Target) int64 {
	limit := r.Settings.Int(neutral.MaxOutput)
	switch {
	case limit == 0 && to.MaxOutput > 0:
		limit = to.MaxOutput
	case limit == 0:
		limit = defaultMaxOutput
	case to.MaxOutput > 0:
		limit = min(limit, to.MaxOutput)
	}
	r.Settings[neutral.MaxOutput] = neutral.Setting{}
	w.KeyInt("max_tokens", limit)
	return limit
}

// thinkingForm is a form of the field thinking. The forms exclude each other by model:
// the wrong one is a 400.
//
//	thinkingUnset       no field                        the model's default
//	thinkingOff         {"type":"disabled"}             effort none, or a forced tool
//	thinkingBudget      {"type":"enabled",
//	                     "budget_tokens":8192}          effort or budget of the client
//	thinkingAdaptive    {"type":"adaptive"} beside
//	                    output_config.effort            effort of the client, in words
type thinkingForm int

const (
	thinkingUnset thinkingForm = iota
	thinkingOff
	thinkingBudget   // models before Claude 4.6, and those of other vendors
	thinkingAdaptive // an effort in words; from Claude 4.7 on a budget is a 400
)

// adaptive are parts of the names of models that think adaptively. From 4.7 on they
// refuse a budget and samplers; for 4.6, budgets are deprecated, and it is asked like the
// others. A model that is not in it is asked in the old form, which providers that are
// compatible with Anthropic take for their own models.
// Source: https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking (November 2026)
var adaptive = []string{"opus-4-6", "opus-4-7", "opus-4-8", "sonnet-4-6", "opus-5", "sonnet-5", "haiku-5", "fable", "mythos"}

// isAdaptive reports whether a model is one of these. Providers write the names with a
// prefix, a date behind them or a dot for the version (anthropic/claude-opus-4.6), so the
// name is searched for in the channel's one.
func isAdaptive(model string) bool {
	model = strings.ReplaceAll(strings.ToLower(model), ".", "-")
	for _, name := range adaptive {
		if strings.Contains(model, name) {
			return true
		}
	}
	return false
}

// thinks returns the form of thinking for the request. A forced tool excludes thinking,
// and so does a last turn of the model, with calls, whose thoughts are lost.
//
// Both are refused by the API ("Thinking may not be enabled when tool_choice forces tool
// use"; "Expected `thinking` or `redacted_thinking`, but found `tool_use`"). Of the two,
// the tool is kept: without it the client could not read the answer. Lost thoughts arise
// when a conversation moves here from another vendor between a call and its result; once
// a turn has ended without calls, the model thinks again. Adaptive models take such a
// turn. A limit that leaves no room for the smallest budget turns thinking off as well.
//
// A client that only says whether it shows thoughts does not ask for thinking: its display
// goes to adaptive models alone, which think by themselves.
func (m *messagesWriter) thinks(choice neutral.ToolChoice, limit int64) thinkingForm {
	reasoning := &m.r.Reasoning
	if !reasoning.IsSet() || (reasoning.EffortOf() == "" && !isAdaptive(m.to.Model)) {
		return thinkingUnset
	}
	forced := choice.Mode == neutral.ChoiceRequired
	switch {
	case reasoning.EffortOf() == "none", forced:
		if forced {
			m.r.Dropped.Add(reasoning.Field)
		}
		return thinkingOff
	case isAdaptive(m.to.Model):
		return thinkingAdaptive
	case limit <= leastBudget || m.lastCallsWithoutThought():
		m.r.Dropped.Add(reasoning.Field)
		return thinkingUnset
	}
	return thinkingBudget
}

// lastCallsWithoutThought reports whether the last turn of the model calls tools
// and has no thoughts that the channel could read. Only the last turn counts: the API
// takes earlier ones without their thoughts. Turns has merged what the model said in one
// turn, so that one message is enough to look at.
func (m *messagesWriter) lastCallsWithoutThought() bool {
	for i := len(m.turns) - 1; i >= 0; i-- {
		turn := &m.turns[i]
		if turn.Role != neutral.Assistant {
			continue
		}
		for j := range turn.Parts {
			switch part := &turn.Parts[j]; {
			case part.Kind == neutral.Thought && part.Sig.For(m.to.Vendor) != "":
				return false
			case part.Kind == neutral.Call:
				return true
			}
		}
		return false
	}
	return false
}

// writeThinking writes thinking, and output_config with the effort and the format.
//
// The effort is written for adaptive models only; older ones refuse it. "minimal", which
// the dialect does not have, is "low". A budget is raised to the API's least and kept
// below limit, which is max_tokens: thoughts count as output there.
//
// display is written where the client shows thoughts: the default depends on the model,
// and may be "omitted", which is a signature and no text. The summaries of Responses,
// "concise" and "detailed", have no counterpart. The format's schema is closed and
// stripped of what the API refuses (neutral.SchemaStrict); its name and whether it is
// strict cannot be said.
func writeThinking(w *rawjson.Writer, r *neutral.Request, form thinkingForm, limit int64) {
	if r.Reasoning.Summary != "" && r.Reasoning.Summary != "auto" {
		r.Dropped.Add(r.Reasoning.VisibleField)
	}
	config := form == thinkingAdaptive && r.Reasoning.EffortOf() != ""
	if form != thinkingUnset {
		w.Key("thinking")
		w.Open('{')
		switch form {
		case thinkingOff:
			w.KeyString("type", "disabled")
		case thinkingBudget:
			w.KeyString("type", "enabled")
			w.KeyInt("budget_tokens", min(max(r.Reasoning.BudgetOf(), leastBudget), limit-1))
		case thinkingAdaptive:
			w.KeyString("type", "adaptive")
			if r.Reasoning.Visible == neutral.On {
				w.KeyString("display", "summarized")
			}
		}
		w.Close('}')
	}
	if !config && r.Format.Kind != neutral.FormatSchema {
		return
	}
	w.Key("output_config")
	w.Open('{')
	if config {
		effort := r.Reasoning.EffortOf()
		if effort == "minimal" {
			effort = "low"
		}
		w.KeyString("effort", effort)
	}
	if r.Format.Kind == neutral.FormatSchema {
		w.Key("format")
		w.Open('{')
		r.DropFormatName()
		w.KeyString("type", "json_schema")
		w.KeyRaw("schema", r.Schema(r.Format.Schema, neutral.SchemaStrict, r.Format.SchemaField))
		w.Close('}')
	}
	w.Close('}')
}

// sampling are the settings that older models take. All others (penalties, seed, n,
// logprobs) have no field in the dialect and are dropped by Settings.Write.
var sampling = []neutral.Field{
	{ID: neutral.Temperature, Name: "temperature"},
	{ID: neutral.TopP, Name: "top_p"},
	{ID: neutral.TopK, Name: "top_k"},
	{ID: neutral.Stop, Name: "stop_sequences"},
}

// writeSampling writes the samplers: none where the model refuses them, and never
// temperature beside top_p, which many models refuse together. Where the model
// thinks with a budget, the API takes no temperature but 1 and no top_k, so that none
// of them is sent. A temperature above 1 becomes 1 instead of being scaled: below 1 both
// scales mean the same.
//
// Values are changed in a copy: r.Settings keeps the client's for writeUser.
func writeSampling(w *rawjson.Writer, r *neutral.Request, to neutral.Target, form thinkingForm) {
	settings := r.Settings
	if isAdaptive(to.Model) || form == thinkingBudget {
		settings.Drop(neutral.Temperature, &r.Dropped)
		settings.Drop(neutral.TopP, &r.Dropped)
		settings.Drop(neutral.TopK, &r.Dropped)
	}
	if t, ok := settings[neutral.Temperature].Value.Float(); ok && t > 1 {
		settings[neutral.Temperature].Value = rawjson.Value("1") // the scale ends there
	}
	if settings.IsSet(neutral.Temperature) {
		settings.Drop(neutral.TopP, &r.Dropped)
	}
	settings[neutral.EndUser], settings[neutral.SafetyID] = neutral.Setting{}, neutral.Setting{}
	settings.Write(sampling, w, &r.Dropped)
}

// writeUser writes who the client's user is: chat's and Responses' safety_identifier, or
// else the older user. It is an opaque id by their documentation, too, so it is passed
// on as it is. One that is too long is left out, since it would cost a 400.
func writeUser(w *rawjson.Writer, r *neutral.Request) {
	for _, id := range []neutral.SettingID{neutral.SafetyID, neutral.EndUser} {
		user := r.Settings[id].Value.Text()
		if user == "" || len(user) > longestUserID {
			continue
		}
		w.Key("metadata")
		w.Open('{')
		w.KeyString("user_id", user)
		w.Close('}')
		if id == neutral.SafetyID {
			r.Settings.Drop(neutral.EndUser, &r.Dropped)
		}
		return
	}
}

// writeTools writes the tools and the choice. The dialect cannot say that only some of
// the tools may be called, so those are declared and no others; where one is forced by
// its name, all are. A list that changes costs the prompt cache, which begins with the
// tools. Responses and Gemini have a list of allowed names for that.
func writeTools(w *rawjson.Writer, r *neutral.Request, tools []*neutral.Tool, choice neutral.ToolChoice) {
	w.Key("tools")
	w.Open('[')
	last := 0
	for i, tool := range tools {
		if choice.Allows(tool) {
			last = i
		}
	}
	for i, tool := range tools {
		if choice.Allows(tool) {
			writeTool(w, r, tool, i == last)
		}
	}
	w.Close(']')
	writeChoice(w, r, choice)
}

// writeTool writes a tool; the last one has the mark of the cache, unless it is the web
// search. Strict is repeated where the client has said it: absent means loose here, as in
// chat, and unlike Responses. A strict schema must be closed, so it is written in the
// form of structured output.
//
// A freeform tool (Codex's apply_patch) is a function with the one text `input`, and its
// grammar stands in the description; StreamReader takes the text out of the arguments.
func writeTool(w *rawjson.Writer, r *neutral.Request, tool *neutral.Tool, last bool) {
	w.Open('{')
	if tool.Kind == neutral.WebSearch {
		w.KeyString("type", "web_search_20250305")
		w.KeyString("name", "web_search")
		w.Close('}')
		return
	}
	description, schema := tool.Description, tool.Schema
	if tool.Kind == neutral.Freeform {
		description, schema = neutral.FreeformDescription(tool), neutral.FreeformSchema()
	}
	w.KeyString("name", r.Names.Sent(tool.ToolRef))
	if description != "" {
		w.KeyString("description", description)
	}
	form := neutral.SchemaMessages
	if tool.Strict == neutral.On {
		form = neutral.SchemaStrict
	}
	w.KeyRaw("input_schema", r.Schema(schema, form, tool.SchemaField))
	if tool.Strict != neutral.Unset {
		w.KeyBool("strict", tool.Strict == neutral.On)
	}
	if last {
		w.KeyRaw("cache_control", rawjson.Value(cached))
	}
	w.Close('}')
}

// writeChoice writes the choice. That calls must not be parallel is a part of it, and
// needs a type beside it: auto, the default, if the client has chosen nothing.
// "any" with one allowed tool is that tool. The API refuses tool_choice without tools, so
// that it is written behind them only.
func writeChoice(w *rawjson.Writer, r *neutral.Request, choice neutral.ToolChoice) {
	kind := [...]string{"", "auto", "none", "any"}[choice.Mode]
	if choice.Mode == neutral.ChoiceRequired && len(choice.Allowed) == 1 {
		kind = "tool"
	}
	if kind == "" && r.Parallel != neutral.Unset {
		kind = "auto"
	}
	if kind == "" {
		return
	}
	w.Key("tool_choice")
	w.Open('{')
	w.KeyString("type", kind)
	if kind == "tool" {
		w.KeyString("name", r.Names.Sent(choice.Allowed[0]))
	}
	if r.Parallel != neutral.Unset && kind != "none" {
		w.KeyBool("disable_parallel_tool_use", r.Parallel == neutral.Off)
	}
	w.Close('}')
}
