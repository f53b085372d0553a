package translate_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/translate"
)

// repeat returns n texts in a row, with their numbers in them.
func repeat(n int, format string) string {
	var texts []string
	for i := range n {
		texts = append(texts, strings.ReplaceAll(format, "%", fmt.Sprint(i)))
	}
	return strings.Join(texts, ",")
}

// TestLargeRequests has much of all that a client may send much of. If the time for
// any of it grew with the square of its size, the test would not end.
func TestLargeRequests(t *testing.T) {
	const many = 20000
	deep := strings.Repeat(`{"type":"object","properties":{"a":`, 3000) + `{}` + strings.Repeat(`}}`, 3000)
	for name, c := range map[string]struct {
		dialect neutral.Dialect
		body    string
	}{
		"tools":         {neutral.Responses, `{"input":"a","tools":[` + repeat(many, `{"type":"function","name":"f%"}`) + `]}`},
		"allowed tools": {neutral.Responses, `{"input":"a","tools":[` + repeat(many, `{"type":"function","name":"f%"}`) + `],"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[` + repeat(many, `{"type":"function","name":"f%"}`) + `]}}`},
		"hosted tools":  {neutral.Responses, `{"input":"a","tools":[` + repeat(many, `{"type":"x%"}`) + `]}`},
		"calls":         {neutral.Responses, `{"input":[` + repeat(many, `{"type":"function_call","call_id":"c%","name":"f","arguments":"{}"}`) + `,` + repeat(many, `{"type":"function_call_output","call_id":"c%","output":"o"}`) + `]}`},
		"calls of one":  {neutral.Gemini, `{"contents":[{"role":"model","parts":[` + repeat(many, `{"functionCall":{"name":"f"}}`) + `]},{"parts":[` + repeat(many, `{"functionResponse":{"name":"f","response":{"n":%}}}`) + `]}]}`},
		"turns":         {neutral.Chat, `{"messages":[` + repeat(many, `{"role":"user","content":"a"},{"role":"assistant","content":"b"}`) + `]}`},
		"turns of one":  {neutral.Messages, `{"max_tokens":1,"messages":[` + repeat(many, `{"role":"assistant","content":"a"}`) + `]}`},
		"fields":        {neutral.Chat, `{"messages":[{"role":"user","content":"a"}],` + repeat(many, `"x%":1`) + `}`},
		"references":    {neutral.Chat, `{"messages":[{"role":"user","content":"a"}],"tools":[{"function":{"name":"f","parameters":{"type":"object","properties":{` + repeat(many, `"p%":{"$ref":"#/$defs/d%"}`) + `},"$defs":{` + repeat(many, `"d%":{"type":"string"}`) + `}}}}]}`},
		"all of":        {neutral.Chat, `{"messages":[{"role":"user","content":"a"}],"tools":[{"function":{"name":"f","parameters":{"allOf":[` + repeat(many, `{"properties":{"p%":{}},"required":["p%"]}`) + `]}}}]}`},
		"depth":         {neutral.Chat, `{"messages":[{"role":"user","content":"a"}],"tools":[{"function":{"name":"f","parameters":` + deep + `}}]}`},
	} {
		r := read(t, c.dialect, c.body)
		for _, dialect := range dialects {
			if _, err := translate.Write(r, dialect, neutral.Target{Model: "gemini-3-pro", Vendor: "v"}); err != nil {
				t.Errorf("%s to %s: %v", name, dialect, err)
			}
		}
	}
	marked := `"` + neutral.SignatureMark + strings.Repeat("A", 1<<20) + `"`
	translate.Unmark([]byte(strings.Repeat("[", 9000) + marked + strings.Repeat("]", 9000)))
}

// TestLargeSchemas has a schema in each of many tools that grows as far as that of one
// tool may. All of them together do not grow without bounds.
func TestLargeSchemas(t *testing.T) {
	const tools, most = 400, 5 << 20
	var defs strings.Builder
	for i := range 24 {
		fmt.Fprintf(&defs, `"d%d":{"type":"object","properties":{"l":{"$ref":"#/$defs/d%d"},"r":{"$ref":"#/$defs/d%d"}}},`, i, i+1, i+1)
	}
	parameters := `{"type":"object","properties":{"a":{"$ref":"#/$defs/d0"}},"$defs":{` + defs.String() + `"z":{}}}`
	body := `{"messages":[{"role":"user","content":"a"}],"tools":[` + repeat(tools, `{"type":"function","function":{"name":"f%","parameters":`+parameters+`}}`) + `]}`
	r := read(t, neutral.Chat, body)
	for range 2 { // another channel gets the same
		got, dropped := write(t, r, neutral.Gemini, "m")
		if len(got) > len(body)+most {
			t.Errorf("%d bytes became %d", len(body), len(got))
		}
		if n := strings.Count(got, `"name":"f`); n != tools || !strings.Contains(dropped, "$ref") {
			t.Errorf("got %d tools, want %d; dropped %s", n, tools, dropped)
		}
	}
}

// TestLargeResponses has more calls than anybody runs.
func TestLargeResponses(t *testing.T) {
	var events []string
	for i := range 3000 {
		events = append(events, call(fmt.Sprintf(`"index":%d,`, i), fmt.Sprintf(`"i%d"`, i), `"f"`, `"{}"`))
	}
	for _, dialect := range dialects {
		got := stream(read(t, dialect, least[dialect]), neutral.Chat, data(append(events, called, "[DONE]")...))
		contains(t, string(dialect), got, "The calls of the response are too large")
		containsNot(t, string(dialect), got, "[DONE]")
		containsNot(t, string(dialect), got, "response.completed")
	}
}

// TestDeepContent has content in content, which would be read once for each level.
func TestDeepContent(t *testing.T) {
	nested := func(levels int) string {
		return `{"max_tokens":1,"messages":[{"role":"user","content":` +
			strings.Repeat(`[{"type":"tool_result","tool_use_id":"c","content":`, levels) + `"a"` + strings.Repeat(`}]`, levels) + `}]}`
	}
	read(t, neutral.Messages, nested(3))
	if _, err := translate.Read(neutral.Messages, []byte(nested(1000))); err == nil || !strings.Contains(err.Error(), "too deep") {
		t.Errorf("got the error %v, want one that says that the content is too deep", err)
	}
}

// TestLongNames has what comes in more pieces than anybody sends.
func TestLongNames(t *testing.T) {
	pieces := strings.Split(strings.Repeat(call(`"index":0,`, `"i"`, `"ab"`, `""`)+"|"+call(`"index":0,`, `"i"`, `"c"`, `""`)+"|", 10_000), "|")
	body := data(append(pieces[:len(pieces)-1], called, "[DONE]")...)
	got := stream(read(t, neutral.Chat, least[neutral.Chat]), neutral.Chat, body)
	if len(got) > 20_000 {
		t.Errorf("got %d bytes for the name of a call", len(got))
	}
}

// TestOpenThought has a model whose template has opened the thought.
func TestOpenThought(t *testing.T) {
	answer := how(neutral.Chat)
	answer.OpenThought = true
	body := data(chunk(`{"content":"hm</th"}`), chunk(`{"content":"ink>\n\nHi"}`), stopped)
	if got, want := meaning(translate.Collect(read(t, neutral.Chat, least[neutral.Chat]), answer, []byte(body))), "H:hm|T:Hi|stop"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
