package rawjson_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// decode reads a value as encoding/json does.
func decode(v rawjson.Value) any {
	switch {
	case v.Is('{'):
		object := map[string]any{}
		for name, member := range v.Members {
			object[name] = decode(member)
		}
		return object
	case v.Is('['):
		array := []any{}
		for element := range v.Elements {
			array = append(array, decode(element))
		}
		return array
	case v.Is('"'):
		return v.Text()
	case v.Is(0):
		f, _ := v.Float()
		return f
	case v.Is('n'):
		return nil
	}
	return v.Bool()
}

// encode writes a value anew.
func encode(w *rawjson.Writer, v rawjson.Value) {
	switch {
	case v.Is('{'):
		w.Open('{')
		for name, member := range v.Members {
			w.Name(name)
			encode(w, member)
		}
		w.Close('}')
	case v.Is('['):
		w.Open('[')
		for element := range v.Elements {
			encode(w, element)
		}
		w.Close(']')
	case v.Is('"'):
		w.String(v.Text())
	default:
		w.Raw(v)
	}
}

var texts = []string{
	`{"a":[1,-2.5e3,"x\\\"",{"b":null}],"c":true,"é":"\u00e9\ud83d\ude00\/\b"}`,
	` [ ] `, `{}`, `"\ud800"`, `"\ud800\u0041"`, `[[],[{}],""]`, `{"":{"":[]}}`, `{"a":1,"a":2}`, "\"\xff\"", `-0`, `[1 , 2]`, `["]","}"]`,
}

func check(t *testing.T, text string) {
	t.Helper()
	v, err := rawjson.Parse([]byte(text))
	var want any
	if wantErr := json.Unmarshal([]byte(text), &want); (err == nil) != (wantErr == nil) {
		// A number that no float can hold is JSON all the same.
		if err == nil && json.Valid([]byte(text)) {
			return
		}
		t.Fatalf("%q: got error %v, want %v", text, err, wantErr)
	}
	if err != nil {
		return
	}
	if got := decode(v); !reflect.DeepEqual(got, want) {
		t.Errorf("%q: got %#v, want %#v", text, got, want)
	}
	var w rawjson.Writer
	encode(&w, v)
	var again any
	if err := json.Unmarshal(w.Bytes, &again); err != nil {
		t.Fatalf("%q was written as %q: %v", text, w.Bytes, err)
	}
	if !reflect.DeepEqual(again, want) {
		t.Errorf("%q was written as %q", text, w.Bytes)
	}
}

func TestLikeEncodingJSON(t *testing.T) {
	for _, text := range texts {
		check(t, text)
	}
}

func FuzzLikeEncodingJSON(f *testing.F) {
	for _, text := range texts {
		f.Add(text)
	}
	f.Fuzz(check)
}

func TestInt(t *testing.T) {
	for text, want := range map[string]int64{`7`: 7, `"7"`: 7, `7.0`: 7, `1e3`: 1000, `-1`: -1} {
		if got, ok := rawjson.Value(text).Int(); !ok || got != want {
			t.Errorf("%s: got %d and %t, want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{``, `null`, `"x"`, `1.5`, `1e99`, `{}`} {
		if got, ok := rawjson.Value(text).Int(); ok {
			t.Errorf("%s: got %d, want none", text, got)
		}
	}
}
