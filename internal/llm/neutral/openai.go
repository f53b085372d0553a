package neutral

import (
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// IsOpenAI reports whether a model is OpenAI's own.
//
// OpenRouter and other resellers put the vendor before the name (openai/gpt-5). gpt-oss
// is an open model, which other providers serve with the samplers of their own servers.
func IsOpenAI(model string) bool {
	model = withoutVendor(model)
	return IsOpenAIReasoning(model) || (strings.HasPrefix(model, "gpt-") && !strings.HasPrefix(model, "gpt-oss"))
}

// IsOpenAIReasoning reports whether a model is one of OpenAI's that reason. They refuse
// samplers, and some fields that other models take.
// Source: https://platform.openai.com/docs/guides/latest-model (November 2026)
func IsOpenAIReasoning(model string) bool {
	model = withoutVendor(model)
	for _, prefix := range []string{"gpt-5", "gpt-6", "o1", "o3", "o4"} {
		if strings.HasPrefix(model, prefix) {
			return true
		}
	}
	return false
}

// withoutVendor returns the name of a model without that of its vendor before it.
func withoutVendor(model string) string { return model[strings.LastIndexByte(model, '/')+1:] }

// DropSamplers leaves out what a model of OpenAI's refuses while it reasons.
//
// They answer 400 otherwise. With effort none the samplers are taken.
func (r *Request) DropSamplers(settings *Settings, model string) {
	if !IsOpenAIReasoning(model) || r.Reasoning.EffortOf() == "none" {
		return
	}
	for _, id := range []SettingID{Temperature, TopP, FrequencyPenalty, PresencePenalty, Stop} {
		if id == Temperature && string(settings[id].Value) == "1" {
			continue // the default
		}
		settings.Drop(id, &r.Dropped)
	}
}

// StrictFormat says whether OpenAI may be told that the format is strict.
//
// Only a schema that came from Messages is looked at: a client of OpenAI's own dialects
// that says strict gets OpenAI's error for a schema that is not.
func (r *Request) StrictFormat() Switch {
	if r.Format.Strict == On && r.Dialect == Messages && !IsStrict(r.Format.Schema) {
		return Off
	}
	return r.Format.Strict
}

// StrictTool says whether OpenAI may be told that a tool is strict, and records that it
// may not.
func (r *Request) StrictTool(tool *Tool) Switch {
	if tool.Strict == On && r.Dialect == Messages && !IsStrict(tool.Schema) {
		r.Dropped.Add(tool.Field, "[].strict")
		return Off
	}
	return tool.Strict
}

// IsStrict reports whether OpenAI takes a schema with strict: each object is closed and
// requires all of its properties. Anthropic's strict schemas may have optional ones.
// Source: https://platform.openai.com/docs/guides/structured-outputs (November 2026)
func IsStrict(schema rawjson.Value) bool { return isStrict(schema, maxSchemaDepth) }

func isStrict(schema rawjson.Value, most int) bool {
	if most == 0 {
		return false
	}
	properties, required := schema.Get("properties"), make(map[string]bool)
	for name := range schema.Get("required").Elements {
		required[name.Text()] = true
	}
	for name, property := range properties.Members {
		if !required[name] || !isStrict(property, most-1) {
			return false
		}
	}
	if isObject := properties.IsSet() || schema.Get("type").Text() == "object"; isObject && !schema.Get("additionalProperties").Is('f') {
		return false
	}
	for _, keyword := range []string{"items", "additionalProperties"} {
		if inner := schema.Get(keyword); inner.Is('{') && !isStrict(inner, most-1) {
			return false
		}
	}
	for _, keyword := range []string{"anyOf", "allOf", "oneOf", "prefixItems"} {
		for inner := range schema.Get(keyword).Elements {
			if !isStrict(inner, most-1) {
				return false
			}
		}
	}
	for _, keyword := range []string{"$defs", "definitions"} {
		for _, inner := range schema.Get(keyword).Members {
			if !isStrict(inner, most-1) {
				return false
			}
		}
	}
	return true
}
