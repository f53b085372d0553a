package reqbody

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// flatten walks through a value and returns its keys and texts in order, with
// marks for what they are.
func flatten(value []byte) (list []string) {
	if text := Text(value); text != nil {
		return []string{"text " + string(text)}
	}
	list = append(list, "begin")
	Fields(value, func(key, value []byte) bool {
		list = append(append(list, "key "+string(key)), flatten(value)...)
		return true
	})
	Elements(value, func(element []byte) bool {
		list = append(append(list, "element"), flatten(element)...)
		return true
	})
	return append(list, "end")
}

// flattenAny is the same by encoding/json.
func flattenAny(t *testing.T, d *json.Decoder) (list []string) {
	token, err := d.Token()
	if err != nil {
		t.Fatal(err)
	}
	switch token := token.(type) {
	case string:
		return []string{"text " + token}
	case json.Delim:
		list = append(list, "begin")
		for d.More() {
			if token == '[' {
				list = append(append(list, "element"), flattenAny(t, d)...)
				continue
			}
			key, err := d.Token()
			if err != nil {
				t.Fatal(err)
			}
			list = append(append(list, "key "+key.(string)), flattenAny(t, d)...)
		}
		if _, err := d.Token(); err != nil {
			t.Fatal(err)
		}
		return append(list, "end")
	}
	return []string{"begin", "end"}
}

// Walking finds what encoding/json finds.
func FuzzWalk(f *testing.F) {
	for _, text := range []string{
		`{}`, `[]`, `""`, `{"a":1}`, `{"a":{"b":["c",{"d":"e"}],"f":null},"g":true}`, `[1,[2,[3]],"x"]`, `{"\u006dodel":"\u0061\"b\\","x":"\\"}`,
		" { \"a\" : [ 1 , 2 ] , \"b\" : { } } ", `{"a":"}]{[,:","b":["\"]"]}`, `{"":"","a":[[],{},""]}`, `{"a":-1.5e3,"b":[false,true,null]}`, `{"a":"ü\n","b":"\\\\"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !json.Valid(text) || !utf8.Valid(text) {
			return // a Scanner has refused it
		}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		want := flattenAny(t, decoder)
		got := flatten(bytes.TrimSpace(text))
		if !slices.Equal(got, want) {
			t.Fatalf("%s\n got %q\nwant %q", text, got, want)
		}
	})
}

// The time of a byte is the same in long strings, whatever is escaped in them.
func BenchmarkElementsOfEscapes(b *testing.B) {
	for _, kb := range []int{16, 256} {
		list := []byte(`["` + strings.Repeat(`a line\n`, kb<<10/8) + `"]`)
		b.Run(fmt.Sprint(kb, "KB"), func(b *testing.B) {
			b.SetBytes(int64(len(list)))
			for b.Loop() {
				Elements(list, func([]byte) bool { return true })
			}
		})
	}
}

// A text may break off anywhere, as the beginning of a body's field does.
func TestWalkingThroughTextsThatBreakOff(t *testing.T) {
	const text = `{"a" : {"b\\\"":[1 , "c\u0061",{}]} , "d":[[],{"e":null}],"f":"g"}`
	keys := func(text []byte) (list []string) {
		return slices.DeleteFunc(flatten(text), func(s string) bool { return !strings.HasPrefix(s, "key ") })
	}
	whole, most := keys([]byte(text)), 0
	for n := range len(text) {
		cut := []byte(text)[:n:n] // nothing stands behind it
		got := keys(cut)
		if most = max(most, len(got)); !slices.Equal(got, whole[:min(len(got), len(whole))]) {
			t.Errorf("%s: got %q, want the first of %q", cut, got, whole)
		}
	}
	if most != len(whole) {
		t.Errorf("%d of %d keys were seen", most, len(whole))
	}
}

// A string is what stands between its quotes, with space around it too, as in the
// place of a field.
func TestTextWithSpaceAround(t *testing.T) {
	for value, want := range map[string]string{
		`"a"`: "a", "\"a\"\n": "a", "\t \"a b\" \r\n": "a b", `"\u0061" `: "a", `"" `: "", `" a "`: " a ", `"\" "  `: `" `,
	} {
		if got := Text([]byte(value)); got == nil || string(got) != want {
			t.Errorf("%q: got %q, want %q", value, got, want)
		}
	}
	for _, value := range []string{"", " ", "1 ", "null\n", `["a"] `, `"`, `" `} {
		if got := Text([]byte(value)); got != nil {
			t.Errorf("%q: got %q, want none", value, got)
		}
	}
}

// The places of fields that are noted hold their values, in whatever pieces the
// text arrives.
func TestNotedFields(t *testing.T) {
	text := `{"a": [1,{"x":2}] ,"skip":{"a":1},"model":"m","b\u0063":"s" , "d":{"a":[]}}`
	want := map[string]string{"a": `[1,{"x":2}] `, "bc": `"s" `, "d": `{"a":[]}`}
	for n := 1; n <= len(text); n++ {
		s := NewScanner("model")
		s.Note(func(key []byte) bool { return string(key) != "skip" })
		for at := 0; at < len(text); at += n {
			if _, err := s.Write([]byte(text[at:min(at+n, len(text))])); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Finish(); err != nil {
			t.Fatal(err)
		}
		if len(s.Noted()) != len(want) {
			t.Fatalf("in pieces of %d bytes: %v", n, s.Noted())
		}
		for _, span := range s.Noted() {
			if got := text[span.Start:span.End]; got != want[span.Name] {
				t.Errorf("in pieces of %d bytes: %s is %q, want %q", n, span.Name, got, want[span.Name])
			}
		}
		s.Reset()
		if len(s.Noted()) > 0 {
			t.Error("Reset keeps what was noted")
		}
	}
}
