package gemini

import (
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// WriteRequest returns the body of POST /v1beta/models/{model}:generateContent and
// :streamGenerateContent. It may change r's own fields, but nothing that they point
// to. The conversation comes last: all before it stays the same in each turn. What is
// left out is recorded in r.Dropped; an error says that this channel cannot serve the
// request, and another one may. r.Model and r.Stream are for the path, which the caller
// makes.
func WriteRequest(r *neutral.Request, to neutral.Target) ([]byte, error) {
	if err := r.Check(neutral.Gemini); err != nil {
		return nil, err
	}
	functions := hasFunctions(r)
	tools, choice, err := r.Usable(func(tool *neutral.Tool) bool {
		return tool.IsClientTool() || (!functions && tool.Kind != neutral.Hosted)
	})
	if err != nil {
		return nil, err
	}
	w := &rawjson.Writer{Bytes: make([]byte, 0, len(r.Source)+len(r.Source)/4+512)}
	c := contentsWriter{w: w, r: r, to: to, turns: r.Turns()}
	w.Open('{')
	c.system()
	if len(tools) > 0 {
		writeTools(w, r, tools)
		writeToolConfig(w, r, choice)
	}
	writeGeneration(w, r, to)
	if err := c.write(); err != nil {
		return nil, err
	}
	w.Close('}')
	return w.Bytes, nil
}

// hasFunctions reports whether there are functions, beside which older models
// refuse Google's own tools ("Tool use with function calling is unsupported"). An agent
// without its functions could do nothing, so they are kept, and the search is dropped.
func hasFunctions(r *neutral.Request) bool {
	for i := range r.Tools {
		if r.Tools[i].IsClientTool() {
			return true
		}
	}
	return false
}

// writeTools writes the tools: either functions, all in one element, as the Gemini CLI
// does, or Google's own, one an element, without options.
func writeTools(w *rawjson.Writer, r *neutral.Request, tools []*neutral.Tool) {
	w.Key("tools")
	w.Open('[')
	if tools[0].IsClientTool() {
		w.Open('{')
		w.Key("functionDeclarations")
		w.Open('[')
		for _, tool := range tools {
			writeDeclaration(w, r, tool)
		}
		w.Close(']')
		w.Close('}')
	} else {
		for _, tool := range tools {
			name := map[neutral.ToolKind]string{neutral.WebSearch: "googleSearch", neutral.WebFetch: "urlContext", neutral.CodeRun: "codeExecution"}[tool.Kind]
			w.Open('{')
			w.KeyRaw(name, rawjson.Value("{}"))
			w.Close('}')
		}
	}
	w.Close(']')
}

// writeDeclaration writes a function. The schema is written as parametersJsonSchema:
// parameters has fewer keywords, and refuses all others by name ("Unknown name
// exclusiveMinimum"), of which Claude Code's tools have many. What the JSON
// form lacks as well is dropped by neutral.SchemaGemini. A function without arguments
// has no schema.
//
// A freeform tool is a function with the one text `input`, and its grammar stands in
// the description. That a schema is strict cannot be said.
func writeDeclaration(w *rawjson.Writer, r *neutral.Request, tool *neutral.Tool) {
	description, schema := tool.Description, tool.Schema
	if tool.Kind == neutral.Freeform {
		description, schema = neutral.FreeformDescription(tool), neutral.FreeformSchema()
	}
	if tool.Strict == neutral.On {
		r.Dropped.Add(tool.Field, "[].strict")
	}
	w.Open('{')
	w.KeyString("name", r.Names.Sent(tool.ToolRef))
	if description != "" {
		w.KeyString("description", description)
	}
	if schema.Is('{') {
		w.KeyRaw("parametersJsonSchema", r.Schema(schema, neutral.SchemaGemini, tool.SchemaField))
	}
	w.Close('}')
}

// writeToolConfig writes the choice of a tool. All tools stay declared, and the allowed
// ones are listed, so that a changed list does not change what comes before it. Whether
// calls may be parallel cannot be said; only a request that they are not is recorded as
// dropped, since they may be by default.
func writeToolConfig(w *rawjson.Writer, r *neutral.Request, choice neutral.ToolChoice) {
	if r.Parallel == neutral.Off {
		r.DropParallel()
	}
	mode := [...]string{"", "AUTO", "NONE", "ANY"}[choice.Mode]
	if len(choice.Allowed) > 0 && choice.Mode == neutral.ChoiceAuto {
		mode = "VALIDATED" // AUTO takes no list
	}
	if mode == "" {
		return
	}
	w.Key("toolConfig")
	w.Open('{')
	w.Key("functionCallingConfig")
	w.Open('{')
	w.KeyString("mode", mode)
	if len(choice.Allowed) > 0 {
		w.Key("allowedFunctionNames")
		w.Open('[')
		for _, ref := range choice.Allowed {
			w.String(r.Names.Sent(ref))
		}
		w.Close(']')
	}
	w.Close('}')
	w.Close('}')
}

// maxStops is how many stop sequences Google takes; more are a 400. The first ones stay,
// and the others are recorded as stop[5:], as the client calls the field.
const maxStops = 5

// writeGeneration writes generationConfig, or nothing if it would be empty. Any JSON is
// asked for by the MIME type alone, and a schema needs that type beside it. Samplers are
// sent as they are, though Google advises against changing them for Gemini 3.
func writeGeneration(w *rawjson.Writer, r *neutral.Request, to neutral.Target) {
	begun := len(w.Bytes)
	w.Key("generationConfig")
	w.Open('{')
	empty := len(w.Bytes)
	r.Settings.CutStops(maxStops, &r.Dropped)
	r.Settings.Write(settings, w, &r.Dropped)
	switch r.Format.Kind {
	case neutral.FormatJSON:
		w.KeyString("responseMimeType", "application/json")
	case neutral.FormatSchema:
		w.KeyString("responseMimeType", "application/json")
		w.KeyRaw("responseJsonSchema", r.Schema(r.Format.Schema, neutral.SchemaGemini, r.Format.SchemaField))
		r.DropFormatName()
	}
	writeThinking(w, r, to)
	if len(w.Bytes) == empty {
		w.Bytes = w.Bytes[:begun]
		return
	}
	w.Close('}')
}

// writeThinking writes how much the model may think: a level from Gemini 3 on, a
// number of tokens for Gemini 2.5. Other models refuse both. So does each of the two the
// other's field: budget and level together are a 400, and so is a level for 2.5 or a
// budget from 3.5 on.
//
// The least budget of 2.5 Pro, which always thinks, is 128, and the most 32,768; of 2.5
// Flash it is 24,576. Thoughts are asked for unless the client has declined them: without
// includeThoughts they cost the same and are not shown.
//
// Source: https://ai.google.dev/gemini-api/docs/thinking (November 2026)
func writeThinking(w *rawjson.Writer, r *neutral.Request, to neutral.Target) {
	reasoning := &r.Reasoning
	if reasoning.Field == "" {
		return
	}
	level, budget := "", int64(-1)
	pro := strings.Contains(to.Model, "pro")
	switch {
	case takesLevel(to.Model):
		level = levelOf(reasoning.EffortOf(), pro)
	case strings.Contains(to.Model, "gemini-2.5"):
		budget = reasoning.BudgetOf()
		if pro && budget >= 0 {
			budget = max(budget, 128)
		}
		budget = min(budget, 32768)
		if !pro {
			budget = min(budget, 24576)
		}
	default:
		r.Dropped.Add(reasoning.Field)
		return
	}
	if reasoning.Summary != "" && reasoning.Summary != "auto" {
		r.Dropped.Add(reasoning.VisibleField)
	}
	w.Key("thinkingConfig")
	w.Open('{')
	w.KeyBool("includeThoughts", reasoning.Visible != neutral.Off && reasoning.EffortOf() != "none")
	switch {
	case level != "":
		w.KeyString("thinkingLevel", level)
	case budget >= 0:
		w.KeyInt("thinkingBudget", budget)
	}
	w.Close('}')
}

// takesLevel reports whether a model is of Gemini 3 or newer, by its name: those models
// take a level in place of a budget, and require signatures. The name may have a prefix,
// such as google/gemini-3-pro. The aliases of the newest models, such as
// gemini-flash-latest, are among them.
func takesLevel(model string) bool {
	_, version, ok := strings.Cut(model, "gemini-")
	if !ok || version == "" {
		return false
	}
	return version[0] >= '3' && version[0] <= '9' || version[0] > '9' && strings.HasSuffix(version, "-latest")
}

// levelOf returns the level of an effort, "" for the model's default. Gemini 3 Pro has LOW
// and HIGH only, so that all Pro models get no other; all of them always think. xhigh and
// max are HIGH, the highest that there is.
func levelOf(effort string, pro bool) string {
	switch effort {
	case "none", "minimal":
		if pro {
			return "LOW"
		}
		return "MINIMAL"
	case "low":
		return "LOW"
	case "medium":
		if pro {
			return "HIGH"
		}
		return "MEDIUM"
	case "":
		return ""
	}
	return "HIGH"
}
