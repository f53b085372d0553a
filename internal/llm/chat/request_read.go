package chat

import (
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// settings are the plain fields, also those that only some providers have. They are read
// so that a dialect that has the like can get them (top_k is in messages and gemini),
// and so that the list of what was dropped is complete.
//
// Of the two names of the output limit, the one that stands last in the body counts.
var settings = []neutral.Field{
	{ID: neutral.MaxOutput, Name: "max_completion_tokens"},
	{ID: neutral.MaxOutput, Name: "max_tokens"},
	{ID: neutral.Temperature, Name: "temperature"},
	{ID: neutral.TopP, Name: "top_p"},
	{ID: neutral.TopK, Name: "top_k"},
	{ID: neutral.MinP, Name: "min_p"},
	{ID: neutral.RepetitionPenalty, Name: "repetition_penalty"},
	{ID: neutral.Seed, Name: "seed"},
	{ID: neutral.FrequencyPenalty, Name: "frequency_penalty"},
	{ID: neutral.PresencePenalty, Name: "presence_penalty"},
	{ID: neutral.Stop, Name: "stop"},
	{ID: neutral.Count, Name: "n"},
	{ID: neutral.LogProbs, Name: "logprobs"},
	{ID: neutral.TopLogProbs, Name: "top_logprobs"},
	{ID: neutral.LogitBias, Name: "logit_bias"},
	{ID: neutral.Verbosity, Name: "verbosity"},
	{ID: neutral.SafetyID, Name: "safety_identifier"},
	{ID: neutral.EndUser, Name: "user"},
	{ID: neutral.CacheKey, Name: "prompt_cache_key"},
	{ID: neutral.ServiceTier, Name: "service_tier"},
	{ID: neutral.Metadata, Name: "metadata"},
	{ID: neutral.Store, Name: "store"},
}

// ReadRequest reads the body of POST /v1/chat/completions. Fields are read in the order
// of the body; none depends on another. The error is a *neutral.InvalidError for what is
// no request of this dialect, or a *neutral.UnsupportedError for content, or a choice of
// tools, of a kind that no other dialect is known to have.
func ReadRequest(body []byte) (*neutral.Request, error) {
	v, err := rawjson.Parse(body)
	if err != nil || !v.Is('{') {
		return nil, &neutral.InvalidError{Reason: "The body is not a JSON object"}
	}
	r := &neutral.Request{Dialect: neutral.Chat, Source: v}
	for name, value := range v.Members {
		if err := readField(r, name, value); err != nil {
			return nil, err
		}
	}
	if len(r.Messages) == 0 {
		return nil, &neutral.InvalidError{Param: "messages", Reason: "at least one message is required"}
	}
	r.Names = neutral.NewNames(r.Tools)
	return r, nil
}

// readField reads a field. One that is null was not sent. What would change the meaning
// of the request if it were left out goes to Needs; all others that are unknown are
// dropped, because clients send fields of one vendor to all, such as models and provider
// of OpenRouter and chat_template_kwargs of vLLM.
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
	case "stream_options":
		readStreamOptions(r, value)
	case "tools":
		for tool := range value.Elements {
			readTool(r, tool)
		}
	case "tool_choice":
		return readToolChoice(r, value)
	case "parallel_tool_calls":
		r.Parallel = neutral.SwitchOf(value)
	case "response_format":
		return readFormat(r, value)
	case "reasoning_effort":
		r.Reasoning.Field = name
		r.Reasoning.Effort = value.Text()
	case "reasoning", "thinking", "enable_thinking", "include_reasoning":
		readVendorReasoning(r, name, value)
	case "functions", "function_call":
		r.Need(name, "the deprecated field "+name, neutral.Chat)
	case "web_search_options":
		r.AddTool(neutral.Tool{ToolRef: neutral.ToolRef{Name: "web_search", Kind: neutral.WebSearch}, Type: name, Field: name})
		for option := range value.Members {
			r.Dropped.Add("web_search_options.", option)
		}
	case "modalities":
		for modality := range value.Elements {
			if modality.Text() != "text" {
				r.Need(name, "output of "+modality.Text(), neutral.Chat)
			}
		}
	default:
		r.Dropped.Add(name)
	}
	return nil
}

// readStreamOptions reads whether the client expects the chunk with the usage. The
// channel is always asked for it: other dialects always have usage, and the gateway
// counts it.
func readStreamOptions(r *neutral.Request, value rawjson.Value) {
	for name, option := range value.Members {
		if name == "include_usage" {
			r.StreamUsage = option.Bool()
		} else {
			r.Dropped.Add("stream_options.", name)
		}
	}
}

// readVendorReasoning reads the forms in which OpenRouter, DeepSeek, Qwen and GLM
// take what OpenAI calls reasoning_effort.
//
//	"reasoning":{"effort":"high"}                 OpenRouter; a word as OpenAI's
//	"reasoning":{"max_tokens":2000}               OpenRouter; becomes the budget
//	"reasoning":{"exclude":true}                  OpenRouter; thoughts are not shown
//	"include_reasoning":false                     OpenRouter's older name for the same
//	"thinking":{"type":"enabled"|"disabled"}      DeepSeek, GLM, Kimi
//	"thinking":{…,"budget_tokens":2000}           as Anthropic has it
//	"enable_thinking":false                       Qwen
//
// That a model may think, without how much, is the default of each dialect and says
// nothing, so only the opposite is read.
func readVendorReasoning(r *neutral.Request, name string, value rawjson.Value) {
	reasoning := &r.Reasoning
	switch {
	case value.Is('t'), value.Is('f'):
		reasoning.Field = name
		if name == "include_reasoning" {
			reasoning.Visible, reasoning.VisibleField = neutral.SwitchOf(value), name
		} else if value.Is('f') {
			reasoning.Effort = "none"
		}
		return
	}
	reasoning.Field = name
	for key, member := range value.Members {
		switch {
		case key == "effort":
			reasoning.Effort = member.Text()
		case key == "max_tokens" || key == "budget_tokens":
			reasoning.Budget, reasoning.HasBudget = member.Int()
		case key == "exclude":
			if member.Bool() {
				reasoning.Visible, reasoning.VisibleField = neutral.Off, name+".exclude"
			}
		case (key == "enabled" && member.Is('f')) || (key == "type" && member.Text() == "disabled"):
			reasoning.Effort = "none"
		case key == "enabled" || key == "type":
		default:
			r.Dropped.Add(name, ".", key)
		}
	}
}

// readFormat reads the form that the response must have. A kind that is not known goes to
// Needs: a client that parses the response would fail on free text.
func readFormat(r *neutral.Request, value rawjson.Value) error {
	switch kind := value.Get("type").Text(); kind {
	case "text", "":
	case "json_object":
		r.Format.Kind = neutral.FormatJSON
	case "json_schema":
		r.Format.Kind, r.Format.Field = neutral.FormatSchema, "response_format.json_schema"
		for name, member := range value.Get("json_schema").Members {
			switch name {
			case "name":
				r.Format.Name = member.Text()
			case "description":
				r.Format.Description = member.Text()
			case "schema":
				r.Format.Schema, r.Format.SchemaField = member, "response_format.json_schema.schema"
			case "strict":
				r.Format.Strict = neutral.SwitchOf(member)
			default:
				r.Dropped.Add("response_format.json_schema.", name)
			}
		}
	default:
		r.Need("response_format", "the response format "+kind, neutral.Chat)
	}
	for name := range value.Members {
		if name != "type" && name != "json_schema" {
			r.Dropped.Add("response_format.", name)
		}
	}
	return nil
}
