package refusal

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// The reader of values agrees with encoding/json on what is valid.
func TestValues(t *testing.T) {
	long := strings.Repeat(`x\"\\`, 40)
	for _, text := range []string{
		`{"a":"b"}`, `{"a":"\"","b":"c"}`, `{"a":"\\","b":"c"}`, `{"a":"` + long + `","b":"c"}`, `{"a":"` + long + `\\","b":"\u00e9\ud83d\ude00\/\n"}`,
		`{"a":[1,{"b":"]}"},[]],"b":{"c":"}"}}`, ` { "a" : null , "b" : [ ] , "c" : -1.5e3 , "d" : true } `, `{}`, `[]`, `{"":""}`,
		`{"a":"\ud800","b":"\udc00x"}`,
	} {
		var want any
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if got := decode(parse([]byte(text))); !equal(got, want) {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func decode(v value) any {
	switch v.kind() {
	case '{':
		m := make(map[string]any)
		for name, member := range v.fields {
			m[value(`"`+string(name)+`"`).text()] = decode(member)
		}
		return m
	case '[':
		list := []any{}
		for element := range v.items {
			list = append(list, decode(element))
		}
		return list
	}
	return v.text()
}

func equal(got, want any) bool {
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(stringify(want))
	return string(a) == string(b)
}

// stringify writes scalars as value.text does.
func stringify(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			v[name] = stringify(member)
		}
	case []any:
		for i, element := range v {
			v[i] = stringify(element)
		}
	case nil:
		return ""
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		return v.String()
	}
	return v
}

// Nothing that is cut off or broken makes it panic, run on or read beyond.
func TestBrokenValues(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	alphabet := []byte(`{}[]":,\ nul1aé`)
	for range 20000 {
		text := make([]byte, r.IntN(40))
		for i := range text {
			text[i] = alphabet[r.IntN(len(alphabet))]
		}
		if len(text) > 0 && r.IntN(2) == 0 {
			text[0] = '{'
		}
		decode(parse(text))
		for d := range dialects {
			InspectBody(dialects[d], text)
			InspectEvent(dialects[d], nil, text)
		}
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]bool{
		`{"a":1}`: true, `[1]`: true, " \n{}": true, "\xef\xbb\xbf{}": true, `{`: true, `[`: true, `[{"a`: true,
		`[ERROR] no`: false, `{error}`: false, `"a"`: false, `null`: false, ``: false, `x`: false, `<`: false,
	} {
		if got := parse([]byte(text)) != nil; got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
