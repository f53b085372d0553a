package neutral_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

func TestSchema(t *testing.T) {
	for _, c := range []struct {
		name string
		form neutral.SchemaForm
		in   string
		want string
	}{
		{
			"keeps its bytes", neutral.SchemaAny,
			`{"type": "object", "properties": {"a": {"type":"string", "default" : 1.0}}, "required":["a"]}`,
			`{"type": "object", "properties": {"a": {"type":"string", "default" : 1.0}}, "required":["a"]}`,
		},
		{"no type", neutral.SchemaAny, `{}`, `{"type":"object","properties":{}}`},
		{"no properties", neutral.SchemaAny, `{"type":"object"}`, `{"type":"object","properties":{}}`},
		{"none", neutral.SchemaMessages, `null`, `{"type":"object","properties":{}}`},
		{
			"Google's form", neutral.SchemaAny,
			`{"type":"OBJECT","properties":{"a":{"type":"ARRAY","maxItems":"3","items":{"type":"STRING","nullable":true}}}}`,
			`{"type":"object","properties":{"a":{"type":"array","maxItems":3,"items":{"type":["string","null"]}}}}`,
		},
		{
			"parameters that are named like keywords", neutral.SchemaGemini,
			`{"type":"object","properties":{"type":{"type":"string"},"default":{"type":"integer","default":3},"$ref":{"type":"string"},"properties":{"type":"object","properties":{"enum":{"type":"number"}}},"nullable":{"type":"boolean"}},"required":["type","$ref"]}`,
			`{"type":"object","properties":{"type":{"type":"string"},"default":{"type":"integer"},"$ref":{"type":"string"},"properties":{"type":"object","properties":{"enum":{"type":"number"}}},"nullable":{"type":"boolean"}},"required":["type","$ref"]}`,
		},
		{
			"Claude Code's keywords to Google", neutral.SchemaGemini,
			`{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"n":{"type":"integer","exclusiveMinimum":0,"maximum":9007199254740991,"pattern":"x"}},"additionalProperties":false,"propertyNames":{"type":"string"}}`,
			`{"type":"object","properties":{"n":{"type":"integer","maximum":9007199254740991}},"additionalProperties":false}`,
		},
		{
			"references to Google", neutral.SchemaGemini,
			`{"type":"object","properties":{"a":{"$ref":"#/$defs/A","description":"d"}},"$defs":{"A":{"type":"string","enum":["x",null]}}}`,
			`{"type":"object","properties":{"a":{"type":"string","description":"d","enum":["x"]}}}`,
		},
		{
			"a cycle", neutral.SchemaGemini,
			`{"type":"object","properties":{"n":{"$ref":"#/$defs/N"}},"$defs":{"N":{"type":"object","properties":{"next":{"$ref":"#/$defs/N"}}}}}`,
			`{"type":"object","properties":{"n":{"type":"object","properties":{"next":{}}}}}`,
		},
		{"a cycle at the top", neutral.SchemaGemini, `{"type":"object","properties":{"me":{"$ref":"#"}}}`, `{"type":"object","properties":{"me":{"type":"object","properties":{"me":{}}}}}`},
		{"const and oneOf", neutral.SchemaGemini, `{"type":"object","properties":{"a":{"oneOf":[{"const":"x"},{"type":"null"}]}}}`, `{"type":"object","properties":{"a":{"anyOf":[{"enum":["x"]},{"type":"null"}]}}}`},
		{"allOf", neutral.SchemaGemini, `{"allOf":[{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]},{"properties":{"b":{"type":"string"}},"required":["b"]}]}`, `{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"string"}},"required":["a","b"]}`},
		{"alternatives at the top", neutral.SchemaMessages, `{"anyOf":[{"type":"object"}],"$schema":"x"}`, `{"type":"object","properties":{}}`},
		{"strict", neutral.SchemaStrict, `{"type":"object","properties":{"a":{"type":"integer","minimum":1},"o":{"type":"object","properties":{},"additionalProperties":true}}}`, `{"type":"object","properties":{"a":{"type":"integer"},"o":{"type":"object","properties":{},"additionalProperties":false}},"additionalProperties":false}`},
	} {
		if got, _ := neutral.Schema(rawjson.Value(c.in), c.form); string(got) != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// TestSchemaOfLargeReferences has many of them to something large of which little is
// written, in all places that a reference has. What is too much is left out and named.
func TestSchemaOfLargeReferences(t *testing.T) {
	const references, size, most = 400, 1 << 20, 300 << 20
	large := `{"type":"string","x-own":"` + strings.Repeat("x", size) + `"}`
	schema := `{"type":"object","properties":{` + strings.Repeat(`"p":{"$ref":"#/$defs/A"},`, references) + `"z":{}},"$defs":{"A":` + large + `}}`
	got, lost := neutral.Schema(rawjson.Value(schema), neutral.SchemaGemini)
	if put := strings.Count(string(got), `"type":"string"`); put == 0 || put*size > most || !slices.Contains(lost, "$ref") {
		t.Errorf("%d of %d references were put in their place, want those of 300 MB at most; lost %q", put, references, lost)
	}
	// The last one has a property of its own, which is there if it was looked at.
	schema = `{"type":"object","properties":{"p":{"allOf":[` + strings.Repeat(`{"$ref":"#/$defs/A"},`, references) + `{"$ref":"#/$defs/B"}]}},
		"$defs":{"A":` + large + `,"B":{"type":"string","title":"last"}}}`
	if got, lost = neutral.Schema(rawjson.Value(schema), neutral.SchemaGemini); strings.Contains(string(got), "last") || !slices.Contains(lost, "allOf") {
		t.Errorf("all of %d references were read; lost %q", references, lost)
	}
	pointer, steps := "#/$defs", 4000
	for range steps {
		pointer += "/a"
	}
	schema = `{"type":"object","properties":{"p":{"$ref":"` + pointer + `"}},"$defs":` + strings.Repeat(`{"a":`, steps) + large + strings.Repeat("}", steps) + `}`
	if got, lost = neutral.Schema(rawjson.Value(schema), neutral.SchemaGemini); strings.Contains(string(got), `"type":"string"`) || !slices.Contains(lost, "$ref") {
		t.Errorf("a pointer of %d steps was followed; lost %q", steps, lost)
	}
}

// TestSchemaOfManyReferences has 2^40 of them if each is put in its place.
func TestSchemaOfManyReferences(t *testing.T) {
	var defs strings.Builder
	for i := range 40 {
		next := string(rune('A'+(i+1)%26)) + strings.Repeat("x", (i+1)/26)
		name := string(rune('A'+i%26)) + strings.Repeat("x", i/26)
		defs.WriteString(`,"` + name + `":{"type":"object","properties":{"l":{"$ref":"#/$defs/` + next + `"},"r":{"$ref":"#/$defs/` + next + `"}}}`)
	}
	schema := `{"type":"object","properties":{"a":{"$ref":"#/$defs/A"}},"$defs":{` + defs.String()[1:] + `}}`
	got, _ := neutral.Schema(rawjson.Value(schema), neutral.SchemaGemini) // else it would not end
	if len(got) > 2<<20 {
		t.Errorf("got %d bytes, want at most 2 MB", len(got))
	}
	if !json.Valid(got) {
		t.Error("the schema is no JSON")
	}
}

func FuzzSchema(f *testing.F) {
	f.Add(`{"type":"object","properties":{"n":{"$ref":"#/properties/n"}}}`)
	f.Add(`{"allOf":[{"$ref":"#"},{"oneOf":[true,{"const":1}]}],"nullable":true}`)
	f.Add(`{"type":["OBJECT","null"],"items":[{},false],"maxItems":"3"}`)
	f.Fuzz(func(t *testing.T, schema string) {
		v, err := rawjson.Parse([]byte(schema))
		if err != nil {
			return
		}
		for form := neutral.SchemaAny; form <= neutral.SchemaGemini; form++ {
			if got, _ := neutral.Schema(v, form); !json.Valid(got) {
				t.Errorf("form %d of %s: got %s, which is no JSON", form, schema, got)
			}
		}
	})
}
