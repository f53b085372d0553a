package translate_test

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"strings"
)

// filler makes JSON of a type of an SDK, with a mark of its own in each field.
type filler struct {
	variant int // which member of each union is taken
	depth   int
	leaves  []leaf
	role    string
}

// leaf is a field with a value that can be found again.
type leaf struct{ path, mark string }

// words are what fields hold whose value has a meaning.
var words = map[string]string{
	"tool_choice": "auto", "mode": "auto", "status": "completed", "execution": "client", "media_type": "image/png",
	"mimeType": "image/png", "responseMimeType": "application/json", "effort": "high", "syntax": "lark", "format": "wav",
	"detail": "high", "reasoning_effort": "high", "truncation": "auto", "thinkingLevel": "LOW", "display": "summarized",
}

// urls are fields that hold a place.
var urls = map[string]string{"url": "https://", "image_url": "https://", "file_url": "https://", "fileUri": "https://", "file_data": "data:application/pdf;base64,"}

const deepest = 9

func (f *filler) value(t reflect.Type, path, name string) any {
	f.depth++
	defer func() { f.depth-- }()
	if f.depth > deepest {
		return nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		f.depth--
		v := f.value(t.Elem(), path, name)
		f.depth++
		return v
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return f.mark(path, func(mark string) string { return base64.StdEncoding.EncodeToString([]byte(mark)) })
		}
		if v := f.value(t.Elem(), path+"[]", name); v != nil {
			return []any{v}
		}
		return nil
	case reflect.Map:
		return map[string]any{"type": "object", "properties": map[string]any{}, "description": f.mark(path, nil)}
	case reflect.Interface:
		return map[string]any{"type": "object", "properties": map[string]any{}, "description": f.mark(path, nil)}
	case reflect.String:
		return f.text(t, path, name)
	case reflect.Bool:
		return true
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Float32, reflect.Float64:
		n := 90001 + len(f.leaves)
		f.leaves = append(f.leaves, leaf{path, fmt.Sprint(n)})
		return n
	case reflect.Struct:
		return f.structure(t, path, name)
	}
	return nil
}

func (f *filler) mark(path string, encode func(string) string) string {
	mark := fmt.Sprintf("mark%dx", len(f.leaves))
	if encode != nil {
		mark = encode(mark)
	}
	f.leaves = append(f.leaves, leaf{path, mark})
	return mark
}

func (f *filler) text(t reflect.Type, path, name string) any {
	if method, ok := t.MethodByName("Default"); ok { // a constant
		return fmt.Sprint(method.Func.Call([]reflect.Value{reflect.Zero(t)})[0])
	}
	if name == "role" {
		return f.role
	}
	if word, ok := words[name]; ok {
		return word
	}
	if place, ok := urls[name]; ok {
		return f.mark(path, func(mark string) string { return place + mark })
	}
	if name == "arguments" {
		return `{"a":"` + f.mark(path, nil) + `"}`
	}
	return f.mark(path, nil)
}

func (f *filler) structure(t reflect.Type, path, name string) any {
	if strings.HasPrefix(t.Name(), "Opt[") {
		field, _ := t.FieldByName("Value")
		return f.value(field.Type, path, name)
	}
	var union []reflect.StructField
	for i := range t.NumField() {
		if field := t.Field(i); strings.HasPrefix(field.Name, "Of") && strings.Contains(string(field.Tag), "inline") {
			union = append(union, field)
		}
	}
	if len(union) > 0 {
		f.depth--
		v := f.value(union[f.variant%len(union)].Type, path, name)
		f.depth++
		return v
	}
	object := map[string]any{}
	for i := range t.NumField() {
		field := t.Field(i)
		tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if tag == "" || tag == "-" || !field.IsExported() || f.isAnother(t, tag) {
			continue
		}
		under := tag
		if path != "" {
			under = path + "." + tag
		}
		if v := f.value(field.Type, under, tag); v != nil {
			object[tag] = v
		}
	}
	return object
}

// alternatives are the fields of Google's parts, of which one may be set.
var alternatives = map[string][]string{
	"Part":                 {"text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult", "toolCall", "toolResponse", "audioTranscription"},
	"FunctionResponsePart": {"inlineData", "fileData"},
	"FunctionDeclaration":  {"parameters", "parametersJsonSchema"},
	"GenerationConfig":     {"responseSchema", "responseJsonSchema"},
}

// isAnother reports whether a field is an alternative other than the one that is
// taken.
func (f *filler) isAnother(t reflect.Type, tag string) bool {
	names := alternatives[t.Name()]
	for i, name := range names {
		if name == tag {
			return i != f.variant%len(names)
		}
	}
	return false
}
