package responses

import (
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// settings are the plain fields. stop, seed, n, penalties and top_k are none of this
// dialect; a client that sends them sees them in X-Gateway-Dropped.
var settings = []neutral.Field{
	{ID: neutral.MaxOutput, Name: "max_output_tokens"},
	{ID: neutral.Temperature, Name: "temperature"},
	{ID: neutral.TopP, Name: "top_p"},
	{ID: neutral.TopLogProbs, Name: "top_logprobs"},
	{ID: neutral.MaxToolCalls, Name: "max_tool_calls"},
	{ID: neutral.SafetyID, Name: "safety_identifier"},
	{ID: neutral.EndUser, Name: "user"},
	{ID: neutral.CacheKey, Name: "prompt_cache_key"},
	{ID: neutral.ServiceTier, Name: "service_tier"},
	{ID: neutral.Metadata, Name: "metadata"},
}

// ReadRequest reads the body of POST /v1/responses. A request of this dialect always gets
// usage in streams. The error is a *neutral.InvalidError for what is no request, or a
// *neutral.UnsupportedError for content of a kind that no other dialect is known to have.
//
// A request without items is accepted if it has something that only a provider has, such
// as previous_response_id: the error of the writer then says what is missing, where
// "at least one item is required" would mislead.
func ReadRequest(body []byte) (*neutral.Request, error) {
	v, err := rawjson.Parse(body)
	if err != nil || !v.Is('{') {
		return nil, &neutral.InvalidError{Reason: "The body is not a JSON object"}
	}
	r := &neutral.Request{Dialect: neutral.Responses, Source: v, StreamUsage: true}
	var input, instructions rawjson.Value
	for name, value := range v.Members {
		switch name {
		case "input": // after the tools: of two with one name, the top-level one counts
			input = value
		case "instructions":
			instructions = value
		default:
			readField(r, name, value)
		}
	}
	if text := instructions.Text(); text != "" {
		r.Messages = append(r.Messages, neutral.Message{Role: neutral.System, Parts: []neutral.Part{{Kind: neutral.Text, Text: text}}})
	}
	if err := readInput(r, input); err != nil {
		return nil, err
	}
	if len(r.Needs) == 0 && !hasTurn(r) {
		return nil, &neutral.InvalidError{Param: "input", Reason: "at least one item is required"}
	}
	r.Names = neutral.NewNames(r.Tools)
	return r, nil
}

// hasTurn reports whether there is anything to answer to.
func hasTurn(r *neutral.Request) bool {
	for i := range r.Messages {
		if len(r.Messages[i].Parts) > 0 {
			return true
		}
	}
	return false
}

// readField reads a field other than input and instructions. One that is null was not
// sent.
//
// What a provider keeps between requests goes to Needs: the model would answer without
// the conversation that it is asked about. store:true changes nothing about this
// response, and is only named as dropped. Whether encrypted reasoning is asked for
// (include) is not kept: a response has it wherever the channel gives any, in a form
// that each client can ignore. client_metadata, which Codex sends, is dropped.
func readField(r *neutral.Request, name string, value rawjson.Value) {
	if !value.IsSet() || r.Settings.Read(settings, "", name, value) {
		return
	}
	switch name {
	case "model":
		r.Model = value.Text()
	case "stream":
		r.Stream = value.Bool()
	case "tools":
		for tool := range value.Elements {
			readTool(r, "tools", "", tool)
		}
	case "tool_choice":
		readToolChoice(r, value)
	case "parallel_tool_calls":
		r.Parallel = neutral.SwitchOf(value)
	case "reasoning":
		readReasoning(r, value)
	case "text":
		readText(r, value)
	case "include":
		for what := range value.Elements {
			if text := what.Text(); text != "reasoning.encrypted_content" {
				r.Dropped.Add("include(", text, ")")
			}
		}
	case "previous_response_id":
		r.Need(name, "an earlier response kept by the provider", neutral.Responses)
	case "conversation", "prompt":
		r.Need(name, "a "+name+" kept by the provider", neutral.Responses)
	case "background":
		if value.Bool() {
			r.Need(name, "a response in the background", neutral.Responses)
		}
	case "store": // no response is kept on a translated route
		if value.Bool() {
			r.Dropped.Add(name)
		}
	case "truncation":
		if value.Text() != "disabled" {
			r.Dropped.Add(name)
		}
	case "stream_options":
		for option := range value.Members {
			r.Dropped.Add("stream_options.", option)
		}
	default:
		r.Dropped.Add(name)
	}
}

// readReasoning reads how much the model shall think. A summary asks for visible
// thoughts, in whichever words; generate_summary is its older name, and counts if it
// stands alone or last.
func readReasoning(r *neutral.Request, value rawjson.Value) {
	reasoning := &r.Reasoning
	reasoning.Field = "reasoning"
	for name, member := range value.Members {
		switch name {
		case "effort":
			reasoning.Effort = member.Text()
		case "summary", "generate_summary":
			if member.Is('"') {
				if reasoning.Summary != "" {
					r.Dropped.Add(reasoning.VisibleField)
				}
				reasoning.Summary = member.Text()
				reasoning.Visible, reasoning.VisibleField = neutral.On, "reasoning."+name
			}
		default:
			if member.IsSet() {
				r.Dropped.Add("reasoning.", name)
			}
		}
	}
}

// readText reads the member text: what chat has in two fields of its own,
// response_format and verbosity.
func readText(r *neutral.Request, value rawjson.Value) {
	for name, member := range value.Members {
		switch name {
		case "verbosity":
			if member.IsSet() {
				r.Settings[neutral.Verbosity] = neutral.Setting{Name: "text.verbosity", Value: member}
			}
		case "format":
			readFormat(r, member)
		default:
			r.Dropped.Add("text.", name)
		}
	}
}

// readFormat reads the form of the response: as chat's, but flat. A type that is not known
// goes to Needs: a client that parses the response would fail on free text.
func readFormat(r *neutral.Request, value rawjson.Value) {
	format := &r.Format
	format.Field = "text.format"
	for name, member := range value.Members {
		switch name {
		case "type":
			switch kind := member.Text(); kind {
			case "text", "":
			case "json_object":
				format.Kind = neutral.FormatJSON
			case "json_schema":
				format.Kind = neutral.FormatSchema
			default:
				r.Need("text.format", "the response format "+kind, neutral.Responses)
			}
		case "name":
			format.Name = member.Text()
		case "description":
			format.Description = member.Text()
		case "schema":
			format.Schema, format.SchemaField = member, "text.format.schema"
		case "strict":
			format.Strict = neutral.SwitchOf(member)
		default:
			r.Dropped.Add("text.format.", name)
		}
	}
}
