package neutral

import (
	"bytes"
	"slices"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// SchemaForm is what a dialect accepts of JSON Schema.
type SchemaForm int

const (
	// SchemaAny keeps all keywords. Google's upper-case types and its numbers in
	// quotes become JSON Schema's.
	SchemaAny SchemaForm = iota
	// SchemaMessages is the same without $schema, and without alternatives at the
	// top, which the Messages API refuses.
	SchemaMessages
	// SchemaStrict is what the Messages API takes for structured output.
	// Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs
	SchemaStrict
	// SchemaGemini is what Google takes as parametersJsonSchema and
	// responseJsonSchema. References are put in their place.
	// Source: https://ai.google.dev/api/generate-content#FIELDS.response_json_schema
	SchemaGemini
)

// Schemas come from clients and may be built to cost much: nested or recursive
// references grow exponentially when they are put in their place. What is beyond these
// bounds becomes a schema that allows everything, and is named as lost.
const (
	maxSchemaDepth = 32
	maxReferences  = 256       // different ones
	maxSchemaBytes = 256 << 10 // of references that were put in their place
)

// These bounds are of all schemas of a request together, which may have a tool in each
// of its lines.
const (
	maxSchemaGrowth = 4 << 20   // bytes more than the client has sent
	maxSchemaRead   = 256 << 20 // to find what references stand for, and of that
)

// schemaCost is what the schemas of a request have cost so far, in bytes.
type schemaCost struct {
	growth int
	read   int
}

// Schema returns the schema of a tool's arguments, or of a response, in a form, and
// the keywords of which something is lost. Parameters keep their names, whatever they
// are called.
//
// What is lost only widens the schema: the model may then write arguments that the
// client refuses, which it can correct, while a keyword that the provider does not know
// is a 400 for the whole request ("Unknown name"). Claude Code's tools carry $schema,
// exclusiveMinimum and additionalProperties in every session.
func Schema(schema rawjson.Value, form SchemaForm) (written rawjson.Value, lost []string) {
	return new(schemaCost).write(schema, form)
}

// write is Schema for one of several schemas of a request.
func (s *schemaCost) write(schema rawjson.Value, form SchemaForm) (written rawjson.Value, lost []string) {
	if !schema.Is('{') {
		if schema.IsSet() && !schema.Is('t') {
			lost = []string{"no object"}
		}
		return rawjson.Value(`{"type":"object","properties":{}}`), lost
	}
	if form == SchemaAny && isPlain(schema) {
		return schema, nil
	}
	c := schemaWriter{form: form, root: schema, cost: s}
	c.schema(schema, 0)
	s.growth += max(0, len(c.w.Bytes)-len(schema))
	return c.w.Bytes, c.lost
}

// ofGoogle are words that only schemas in Google's form have. A description that
// has one of them is only an occasion to look closer.
var ofGoogle = [][]byte{
	[]byte(`"STRING"`), []byte(`"NUMBER"`), []byte(`"INTEGER"`), []byte(`"BOOLEAN"`), []byte(`"ARRAY"`), []byte(`"OBJECT"`),
	[]byte(`"NULL"`), []byte(`"TYPE_UNSPECIFIED"`), []byte(`"nullable"`), []byte(`Items"`), []byte(`Length"`), []byte(`Properties"`),
}

// isPlain reports whether a schema is an object's as all dialects write it, so that
// it can keep its bytes.
func isPlain(schema rawjson.Value) bool {
	if schema.Get("type").Text() != "object" || !schema.Get("properties").Is('{') {
		return false
	}
	for _, word := range ofGoogle {
		if bytes.Contains(schema, word) {
			return false
		}
	}
	return true
}

// schemaWriter writes a schema anew.
//
// The order of the keywords stays, but for type, which comes first: the bytes are part
// of the prefix that prompt caches compare.
type schemaWriter struct {
	form SchemaForm
	root rawjson.Value
	cost *schemaCost // of this schema and those before it
	w    rawjson.Writer
	refs []string // that are being put in their place
	lost []string // keywords of which something is lost

	resolved map[string]rawjson.Value
}

// lose records that a keyword, or some of what it says, is not written.
func (c *schemaWriter) lose(keyword string) {
	if len(c.lost) <= maxDropped && !slices.Contains(c.lost, keyword) {
		c.lost = append(c.lost, keyword)
	}
}

// notStrict are keywords that structured output of the Messages API refuses.
var notStrict = map[string]bool{
	"minimum": true, "maximum": true, "exclusiveMinimum": true, "exclusiveMaximum": true, "multipleOf": true,
	"minLength": true, "maxLength": true, "maxItems": true, "uniqueItems": true, "minProperties": true,
	"maxProperties": true, "propertyNames": true, "patternProperties": true, "not": true, "if": true, "then": true,
	"else": true, "contains": true, "minContains": true, "maxContains": true, "dependentRequired": true,
	"dependentSchemas": true, "dependencies": true, "prefixItems": true, "additionalProperties": true, "$schema": true,
	"unevaluatedProperties": true, "unevaluatedItems": true, "additionalItems": true, "propertyOrdering": true, "pattern": true,
}

// inGemini are the keywords that Google takes.
var inGemini = map[string]bool{
	"type": true, "format": true, "title": true, "description": true, "enum": true, "items": true, "prefixItems": true,
	"minItems": true, "maxItems": true, "minimum": true, "maximum": true, "anyOf": true, "properties": true,
	"additionalProperties": true, "required": true, "propertyOrdering": true,
}

// schema writes one schema.
func (c *schemaWriter) schema(v rawjson.Value, depth int) {
	if !v.Is('{') {
		c.boolean(v)
		return
	}
	if depth > maxSchemaDepth {
		if v.Len() > 0 {
			c.lose("too deep")
		}
		c.w.Raw(rawjson.Value("{}"))
		return
	}
	if c.form == SchemaGemini {
		if ref := v.Get("$ref"); ref.Is('"') {
			c.reference(ref.Text(), v, depth)
			return
		}
		if v.Get("allOf").Is('[') {
			v = c.mergeAll(v)
		}
	}
	c.w.Open('{')
	isObject, hasProperties := c.types(v, depth)
	for name, member := range v.Members {
		if name == "properties" {
			hasProperties = true
		}
		if depth == 0 && c.form == SchemaMessages && isCombination(name) {
			c.lose(name)
			continue
		}
		c.keyword(name, member, v, depth)
	}
	if isObject && !hasProperties && (depth == 0 || c.form == SchemaGemini) && !v.Get("$ref").IsSet() {
		c.w.KeyRaw("properties", rawjson.Value("{}"))
	}
	if isObject && c.form == SchemaStrict {
		c.w.KeyBool("additionalProperties", false)
	}
	c.w.Close('}')
}

func isCombination(name string) bool { return name == "anyOf" || name == "oneOf" || name == "allOf" }

// boolean writes a schema that allows everything or nothing.
func (c *schemaWriter) boolean(v rawjson.Value) {
	if c.form == SchemaGemini || !(v.Is('t') || v.Is('f')) {
		if !v.Is('t') {
			c.lose(map[bool]string{true: "false", false: "no schema"}[v.Is('f')])
		}
		v = rawjson.Value("{}")
	}
	c.w.Raw(v)
}

// types writes the type of a schema, at the top also where it is missing, and
// reports whether the schema is an object's. At the top, providers want an object and
// nothing else.
func (c *schemaWriter) types(v rawjson.Value, depth int) (isObject, hasProperties bool) {
	kind := v.Get("type")
	nullable := v.Get("nullable").Bool() && !v.Get("properties").Get("nullable").IsSet()
	switch {
	case kind.Is('"'):
		word := strings.ToLower(kind.Text())
		if word == "type_unspecified" {
			return false, false
		}
		c.w.Key("type")
		if nullable && word != "null" && depth > 0 {
			c.w.Open('[')
			c.w.String(word)
			c.w.String("null")
			c.w.Close(']')
		} else {
			c.w.String(word)
		}
		return word == "object", false
	case kind.Is('[') && depth == 0 && strings.Contains(strings.ToLower(string(kind)), `"object"`):
		c.lose("type") // that it may be null too
		c.w.KeyString("type", "object")
		return true, false
	case kind.Is('['):
		c.w.Key("type")
		c.w.Open('[')
		for word := range kind.Elements {
			isObject = isObject || strings.EqualFold(word.Text(), "object")
			c.w.String(strings.ToLower(word.Text()))
		}
		c.w.Close(']')
		return isObject, false
	case depth == 0 && !(c.form != SchemaMessages && hasCombination(v)) && !v.Get("$ref").IsSet():
		c.w.KeyString("type", "object")
		return true, false
	}
	return false, false
}

func hasCombination(v rawjson.Value) bool {
	return v.Get("anyOf").IsSet() || v.Get("oneOf").IsSet() || v.Get("allOf").IsSet()
}

// keyword writes a keyword of a schema, if the form has it.
func (c *schemaWriter) keyword(name string, value, schema rawjson.Value, depth int) {
	switch {
	case name == "type", name == "nullable" && value.Is('f'):
		return // written with the type
	case name == "nullable" && value.Is('t'):
		if depth == 0 || !schema.Get("type").Is('"') {
			c.lose(name)
		}
		return
	case c.form == SchemaStrict && name == "additionalProperties" && value.Is('f'):
		return // written at the end
	case c.form == SchemaStrict && name == "minItems" && (string(value) == "0" || string(value) == "1"):
	case c.form == SchemaStrict && notStrict[name], c.form == SchemaMessages && name == "$schema":
		c.lose(name)
		return
	case c.form == SchemaGemini || (c.form == SchemaStrict && name == "oneOf"):
		keyword := name
		if name, value = c.forGemini(name, value, schema); name == "" {
			if keyword != "$defs" && keyword != "definitions" { // references are in their place
				c.lose(keyword)
			}
			return
		}
	}
	switch name {
	case "properties", "patternProperties", "$defs", "definitions", "dependentSchemas":
		c.named(name, value, depth)
	case "items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames",
		"unevaluatedProperties", "unevaluatedItems", "additionalItems":
		c.nested(name, value, depth)
	case "anyOf", "oneOf", "allOf", "prefixItems":
		c.list(name, value, depth)
	case "minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties":
		c.number(name, value)
	default:
		c.w.Name(name)
		c.w.Raw(value)
	}
}

// forGemini returns how Google writes a keyword, "" if it has none.
//
// A const is an enum of one to it, and oneOf is read as anyOf.
func (c *schemaWriter) forGemini(name string, value, schema rawjson.Value) (string, rawjson.Value) {
	switch name {
	case "const":
		if !schema.Get("enum").IsSet() && (value.Is('"') || value.Is(0)) {
			return "enum", rawjson.Value("[" + string(value) + "]")
		}
		return "", nil
	case "oneOf":
		if schema.Get("anyOf").IsSet() {
			return "", nil
		}
		return "anyOf", value
	case "enum":
		return c.enumForGemini(value)
	}
	if c.form == SchemaGemini && !inGemini[name] {
		return "", nil
	}
	return name, value
}

// enumForGemini keeps the texts and numbers of an enum.
func (c *schemaWriter) enumForGemini(value rawjson.Value) (string, rawjson.Value) {
	var w rawjson.Writer
	w.Open('[')
	for element := range value.Elements {
		if element.Is('"') || element.Is(0) {
			w.Raw(element)
		} else {
			c.lose("enum")
		}
	}
	w.Close(']')
	if len(w.Bytes) == 2 {
		return "", nil
	}
	return "enum", w.Bytes
}

// named writes a map of schemas, whose keys are names and no keywords.
//
// A parameter may be called "default", "format" or "type".
func (c *schemaWriter) named(name string, value rawjson.Value, depth int) {
	c.w.Name(name)
	c.w.Open('{')
	for key, member := range value.Members {
		c.w.Name(key)
		c.schema(member, depth+1)
	}
	c.w.Close('}')
}

func (c *schemaWriter) nested(name string, value rawjson.Value, depth int) {
	if value.Is('[') {
		c.list(name, value, depth)
		return
	}
	c.w.Name(name)
	if value.Is('t') || value.Is('f') {
		c.w.Raw(value)
		return
	}
	c.schema(value, depth+1)
}

func (c *schemaWriter) list(name string, value rawjson.Value, depth int) {
	c.w.Name(name)
	c.w.Open('[')
	for element := range value.Elements {
		c.schema(element, depth+1)
	}
	c.w.Close(']')
}

// number writes a whole number, which Protocol Buffers put in quotes.
func (c *schemaWriter) number(name string, value rawjson.Value) {
	c.w.Key(name)
	if n, ok := value.Int(); ok && value.Is('"') {
		c.w.Int(n)
		return
	}
	c.w.Raw(value)
}
