package status_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

const schemaFile = "../../docs/status.schema.json"

// schema is a JSON Schema, as far as the types need one.
type schema struct {
	Schema      string         `json:"$schema,omitempty"`
	Title       string         `json:"title,omitempty"`
	Description string         `json:"description,omitempty"`
	Ref         string         `json:"$ref,omitempty"`
	AnyOf       []*schema      `json:"anyOf,omitempty"`
	Type        any            `json:"type,omitempty"`
	Format      string         `json:"format,omitempty"`
	Items       *schema        `json:"items,omitempty"`
	Properties  properties     `json:"properties,omitempty"`
	Required    []string       `json:"required,omitempty"`
	Defs        map[string]any `json:"$defs,omitempty"`
}

// properties are in the order of the fields.
type properties []property

type property struct {
	name   string
	schema *schema
}

// MarshalJSON implements json.Marshaler.
func (ps properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, p := range ps {
		if i > 0 {
			b.WriteByte(',')
		}
		name, _ := json.Marshal(p.name)
		value, err := json.Marshal(p.schema)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// generator makes schemas of types, with their comments.
type generator struct {
	comments map[string]string // by type, or type and field
	defs     map[string]any
}

func (g *generator) of(t reflect.Type) *schema {
	switch t.Kind() {
	case reflect.Pointer:
		s := g.of(t.Elem())
		if s.Ref != "" {
			return &schema{AnyOf: []*schema{s, {Type: "null"}}}
		}
		s.Type = []any{s.Type, "null"}
		return s
	case reflect.Slice:
		return &schema{Type: "array", Items: g.of(t.Elem())}
	case reflect.String:
		return &schema{Type: "string"}
	case reflect.Bool:
		return &schema{Type: "boolean"}
	case reflect.Int, reflect.Int64:
		return &schema{Type: "integer"}
	case reflect.Float64:
		return &schema{Type: "number"}
	case reflect.Struct:
		if t == reflect.TypeFor[time.Time]() {
			return &schema{Type: "string", Format: "date-time"}
		}
		if _, ok := g.defs[t.Name()]; !ok {
			g.defs[t.Name()] = nil // under way
			g.defs[t.Name()] = g.object(t)
		}
		return &schema{Ref: "#/$defs/" + t.Name()}
	}
	panic("no schema for " + t.String())
}

func (g *generator) object(t reflect.Type) *schema {
	s := &schema{Description: g.comments[t.Name()], Type: "object"}
	for i := range t.NumField() {
		field := t.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		of := g.of(field.Type)
		of.Description = g.comments[t.Name()+"."+field.Name]
		s.Properties = append(s.Properties, property{name, of})
		if options == "" {
			s.Required = append(s.Required, name)
		}
	}
	return s
}

// comments returns the comments of the package's types and fields.
func comments(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "status.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	line := func(groups ...*ast.CommentGroup) string {
		var text []string
		for _, g := range groups {
			text = append(text, strings.Fields(g.Text())...)
		}
		return strings.Join(text, " ")
	}
	for _, decl := range file.Decls {
		general, ok := decl.(*ast.GenDecl)
		if !ok || general.Tok != token.TYPE {
			continue
		}
		for _, spec := range general.Specs {
			spec := spec.(*ast.TypeSpec)
			found[spec.Name.Name] = line(general.Doc)
			if body, ok := spec.Type.(*ast.StructType); ok {
				for _, field := range body.Fields.List {
					found[spec.Name.Name+"."+field.Names[0].Name] = line(field.Doc, field.Comment)
				}
			}
		}
	}
	return found
}

// The schema in the documentation is that of the types. UPDATE_GOLDEN=1 writes it anew.
func TestSchema(t *testing.T) {
	g := &generator{comments: comments(t), defs: make(map[string]any)}
	root := g.object(reflect.TypeFor[status.Status]())
	root.Schema, root.Title, root.Defs = "https://json-schema.org/draft/2020-12/schema", "status.json of caddy-freetier", g.defs
	want, err := json.MarshalIndent(root, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(schemaFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the types have; write it anew with: UPDATE_GOLDEN=1 go test ./internal/status", schemaFile)
	}
}

// Lists are empty rather than null, so that a reader need not tell the two apart,
// and a status that went through JSON is the same.
func TestNothingIsNull(t *testing.T) {
	encoded, err := json.Marshal(new(status.Registry).Collect(time.Now()))
	if err != nil || bytes.Contains(encoded, []byte("null")) {
		t.Errorf("%v: %s", err, encoded)
	}
	history, err := json.Marshal(status.NoHistory())
	if err != nil || !bytes.Contains(history, []byte(`"latencies":[]`)) {
		t.Errorf("%v: %s", err, history)
	}
}
