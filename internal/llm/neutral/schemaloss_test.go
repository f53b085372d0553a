package neutral_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// keywords are values of all keywords of JSON Schema 2020-12 and of those before it
// that schemas of tools have, each with something in it that can be found again.
func keywords() map[string]string {
	const schema = `{"type":"object","properties":{},"description":"m4rk"}`
	values := map[string]string{
		"enum": `["m4rk"]`, "examples": `["m4rk"]`, "required": `["m4rk"]`, "propertyOrdering": `["m4rk"]`,
		"dependentRequired": `{"a":["m4rk"]}`, "type": `"object"`, "nullable": "true",
	}
	for _, keyword := range strings.Fields("$schema $id $anchor $comment $vocabulary title description default const format pattern contentEncoding contentMediaType x-own") {
		values[keyword] = `"m4rk"`
	}
	for _, keyword := range strings.Fields("minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength minItems maxItems minContains maxContains minProperties maxProperties") {
		values[keyword] = "90417"
	}
	for _, keyword := range strings.Fields("uniqueItems deprecated readOnly writeOnly") {
		values[keyword] = "true"
	}
	for _, keyword := range strings.Fields("items contains not if then else propertyNames additionalProperties additionalItems unevaluatedItems unevaluatedProperties contentSchema") {
		values[keyword] = schema
	}
	for _, keyword := range strings.Fields("anyOf oneOf allOf prefixItems") {
		values[keyword] = "[" + schema + "]"
	}
	for _, keyword := range strings.Fields("properties patternProperties dependentSchemas dependencies $defs definitions") {
		values[keyword] = `{"p":` + schema + `}`
	}
	return values
}

// isKept reports whether what a keyword says is in a schema.
func isKept(written rawjson.Value, keyword, value string) bool {
	for _, sign := range []string{"m4rk", "90417"} {
		if strings.Contains(value, sign) {
			return strings.Contains(string(written), sign)
		}
	}
	if keyword == "nullable" {
		return strings.Contains(string(written), `"null"`)
	}
	return strings.Contains(string(written), `"`+keyword+`":`+value)
}

// Each keyword is kept or named, at the top, in a parameter, in an alternative and
// behind a reference.
func TestSchemaLossesAreNamed(t *testing.T) {
	places := map[string]string{
		"the top":        `{"type":"object",KEYWORD}`,
		"no type":        `{KEYWORD}`,
		"a parameter":    `{"type":"object","properties":{"p":{"type":"object",KEYWORD}}}`,
		"items":          `{"type":"object","properties":{"p":{"type":"array","items":{KEYWORD}}}}`,
		"an alternative": `{"type":"object","properties":{"p":{"anyOf":[{"type":"null"},{KEYWORD}]}}}`,
		"a reference":    `{"type":"object","properties":{"p":{"$ref":"#/$defs/d"}},"$defs":{"d":{KEYWORD}}}`,
		"all of":         `{"type":"object","properties":{"p":{"allOf":[{KEYWORD},{"type":"object"}]}}}`,
	}
	for form := neutral.SchemaAny; form <= neutral.SchemaGemini; form++ {
		named, kept := 0, 0
		for keyword, value := range keywords() {
			if form == neutral.SchemaGemini && (keyword == "$defs" || keyword == "definitions") {
				continue // what they define is put where it is used
			}
			for place, schema := range places {
				schema = strings.Replace(schema, "KEYWORD", `"`+keyword+`":`+value, 1)
				if keyword == "type" {
					schema = strings.Replace(schema, `"type":"object","type":"object"`, `"type":"object"`, 1)
				}
				written, lost := neutral.Schema(rawjson.Value(schema), form)
				isLost := slices.Contains(lost, keyword)
				if isLost {
					named++
				} else if isKept(written, keyword, value) {
					kept++
				} else {
					t.Errorf("form %d: %s at %s is neither kept nor named: %s of %s, lost %q", form, keyword, place, written, schema, lost)
				}
			}
		}
		if kept == 0 || (form != neutral.SchemaAny && named == 0) {
			t.Errorf("form %d: %d kept, %d named", form, kept, named)
		}
	}
}

// What is kept is not named, and what cannot be written as it is meant is.
func TestSchemaLosses(t *testing.T) {
	for _, c := range []struct {
		name string
		form neutral.SchemaForm
		in   string
		want string
	}{
		{"nothing", neutral.SchemaGemini, `{"type":"object","properties":{"default":{"$ref":"#/$defs/A"}},"$defs":{"A":{"type":"string"}},"additionalProperties":false}`, ""},
		{"Google's form", neutral.SchemaAny, `{"type":"OBJECT","properties":{"a":{"type":"STRING","nullable":true}}}`, ""},
		{"closed objects", neutral.SchemaStrict, `{"type":"object","properties":{},"additionalProperties":false}`, ""},
		{"open objects", neutral.SchemaStrict, `{"type":"object","properties":{},"additionalProperties":true}`, "additionalProperties"},
		{"alternatives at the top", neutral.SchemaMessages, `{"anyOf":[{"type":"object"}],"$schema":"x"}`, "anyOf $schema"},
		{"a cycle", neutral.SchemaGemini, `{"type":"object","properties":{"n":{"$ref":"#"}}}`, "$ref"},
		{"a reference to nothing", neutral.SchemaGemini, `{"type":"object","properties":{"n":{"$ref":"#/$defs/none"}}}`, "$ref"},
		{"a reference and more", neutral.SchemaGemini, `{"type":"object","properties":{"n":{"$ref":"#/$defs/A","description":"n"}},"$defs":{"A":{"type":"string"}}}`, ""},
		{"a reference and the same", neutral.SchemaGemini, `{"type":"object","properties":{"n":{"$ref":"#/$defs/A","type":"string"}},"$defs":{"A":{"type":"string"}}}`, ""},
		{"a reference and something else", neutral.SchemaGemini, `{"type":"object","properties":{"n":{"$ref":"#/$defs/A","properties":{"b":{}}}},"$defs":{"A":{"type":"object","properties":{"a":{}}}}}`, "$ref"},
		{"a const that is no text", neutral.SchemaGemini, `{"type":"object","properties":{"n":{"const":{}}}}`, "const"},
		{"some of an enum", neutral.SchemaGemini, `{"type":"object","properties":{"n":{"enum":["a",null]}}}`, "enum"},
		{"all of the same", neutral.SchemaGemini, `{"allOf":[{"type":"object","required":["a"]},{"type":"object","required":["b"]}]}`, ""},
		{"all of two", neutral.SchemaGemini, `{"allOf":[{"type":"object","title":"a"},{"title":"b"}]}`, "allOf"},
		{"all of all", neutral.SchemaGemini, `{"allOf":[{"allOf":[{"type":"object"}]}]}`, "allOf"},
		{"nothing is allowed", neutral.SchemaGemini, `{"type":"object","properties":{"n":false}}`, "false"},
		{"everything is allowed", neutral.SchemaGemini, `{"type":"object","properties":{"n":true}}`, ""},
		{"a nullable object", neutral.SchemaAny, `{"type":["OBJECT","null"]}`, "type"},
		{"no object", neutral.SchemaAny, `"x"`, "no object"},
		{"none", neutral.SchemaMessages, `null`, ""},
		{"too deep", neutral.SchemaMessages, strings.Repeat(`{"type":"array","items":`, 40) + `{"type":"string"}` + strings.Repeat("}", 40), "too deep"},
	} {
		_, lost := neutral.Schema(rawjson.Value(c.in), c.form)
		if got := strings.Join(lost, " "); got != c.want {
			t.Errorf("%s: lost %q, want %q", c.name, got, c.want)
		}
	}
}
