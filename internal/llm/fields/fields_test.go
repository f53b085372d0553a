package fields_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/fields"
	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// parse reads rules as a Caddyfile has them, one a line.
func parse(t testing.TB, text string) []fields.Rule {
	t.Helper()
	var rules []fields.Rule
	for line := range strings.SplitSeq(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		rule, err := fields.Parse(fields.Op(words[0]), words[1:])
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		rules = append(rules, rule)
	}
	return rules
}

// apply applies rules to a text that is written in parts of a length.
func apply(t testing.TB, rules []fields.Rule, text string, adds bool, part int) string {
	t.Helper()
	compiled, err := fields.Compile(rules)
	if err != nil {
		t.Fatal(err)
	}
	s := compiled.NewScanner(adds)
	for p := []byte(text); len(p) > 0; {
		n := min(part, len(p))
		_, _ = s.Write(p[:n])
		p = p[n:]
	}
	return edited(t, text, s.Edits())
}

// edited makes edits, and fails if they overlap or are not in order.
func edited(t testing.TB, text string, edits []reqbody.Edit) string {
	t.Helper()
	var b strings.Builder
	at := int64(0)
	for _, e := range edits {
		if e.Start < at || e.End < e.Start || e.End > int64(len(text)) {
			t.Fatalf("%q: the edit %d-%d overlaps the one that ends at %d", text, e.Start, e.End, at)
		}
		b.WriteString(text[at:e.Start])
		b.Write(e.With)
		at = e.End
	}
	return b.String() + text[at:]
}

func TestRules(t *testing.T) {
	for _, test := range []struct{ rules, text, want string }{
		{"drop a", `{"a":1,"b":2}`, `{"b":2}`},
		{"drop a", `{"b":2,"a":1}`, `{"b":2}`},
		{"drop a", `{ "b" : 2 , "a" : 1 , "c" : 3 }`, `{ "b" : 2 , "c" : 3 }`},
		{"drop a", `{"a":1}`, `{}`},
		{"drop a", ` { "a" : [1,{"a":2}] } `, ` {  } `},
		{"drop a b", `{"a":1,"b":2,"c":3}`, `{"c":3}`},
		{"drop a b", `{"c":3,"a":1,"b":2}`, `{"c":3}`},
		{"drop a b", `{"a":1,"c":3,"b":2}`, `{"c":3}`},
		{"drop a b", `{"a":1,"b":2}`, `{}`},
		{"drop a", `{"a":1,"a":2,"b":{"a":1}}`, `{"b":{"a":1}}`},
		{"drop a", `{"\u0061":1,"b":2}`, `{"b":2}`},
		{"drop m[].name", `{"m":[{"name":"x","role":"user"},"name",["name"],{"role":"y","name":"z"}],"name":1}`, `{"m":[{"role":"user"},"name",["name"],{"role":"y"}],"name":1}`},
		{"drop m[].c[].k", `{"m":[{"c":"k"},{"c":[{"k":{},"t":1},{"t":2,"k":[]}]}]}`, `{"m":[{"c":"k"},{"c":[{"t":1},{"t":2}]}]}`},
		{"drop m[][].k", `{"m":[[{"k":1}],{"k":2}]}`, `{"m":[[{}],{"k":2}]}`},
		{"drop a.b", `{"a":{"b":1}}`, `{"a":{}}`},
		{"drop a.b", `{"a":"b","c":{"b":1}}`, `{"a":"b","c":{"b":1}}`},
		{"rename a b", `{"a": 1.50,"c":2}`, `{"b": 1.50,"c":2}`},
		{"rename a b", `{"b":1,"a":2}`, `{"b":1}`},
		{"rename a b", `{"a":2,"b":1}`, `{"b":1}`},
		{"rename x.a b", `{"x":{"a":2},"a":1}`, `{"x":{"b":2},"a":1}`},
		{"default a 7", `{"a":1}`, `{"a":1}`},
		{"default a 7", `{"a":null,"b":1}`, `{"a":7,"b":1}`},
		{"default a 7", `{"b":1 }`, `{"b":1,"a":7 }`},
		{"default a 7", `{}`, `{"a":7}`},
		{"default a.b true\ndefault a.c none", `{"x":1}`, `{"x":1,"a":{"b":true,"c":"none"}}`},
		{"default a.b true", `{"a":{"c":1}}`, `{"a":{"c":1,"b":true}}`},
		{"default a.b true", `{"a":null}`, `{"a":{"b":true}}`},
		{"default a.b true", `{"a":[]}`, `{"a":[]}`},
		{"set a \"x\"", `{"a":[1]}`, `{"a":"x"}`},
		{"set a {\"b\":[]}", `{}`, `{"a":{"b":[]}}`},
		{"set m[].a 1", `{"m":[{},{"a":2}]}`, `{"m":[{"a":1},{"a":1}]}`},
		{"set m[].a 1", `{}`, `{}`},
		{"at_most a 10", `{"a":11}`, `{"a":10}`},
		{"at_most a 10", `{"a":10.0}`, `{"a":10.0}`},
		{"at_most a 10", `{"a":1e3}`, `{"a":10}`},
		{"at_most a 10", `{"a":"99"}`, `{"a":"99"}`},
		{"at_most a 10", `{}`, `{}`},
		{"role developer system", `{"messages":[{"role":"developer","content":"developer"},{"role":"user"}],"input":[{"role":"developer"}]}`, `{"messages":[{"role":"system","content":"developer"},{"role":"user"}],"input":[{"role":"system"}]}`},
		{"role developer system", `{"input":"developer"}`, `{"input":"developer"}`},
		// One after the other.
		{"rename a b\ndefault b 5\nat_most b 3", `{"a":9}`, `{"b":3}`},
		{"rename a b\ndefault b 5\nat_most b 3", `{}`, `{"b":3}`},
		{"default b 5\nrename a b", `{"a":9}`, `{"b":5}`},
		{"set a 1\ndrop a", `{"a":2,"b":3}`, `{"b":3}`},
		{"drop a\nset a 1", `{"a":2,"b":3}`, `{"b":3,"a":1}`},
		{"drop a\nset a 1", `{"a":2}`, `{"a":1}`},
	} {
		for _, part := range []int{1, 2, 3, 1000} {
			if got := apply(t, parse(t, test.rules), test.text, true, part); got != test.want {
				t.Errorf("%q of %s: got %s, want %s", test.rules, test.text, got, test.want)
			}
		}
	}
}

// Where nothing may be added, what is there still changes.
func TestNothingAdded(t *testing.T) {
	rules := parse(t, "set a 1\ndefault b 2\nset c.d 3\nrename e f")
	for text, want := range map[string]string{
		`{}`:                        `{}`,
		`{"a":0,"b":null,"c":null}`: `{"a":1,"b":null,"c":null}`,
		`{"c":{"d":4},"e":5}`:       `{"c":{"d":3},"f":5}`,
	} {
		if got := apply(t, rules, text, false, 1000); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

func TestMistakes(t *testing.T) {
	for line, says := range map[string]string{
		"drop":                 "such as drop logprobs",
		"drop []":              "no path of a field",
		"drop messages[]":      "must end in a name",
		"drop a..b":            "no path of a field",
		"drop .a":              "no path of a field",
		"drop a[0].b":          "no path of a field",
		"rename a":             "rename <field> <name>",
		"rename a b c":         "rename <field> <name>",
		"rename a.b c.d":       "within its object",
		"default max_tokens":   "default <field> <value>",
		"at_most a many":       "not a number",
		"at_most a":            "at_most <field> <number>",
		"role developer":       "role <role> <role>",
		"remove a":             "there are drop, rename",
		"set a":                "set <field> <value>",
		"set messages[].a[] 1": "must end in a name",
	} {
		words := strings.Fields(line)
		_, err := fields.Parse(fields.Op(words[0]), words[1:])
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v, want %q in it", line, err, says)
		}
	}
}

func TestContradictions(t *testing.T) {
	for text, says := range map[string]string{
		"drop a\nset a.b 1":             "a rule for a and one for a field in it",
		"drop x.m\ndrop x.m[].name":     "a rule for x.m and",
		"rename a b\ndefault b.c 1":     "a rule for b and",
		"default m[].c 1\ndrop m[].c.d": "a rule for m[].c and",
	} {
		if _, err := fields.Compile(parse(t, text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: got %v, want %q in it", text, err, says)
		}
	}
	if compiled, err := fields.Compile(nil); compiled != nil || err != nil {
		t.Errorf("no rules: got %v and %v, want nothing", compiled, err)
	}
}

func TestOverride(t *testing.T) {
	base := parse(t, "drop logprobs seed messages[].name\nrename max_completion_tokens max_tokens\nrole developer system")
	for own, want := range map[string]string{
		"":                     `[drop logprobs seed messages[].name] [rename max_completion_tokens→max_tokens] [role developer→system]`,
		"set seed 1":           `[drop logprobs messages[].name] [rename max_completion_tokens→max_tokens] [role developer→system] [set seed]`,
		"drop messages[].role": `[drop logprobs seed messages[].name] [rename max_completion_tokens→max_tokens] [drop messages[].role]`,
		"drop messages":        `[drop logprobs seed] [rename max_completion_tokens→max_tokens] [drop messages]`,
		"at_most max_tokens 9": `[drop logprobs seed messages[].name] [role developer→system] [at_most max_tokens]`,
		"set logprobs.x 1":     `[drop seed messages[].name] [rename max_completion_tokens→max_tokens] [role developer→system] [set logprobs.x]`,
	} {
		var got []string
		for _, r := range fields.Override(base, parse(t, own)) {
			text := string(r.Op)
			for _, path := range r.Paths {
				text += " " + path
			}
			if r.To != "" {
				text += strings.TrimSuffix(" ", strings.Repeat(" ", len(r.Paths))) + r.From + "→" + r.To
			}
			got = append(got, "["+text+"]")
		}
		if joined := strings.Join(got, " "); joined != want {
			t.Errorf("%q:\ngot  %s\nwant %s", own, joined, want)
		}
	}
}

// member is a field of an object with its value as it is written.
type member struct {
	name  string
	value json.RawMessage
}

// members reads an object in order.
func members(t testing.TB, text json.RawMessage) (list []member, ok bool) {
	t.Helper()
	if text = bytes.TrimSpace(text); len(text) == 0 || text[0] != '{' {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(text))
	_, _ = d.Token()
	for d.More() {
		key, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		m := member{name: key.(string)}
		if err := d.Decode(&m.value); err != nil {
			t.Fatal(err)
		}
		list = append(list, m)
	}
	return list, true
}

// reference applies one rule at a path in a simple way and writes objects anew.
func reference(t testing.TB, text json.RawMessage, steps []string, r fields.Rule) json.RawMessage {
	if steps[0] == "[]" {
		var list []json.RawMessage
		if trimmed := bytes.TrimSpace(text); len(trimmed) == 0 || trimmed[0] != '[' || json.Unmarshal(text, &list) != nil {
			return text
		}
		for i := range list {
			list[i] = reference(t, list[i], steps[1:], r)
		}
		raw := []json.RawMessage{}
		return marshal(t, append(raw, list...))
	}
	list, ok := members(t, text)
	if !ok {
		return text
	}
	has := func(name string) bool {
		return slices.ContainsFunc(list, func(m member) bool { return m.name == name })
	}
	name := steps[0]
	adds := r.Op == fields.Set || r.Op == fields.Default
	if len(steps) > 1 {
		for i, m := range list {
			if m.name == name {
				if adds && steps[1] != "[]" && !slices.Contains(steps, "[]") && string(m.value) == "null" {
					m.value = json.RawMessage(`{}`)
				}
				list[i].value = reference(t, m.value, steps[1:], r)
			}
		}
		if !has(name) && adds && !slices.Contains(steps, "[]") {
			list = append(list, member{name, reference(t, json.RawMessage(`{}`), steps[1:], r)})
		}
		return write(t, list)
	}
	taken := r.Op == fields.Rename && has(r.To)
	if adds && !has(name) {
		list = append(list, member{name, r.Value})
	}
	list = slices.DeleteFunc(list, func(m member) bool { return m.name == name && (r.Op == fields.Drop || taken) })
	for i := range list {
		if m := &list[i]; m.name == name {
			change(m, r)
		}
	}
	return write(t, list)
}

func change(m *member, r fields.Rule) {
	var number, most float64
	var role string
	switch r.Op {
	case fields.Rename:
		m.name = r.To
	case fields.Set:
		m.value = r.Value
	case fields.Default:
		if string(m.value) == "null" {
			m.value = r.Value
		}
	case fields.AtMost:
		if json.Unmarshal(m.value, &number) == nil && json.Unmarshal(r.Value, &most) == nil && number > most {
			m.value = r.Value
		}
	case fields.Role:
		if json.Unmarshal(m.value, &role) == nil && role == r.From {
			m.value, _ = json.Marshal(r.To)
		}
	}
}

func write(t testing.TB, list []member) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(marshal(t, m.name))
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(b.Bytes())
}

// tokens writes a text so that two texts of the same values in the same order
// are equal; numbers and strings stay as they are written, names do not.
func tokens(t testing.TB, text json.RawMessage) string {
	text = bytes.TrimSpace(text)
	switch {
	case len(text) == 0:
		t.Fatal("no value")
	case text[0] == '{':
		list, _ := members(t, text)
		for i := range list {
			list[i].value = json.RawMessage(tokens(t, list[i].value))
		}
		return string(write(t, list))
	case text[0] == '[':
		var list []json.RawMessage
		if err := json.Unmarshal(text, &list); err != nil {
			t.Fatal(err)
		}
		parts := make([]string, len(list))
		for i := range list {
			parts[i] = tokens(t, list[i])
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	return string(text)
}

// ruleSets are such that the reference may apply their rules one after the other.
var ruleSets = []string{
	"drop a b.c m[].n\nrename d e\ndefault e 4\nat_most e 3\nset f.g \"x\"",
	"rename a b\nrename b a\ndefault c 1\nset m[].k {\"z\":[1]}\nrole user human",
	"default a.b.c 1\ndefault a.b.d null\ndrop m[].c[].k e",
	"drop a\nset a 1\ndrop b\ndefault b 2\nat_most a 0",
	"set messages[].role user\ndrop input[].role a\nrename m.a b",
}

func FuzzRules(f *testing.F) {
	for i := range ruleSets {
		for _, text := range []string{
			`{"a":1,"b":{"c":2,"x":[]},"m":[{"n":1},{"k":0,"n":null},{}],"d":1e9,"f":{}}`,
			` { "e" : 5 , "d":"\ud83d\ude00" , "a" : null }`,
			`{"messages":[{"role":"user","content":"\"}{"},{"role":"\u0075ser"}],"input":[{"role":"user"}]}`,
			`{"a":{"b":null},"\u0061":{"b":{"d":[]}},"c":-0.0,"m":[{"c":[{"k":1,"j":2}]},[{"c":1}],"c"]}`,
			`{}`, `{"":0,"a":"","a":[],"b":"\\"}`,
		} {
			f.Add(uint8(i), uint8(3), text)
		}
	}
	f.Fuzz(func(t *testing.T, set, part uint8, text string) {
		if !json.Valid([]byte(text)) || strings.TrimSpace(text)[0] != '{' {
			return
		}
		rules := parse(t, ruleSets[int(set)%len(ruleSets)])
		got := apply(t, rules, text, true, int(part)+1)
		if !json.Valid([]byte(got)) {
			t.Fatalf("%q became %q, which is no JSON", text, got)
		}
		want := json.RawMessage(text)
		for _, r := range rules {
			paths := r.Paths
			if r.Op == fields.Role {
				paths = []string{"messages[].role", "input[].role"}
			}
			for _, path := range paths {
				steps := strings.Split(strings.ReplaceAll(path, "[]", ".[]"), ".")
				want = reference(t, want, steps, r)
			}
		}
		if got, want := tokens(t, json.RawMessage(got)), tokens(t, want); got != want {
			t.Errorf("%q:\ngot  %s\nwant %s", text, got, want)
		}
	})
}

// A body in which nothing is to be changed has no edit, so that it goes on as it
// came.
func TestUntouched(t *testing.T) {
	compiled, err := fields.Compile(parse(t, ruleSets[0]))
	if err != nil {
		t.Fatal(err)
	}
	s := compiled.NewScanner(false)
	_, _ = s.Write([]byte(`{"x":[{"a":1}],"y":{"d":1},"e":2,"m":["n"]}`))
	if edits := s.Edits(); len(edits) != 0 {
		t.Errorf("got %d edits, want none", len(edits))
	}
}

func BenchmarkScanner(b *testing.B) {
	message := `{"role":"user","content":"` + strings.Repeat("some text, ", 100) + `"},`
	text := []byte(`{"model":"m","logprobs":true,"messages":[` + strings.TrimSuffix(strings.Repeat(message, 100), ",") + `]}`)
	compiled, err := fields.Compile(parse(b, "drop logprobs messages[].name\ndefault max_tokens 4096"))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		s := compiled.NewScanner(true)
		_, _ = s.Write(text)
		if len(s.Edits()) != 2 {
			b.Fatal("not two edits")
		}
	}
}
