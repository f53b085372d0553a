package reqbody

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// scan reads the text in pieces of at most n bytes.
func scan(text string, n int) (Value, error) {
	s := NewScanner("model")
	for p := []byte(text); len(p) > 0; {
		m := min(n, len(p))
		if _, err := s.Write(p[:m]); err != nil {
			break
		}
		p = p[m:]
	}
	return s.Finish()
}

// kind names an outcome.
func kind(err error) string {
	var (
		invalid   *InvalidError
		ambiguous *AmbiguousError
	)
	switch {
	case err == nil:
		return "found"
	case errors.Is(err, ErrMissing):
		return "missing"
	case errors.As(err, &invalid):
		return "invalid"
	case errors.As(err, &ambiguous):
		return "ambiguous"
	}
	return err.Error()
}

var scanned = []struct{ text, kind, value string }{
	{`{"model":"gpt-4"}`, "found", "gpt-4"},
	{" \r\n\t{ \"a\" : [ 1 , -2.5e+10 , {} , [] ] , \"model\" : \"x\" , \"b\" : null } \n", "found", "x"},
	{`{"model":"gpt\u002d4\/\"\n"}`, "found", "gpt-4/\"\n"},
	{`{"model":"模型"}`, "found", "模型"},
	{`{"model":"\ud83d\ude00"}`, "found", "😀"},
	{`{"mode\u006c":"x"}`, "found", "x"},
	{`{"model":""}`, "found", ""},
	{`{"a":{"model":"y","Model":1},"model":"x","b":[{"model":2}]}`, "found", "x"},
	{`{"a":"\"model\":\"y\"","model":"x","c":"\\"}`, "found", "x"},
	{`{"models":"y","mode":"z","model":"x","modem":0}`, "found", "x"},

	{`{}`, "missing", ""},
	{`{"a":1}`, "missing", ""},
	{`{"model":null}`, "missing", ""},
	{`{"a":{"model":"x"}}`, "missing", ""},

	{`{"model":"x","model":"y"}`, "ambiguous", ""},
	{`{"model":"x","model":"x"}`, "ambiguous", ""},
	{`{"model":null,"model":"y"}`, "ambiguous", ""},
	{`{"model":"x","\u006dodel":"y"}`, "ambiguous", ""},
	{`{"model":"x","Model":"y"}`, "ambiguous", ""},
	{`{"MODEL":"y"}`, "ambiguous", ""},
	{`{"\u004dodel":"y"}`, "ambiguous", ""},
	{`{"model":"x","MODE\u004c":1}`, "ambiguous", ""},
	{`{"model":"x","model\u0000":"y"}`, "ambiguous", ""},
	{`{"model":"x","model\ud800":"y"}`, "ambiguous", ""},
	{`{"model":"x","x\ud800":"y"}`, "ambiguous", ""},
	{`{"model":"x","` + strings.Repeat(" ", maxValue) + `model":"y"}`, "ambiguous", ""},
	{"{\"model\":\"x\",\"mod\xffel\":\"y\"}", "invalid", ""},

	{``, "invalid", ""},
	{`   `, "invalid", ""},
	{`null`, "invalid", ""},
	{`"model"`, "invalid", ""},
	{`["model"]`, "invalid", ""},
	{`{"model":"x"`, "invalid", ""},
	{`{"model":"x"}}`, "invalid", ""},
	{`{"model":"x"}{"model":"y"}`, "invalid", ""},
	{`{"model":"x"},`, "invalid", ""},
	{`{"model":"x",}`, "invalid", ""},
	{`{,"model":"x"}`, "invalid", ""},
	{`{"model" "x"}`, "invalid", ""},
	{`{model:"x"}`, "invalid", ""},
	{`{'model':'x'}`, "invalid", ""},
	{`{"model":["x"]}`, "invalid", ""},
	{`{"model":{"a":1}}`, "invalid", ""},
	{`{"model":4}`, "invalid", ""},
	{`{"model":true}`, "invalid", ""},
	{`{"model":nul}`, "invalid", ""},
	{"{\"model\":\"a\nb\"}", "invalid", ""},
	{"{\"model\":\"a\x00b\"}", "invalid", ""},
	{"{\"model\":\"\xff\"}", "invalid", ""},
	{`{"model":"\ud83d"}`, "invalid", ""},
	{`{"model":"\x"}`, "invalid", ""},
	{`{"model":"\u12g4"}`, "invalid", ""},
	{"\xef\xbb\xbf{\"model\":\"x\"}", "invalid", ""},
	{`{"model":"x"}` + "\x00", "invalid", ""},
	{`{"model":"x",/**/"a":1}`, "invalid", ""},
	{`{"model":"x","a":01}`, "invalid", ""},
	{`{"model":"x","a":1.}`, "invalid", ""},
	{`{"model":"x","a":.1}`, "invalid", ""},
	{`{"model":"x","a":1e}`, "invalid", ""},
	{`{"model":"x","a":+1}`, "invalid", ""},
	{`{"model":"x","a":-}`, "invalid", ""},
	{`{"model":"x","a":NaN}`, "invalid", ""},
	{`{"model":"x","a":[1,]}`, "invalid", ""},
	{`{"model":"x","a":[1}]`, "invalid", ""},
	{`{"model":"` + strings.Repeat("x", maxValue+1) + `"}`, "invalid", ""},
}

// The outcome is the same however the text is cut into pieces.
func TestScanner(t *testing.T) {
	for _, tc := range scanned {
		for _, n := range []int{1, 2, 3, 7, 8, 31, 33, 1 << 20} {
			value, err := scan(tc.text, n)
			if kind(err) != tc.kind || value.Text != tc.value {
				t.Fatalf("%.60q in pieces of %d: %s %q (%v), want %s %q", tc.text, n, kind(err), value.Text, err, tc.kind, tc.value)
			}
			if err != nil {
				continue
			}
			var got string
			if raw := tc.text[value.Start:value.End]; json.Unmarshal([]byte(raw), &got) != nil || got != value.Text {
				t.Fatalf("%.60q: the value does not stand at %d to %d", tc.text, value.Start, value.End)
			}
		}
	}
}

// Each kind of byte ends a run of ordinary ones wherever it stands in a block.
func TestStringsAtEveryOffset(t *testing.T) {
	for offset := range 100 {
		filler := strings.Repeat("a", offset)
		for special, want := range map[string]string{
			"": "found", `\"`: "found", `\u00e9`: "found", "é": "found", "\x7f": "found", "!#[]": "found",
			"\x1f": "invalid", "\x00": "invalid", `\q`: "invalid", `"`: "invalid",
		} {
			text := `{"a":"` + filler + special + `bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","model":"x"}`
			if _, err := scan(text, 1<<20); kind(err) != want {
				t.Fatalf("%q after %d bytes: %s (%v), want %s", special, offset, kind(err), err, want)
			}
		}
	}
}

func TestDepth(t *testing.T) {
	nested := func(n int) string {
		return `{"a":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + `,"model":"x"}`
	}
	if _, err := scan(nested(maxDepth), 1000); err != nil {
		t.Errorf("depth %d: %v", maxDepth, err)
	}
	if _, err := scan(nested(maxDepth+1), 1000); kind(err) != "invalid" {
		t.Errorf("depth %d: %v", maxDepth+1, err)
	}
	alternating := `{"model":"x","a":` + strings.Repeat(`[{"b":`, 300) + "1" + strings.Repeat("}]", 300) + "}"
	if _, err := scan(alternating, 1<<20); err != nil {
		t.Error(err)
	}
	if _, err := scan(strings.Replace(alternating, "}]", "]}", 1), 1<<20); kind(err) != "invalid" {
		t.Errorf("crossed brackets: %v", err)
	}
}

func TestScannerAfterReset(t *testing.T) {
	s := NewScanner("model")
	for i, text := range []string{`{"model":"a"}`, `{"model":"b"`, `{"a":[[[[`, `{"Model":1}`, `{}`} {
		_, _ = s.Write([]byte(text))
		_, _ = s.Finish()
		s.Reset()
		want := fmt.Sprintf("v%d", i)
		_, _ = s.Write([]byte(`{"a":[{"b":1}],"model":"` + want + `"}`))
		if value, err := s.Finish(); err != nil || value.Text != want {
			t.Errorf("after %s: %q, %v", text, value.Text, err)
		}
		s.Reset()
	}
}

// FuzzScanner compares with encoding/json: what it finds invalid is refused,
// and what is found is what it finds, however the text is cut.
func FuzzScanner(f *testing.F) {
	for _, tc := range scanned {
		f.Add(tc.text, 3)
	}
	f.Fuzz(func(t *testing.T, text string, n int) {
		n = max(1, n%64)
		value, err := scan(text, n)
		whole, errWhole := scan(text, len(text)+1)
		if kind(err) != kind(errWhole) || value != whole {
			t.Fatalf("in pieces of %d: %v %v; as a whole: %v %v", n, value, err, whole, errWhole)
		}
		var object map[string]json.RawMessage
		valid := json.Valid([]byte(text)) && json.Unmarshal([]byte(text), &object) == nil && object != nil
		if !valid {
			if err == nil || errors.Is(err, ErrMissing) {
				t.Fatalf("encoding/json refuses it, the scanner does not: %v", err)
			}
			return
		}
		switch kind(err) {
		case "found":
			var request struct {
				Model string `json:"model"`
			}
			if err := json.Unmarshal([]byte(text), &request); err != nil || request.Model != value.Text {
				t.Fatalf("encoding/json reads %q (%v), the scanner %q", request.Model, err, value.Text)
			}
			if len(object) == 0 {
				t.Fatal("found in an empty object")
			}
		case "missing":
			if raw, ok := object["model"]; ok && string(raw) != "null" {
				t.Fatalf("there is a model, %s", raw)
			}
		}
	})
}

func BenchmarkScanner(b *testing.B) {
	text := []byte(`{"model":"gpt-4o","messages":[{"role":"user","content":"` + strings.Repeat("QUJDRGVm0123+/xyz", 5<<20/17) + `"}]}`)
	s := NewScanner("model")
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		s.Reset()
		for p := text; len(p) > 0; {
			n := min(len(p), chunkSize)
			_, _ = s.Write(p[:n])
			p = p[n:]
		}
		if _, err := s.Finish(); err != nil {
			b.Fatal(err)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, tc := range []struct {
		pattern, name string
		want          bool
	}{
		{"gpt-4", "gpt-4", true},
		{"gpt-4", "gpt-4o", false},
		{"gpt-4*", "gpt-4", true},
		{"gpt-4*", "gpt-4o-mini", true},
		{"gpt-4*", "gpt-3", false},
		{"*", "", true},
		{"*", "anything/at:all", true},
		{"", "", true},
		{"", "x", false},
		{"*mini", "gpt-4o-mini", true},
		{"*mini", "gpt-4o-mini-2024", false},
		{"gpt-*-mini*", "gpt-4o-mini-2024", true},
		{"a*b*c", "a-b-b-c", true},
		{"a*b*c", "a-c-b", false},
		{"**", "x", true},
		{"GPT-4", "gpt-4", false},
		{"?", "x", false},
	} {
		if got := Match(tc.pattern, tc.name); got != tc.want {
			t.Errorf("Match(%q, %q) = %v", tc.pattern, tc.name, got)
		}
	}
	// In time that grows with the length, not exponentially.
	if Match(strings.Repeat("a*", 30)+"b", strings.Repeat("a", 5000)) {
		t.Error("matched")
	}
}
