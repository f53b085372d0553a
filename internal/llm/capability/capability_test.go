package capability

import (
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

func bodyOf(t testing.TB, text string) *reqbody.Body {
	t.Helper()
	body, err := reqbody.NewBudget(math.MaxInt64, math.MaxInt64).Read(strings.NewReader(text), int64(len(text)), 64<<20, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(body.Release)
	return body
}

// What a request needs, in all dialects.
func TestNeeds(t *testing.T) {
	for body, want := range map[string]string{
		`{"model":"m","messages":[{"role":"user","content":"x"}]}`:                                                                                             "[] 0 false",
		`{"messages":[{"role":"user","content":[{"type":"text","text":"\"type\":\"image\""},{"type":"image_url","image_url":{"url":"data:"}}]}]}`:              "[image] 0 false",
		`{"messages":[{"content":[{"type":"input_audio","input_audio":{"data":""}},{"type":"file","file":{}}]}],"max_tokens":7,"max_completion_tokens": 9 }`:   "[audio file] 9 false",
		`{"messages":[{"content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":""}}]}],"max_tokens":8192,"tools":[{"name":"x"}]}`: "[image] 8192 true",
		`{"messages":[{"content":[{"type":"tool_result","content":[{"type":"image","source":{"type":"url"}}]}]}]}`:                                             "[image] 0 false",
		`{"messages":[{"content":[{"type":"document","source":{"type":"base64","media_type":"application/pdf"}}]}]}`:                                           "[file] 0 false",
		`{"messages":[{"content":[{"type":"tool_use","name":"list","input":{"type":"file","mimeType":"image/png"}}]}],"tools":[]}`:                             "[] 0 false",
		`{"messages":[],"tools":[{"type":"function","function":{"parameters":{"properties":{"type":{"type":"image"}}}}}]}`:                                     "[] 0 true",
		`{"messages":[],"tools":null,"functions":[{}],"max_tokens":null}`:                                                                                      "[] 0 true",
		`{"input":[{"role":"user","content":[{"type":"input_text","text":"x"},{"type":"input_image","image_url":"https://x"}]}],"max_output_tokens":100}`:      "[image] 100 false",
		`{"input":[{"type":"function_call_output","output":[{"type":"input_file","file_id":"x"}]}]}`:                                                           "[file] 0 false",
		`{"input":"image"}`: "[] 0 false",
		`{"contents":[{"parts":[{"text":"image/png"},{"inlineData":{"mimeType":"image/png","data":""}}]}],"generationConfig":{"maxOutputTokens":4096}}`: "[image] 4096 false",
		`{"contents":[{"parts":[{"file_data":{"mime_type":"video/mp4"}}]}],"tools":[{"functionDeclarations":[]}]}`:                                      "[video] 0 true",
		`{"contents":[{"parts":[{"functionCall":{"args":{"type":"audio"}}}]}]}`:                                                                         "[] 0 false",
		`{"contents":[{"parts":[{"functionResponse":{"parts":[{"inlineData":{"mimeType":"audio/wav"}}]}}]}]}`:                                           "[audio] 0 false",
	} {
		n := NeedsOf(bodyOf(t, body))
		if got := fmt.Sprint(n.Media, n.Output, n.Tools); got != want {
			t.Errorf("%s\nneeds %s, want %s", body, got, want)
		}
	}
	large := `{"messages":[{"content":[{"type":"image_url","image_url":{"url":"data:` + strings.Repeat("QUJD", mostConfirmed/4) + `"}}]}]}`
	if n := NeedsOf(bodyOf(t, large)); fmt.Sprint(n.Media) != "[image]" {
		t.Errorf("a large body needs %v", n.Media)
	}
}

// Of a field no more than a beginning is looked at, which may end behind a key.
func TestNeedsOfLongFields(t *testing.T) {
	for _, padding := range []int{0, 400 << 10, 500 << 10} {
		n := NeedsOf(bodyOf(t, `{"messages":[],"user":"`+strings.Repeat("x", padding)+`","generationConfig":{"maxOutputTokens":5,"`+strings.Repeat("k", 100<<10)+`":1}}`))
		if n.Output != 5 {
			t.Errorf("behind %d bytes: an output of %d, want 5", padding, n.Output)
		}
	}
}

// Parts are looked at as deep as an API nests them, and no deeper: each level is read
// once more for what it holds.
func TestNeedsOfDeepBodies(t *testing.T) {
	for levels, want := range map[int]string{0: "[image]", 2: "[image]", maxDepth - 2: "[image]", maxDepth: "[]", 400: "[]"} {
		nested := strings.Repeat(`{"content":[`, levels) + `{"type":"image"}` + strings.Repeat("]}", levels)
		if n := NeedsOf(bodyOf(t, `{"messages":[{"content":[`+nested+`]}]}`)); fmt.Sprint(n.Media) != want {
			t.Errorf("an image in %d levels: needs %v, want %s", levels, n.Media, want)
		}
	}
}

// What a model lacks for a request.
func TestLack(t *testing.T) {
	for want, tc := range map[string]struct {
		Limits
		Needs
	}{
		"":                {Limits{}, Needs{1e9, 1e9, Media, true}},
		"takes no images": {Limits{Takes: []Medium{Text}}, Needs{Media: []Medium{Image}}},
		"takes no audio":  {Limits{Takes: []Medium{Text, Image}}, Needs{Media: []Medium{Image, Audio}}},
		"takes no tools":  {Limits{NoTools: true}, Needs{Tools: true}},
		"has an output of 100 tokens at most, and the request asks for 101": {Limits{Output: 100}, Needs{Output: 101}},
		"has a context of 1000 tokens, and the request has about 1251":      {Limits{Context: 1000}, Needs{Input: 1251}},
	} {
		if got := tc.Lack(&tc.Needs); got != want {
			t.Errorf("%+v: %q, want %q", tc, got, want)
		}
		if tc.Fits(&tc.Needs) != (want == "") || tc.IsTooLong(&tc.Needs) != strings.Contains(want, "context") {
			t.Errorf("%+v: it fits: %v, it is too long: %v", tc, tc.Fits(&tc.Needs), tc.IsTooLong(&tc.Needs))
		}
	}
	fits := Limits{Context: 1000, Output: 100, Takes: []Medium{Text, Image}}
	if got := fits.Lack(&Needs{1250, 100, []Medium{Image}, true}); got != "" {
		t.Errorf("%q", got)
	}
}

func TestCheck(t *testing.T) {
	for _, l := range []Limits{{Context: -1}, {Output: -1}, {Takes: []Medium{"films"}}, {Takes: []Medium{Text, Text}}} {
		if l.Check() == nil {
			t.Errorf("%+v is taken", l)
		}
	}
	for word, want := range map[string]int64{"8192": 8192, "8k": 8000, "128K": 128_000, "1M": 1_000_000, "0": 0, "-1": 0, "1.5k": 0, "k": 0, "": 0, "9223372036854775807M": 0, "8kb": 0} {
		if got, err := ParseTokens(word); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v, want %d", word, got, err, want)
		}
	}
}
