package translate_test

import (
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/translate"
)

// TestLateResult has a result that comes after the model's next message: the stub
// that an earlier turn has sent must stay.
func TestLateResult(t *testing.T) {
	const begun = `{"role":"user","content":"go"},{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]},{"role":"user","content":"x"}`
	const late = `,{"role":"assistant","content":"y"},{"role":"tool","tool_call_id":"a","content":"1"}`
	first, _ := write(t, read(t, neutral.Chat, `{"messages":[`+begun+`]}`), neutral.Messages, "claude-opus-5")
	contains(t, "the first turn", first, `{"type":"tool_result","tool_use_id":"a","content":"No result was recorded for this call."}`)
	second, _ := write(t, read(t, neutral.Chat, `{"messages":[`+begun+late+`]}`), neutral.Messages, "claude-opus-5")
	contains(t, "the second turn", second, `{"type":"tool_result","tool_use_id":"a","content":"No result was recorded for this call."}`)
	contains(t, "the second turn", second, `Late result of a tool call:`)
}

// TestSystemReminder has a system text in the middle, which most models' templates
// do not take.
func TestSystemReminder(t *testing.T) {
	got, _ := write(t, read(t, neutral.Messages, requests["claude"].body), neutral.Chat, "m")
	contains(t, "to chat", got, `{"role":"user","content":"<system-reminder>\nnote\n</system-reminder>"}`)
}

func TestStops(t *testing.T) {
	const body = `{"max_tokens":5,"messages":[{"role":"user","content":"a"}],"stop_sequences":["1","2","3","4","5","6"]}`
	for dialect, c := range map[neutral.Dialect]struct{ want, dropped string }{
		neutral.Chat:      {`"stop":["1","2","3","4"]`, "stop_sequences[4:]"},
		neutral.Gemini:    {`"stopSequences":["1","2","3","4","5"]`, "stop_sequences[5:]"},
		neutral.Responses: {`"input"`, "stop_sequences"},
	} {
		got, dropped := write(t, read(t, neutral.Messages, body), dialect, "m")
		contains(t, string(dialect), got, c.want)
		if dropped != c.dropped {
			t.Errorf("%s: dropped %q, want %q", dialect, dropped, c.dropped)
		}
	}
}

// TestCallsThatAreCutOff checks that no client gets half a call as a whole one.
func TestCallsThatAreCutOff(t *testing.T) {
	body := data(call(`"index":0,`, `"i1"`, `"f"`, `"{\"a\":"`), `{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}`)
	responses := stream(read(t, neutral.Responses, least[neutral.Responses]), neutral.Chat, body)
	containsNot(t, "responses", responses, "response.output_item.done")
	contains(t, "responses", responses, `"incomplete_details":{"reason":"max_output_tokens"}`)
	contains(t, "messages", stream(read(t, neutral.Messages, least[neutral.Messages]), neutral.Chat, body), `"stop_reason":"max_tokens"`)
	gemini := stream(read(t, neutral.Gemini, least[neutral.Gemini]), neutral.Chat, body)
	containsNot(t, "gemini", gemini, "functionCall")
	contains(t, "gemini", gemini, `"finishReason":"MAX_TOKENS"`)
	contains(t, "chat", stream(read(t, neutral.Chat, least[neutral.Chat]), neutral.Chat, body), `"finish_reason":"length"`)
}

// Whatever cuts a response off, and in whatever dialect it says so, no half of a call in
// it becomes a whole one.
func TestEndsThatCutOff(t *testing.T) {
	inChat := func(reason string) string {
		return data(call(`"index":0,`, `"i1"`, `"f"`, `"{\"a\":"`), `{"choices":[{"index":0,"delta":{},"finish_reason":"`+reason+`"}]}`)
	}
	inMessages := func(reason string) string {
		return data(`{"type":"message_start","message":{"id":"m1","model":"m","content":[],"usage":{"input_tokens":1,"output_tokens":1}}}`,
			`{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"i1","name":"f","input":{}}}`,
			`{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}`,
			`{"type":"content_block_stop","index":0}`,
			`{"type":"message_delta","delta":{"stop_reason":"`+reason+`"},"usage":{"output_tokens":2}}`, `{"type":"message_stop"}`)
	}
	inResponses := func(reason string) string {
		return data(`{"type":"response.created","response":{"id":"r1","status":"in_progress","output":[]}}`,
			`{"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","id":"f1","call_id":"i1","name":"f","arguments":""}}`,
			`{"type":"response.function_call_arguments.delta","output_index":0,"delta":"{\"a\":"}`,
			`{"type":"response.incomplete","response":{"id":"r1","status":"incomplete","incomplete_details":{"reason":"`+reason+`"},"output":[]}}`)
	}
	for _, c := range []struct {
		from neutral.Dialect
		body string
	}{
		{neutral.Chat, inChat("length")},
		{neutral.Chat, inChat("max_tokens")},
		{neutral.Chat, inChat("content_filter")},
		{neutral.Chat, inChat("safety")},
		{neutral.Messages, inMessages("max_tokens")},
		{neutral.Messages, inMessages("refusal")},
		{neutral.Messages, inMessages("model_context_window_exceeded")},
		{neutral.Responses, inResponses("max_output_tokens")},
		{neutral.Responses, inResponses("content_filter")},
	} {
		response := translate.Collect(read(t, neutral.Gemini, least[neutral.Gemini]), how(c.from), []byte(c.body))
		if response.Err != nil || len(response.Choices) != 1 || response.Choices[0].Finish == neutral.FinishCalls {
			t.Errorf("%s: %v, %+v", c.body, response.Err, response.Choices)
			continue
		}
		for _, part := range response.Choices[0].Parts {
			if part.Kind == neutral.Call {
				t.Errorf("%s: the call %s(%s) is handed out", c.body, part.Call.Name, part.Call.Input)
			}
		}
	}
}

// A call of Messages without arguments, or with arguments that are no JSON, is whole when
// the message goes on or ends as usual.
func TestCallsWithoutInput(t *testing.T) {
	block := func(n, input string) string {
		return data(`{"type":"content_block_start","index":`+n+`,"content_block":{"type":"tool_use","id":"i`+n+`","name":"f","input":{}}}`,
			`{"type":"content_block_delta","index":`+n+`,"delta":{"type":"input_json_delta","partial_json":"`+input+`"}}`, `{"type":"content_block_stop","index":`+n+`}`)
	}
	body := data(`{"type":"message_start","message":{"id":"m1","model":"m","content":[],"usage":{"input_tokens":1,"output_tokens":1}}}`) +
		block("0", "") + block("1", `{\"a\":`) + data(`{"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}`,
		`{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"so"}}`, `{"type":"content_block_stop","index":2}`) + block("3", "") +
		data(`{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":2}}`, `{"type":"message_stop"}`)
	got := meaning(translate.Collect(read(t, neutral.Chat, least[neutral.Chat]), how(neutral.Messages), []byte(body)))
	if want := `C:f({})|C:f({"a":)|T:so|C:f({})|calls`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Thoughts that their vendor has not signed go back to it, and to no other.
func TestUnsignedThoughts(t *testing.T) {
	mark := neutral.Sig{Vendor: "v", Value: neutral.TextOnly}.Mark()
	body := `{"model":"m","reasoning":{"effort":"high"},"input":[{"type":"message","role":"user","content":"a"},{"type":"reasoning","summary":[{"type":"summary_text","text":"hm"}],"encrypted_content":"` + mark + `"},
		{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":"x"}],"tools":[{"type":"function","name":"f"}]}`
	own, _ := write(t, read(t, neutral.Responses, body), neutral.Messages, "m")
	contains(t, "its own", own, `{"type":"thinking","thinking":"hm","signature":""}`)
	foreign, _ := write(t, read(t, neutral.Responses, strings.Replace(body, mark, neutral.Sig{Vendor: "w", Value: neutral.TextOnly}.Mark(), 1)), neutral.Messages, "m")
	containsNot(t, "another's", foreign, "hm")
}

// Beside calls, content is null, but an empty text for Cloudflare, where some models refuse
// a null.
func TestContentBesideCalls(t *testing.T) {
	body := `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":"c","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c","content":"x"}]}],"tools":[{"name":"f","input_schema":{"type":"object"}}]}`
	for vendor, want := range map[string]string{"cloudflare": `"content":"","tool_calls"`, "groq": `"content":null,"tool_calls"`} {
		sent, err := translate.Write(read(t, neutral.Messages, body), neutral.Chat, neutral.Target{Model: "m", Vendor: vendor})
		if err != nil {
			t.Fatal(err)
		}
		contains(t, vendor, string(sent.Body), want)
	}
}

// Google counts the places of citations in bytes, the others in characters.
func TestPlacesOfCitations(t *testing.T) {
	inGemini := `{"candidates":[{"content":{"parts":[{"text":"Wi"},{"text":"h","thought":true},{"text":"e schön 日本 ist"}]},"finishReason":"STOP","groundingMetadata":{"groundingChunks":[{"web":{"uri":"https://a.example","title":"T"}}],"groundingSupports":[{"segment":{"startIndex":4,"endIndex":17,"text":"q"},"groundingChunkIndices":[0]}]}}]}`
	inChat := stream(read(t, neutral.Chat, least[neutral.Chat]), neutral.Gemini, "data: "+inGemini+"\n\n")
	contains(t, "from gemini", inChat, `"start_index":4,"end_index":12`)
	contains(t, "and back", stream(read(t, neutral.Gemini, least[neutral.Gemini]), neutral.Chat, inChat), `"startIndex":4,"endIndex":17`)
	whole, err := translate.Whole(read(t, neutral.Gemini, least[neutral.Gemini]), how(neutral.Chat), []byte(inChat))
	if err != nil {
		t.Fatal(err)
	}
	contains(t, "and back as a whole", string(whole), `"startIndex":4,"endIndex":17`)
}

// A citation that comes again with more of the text is one citation.
func TestCitationsThatGrow(t *testing.T) {
	event := func(text, end string) string {
		return `{"candidates":[{"content":{"parts":[{"text":"` + text + `"}]}` + end + `,"groundingMetadata":{"groundingChunks":[{"web":{"uri":"https://a.example","title":"T"}}],"groundingSupports":[{"segment":{"startIndex":0,"endIndex":6},"groundingChunkIndices":[0]}]}}]}`
	}
	got := stream(read(t, neutral.Chat, least[neutral.Chat]), neutral.Gemini, data(event("日", ""), event("本", `,"finishReason":"STOP"`)))
	if n := strings.Count(got, `"type":"url_citation"`); n != 1 {
		t.Errorf("%d citations, want 1, in %s", n, got)
	}
}

// A client that has asked for several choices and gets fewer sees the end of its stream;
// choices without an index are told apart by their place.
func TestFewerChoices(t *testing.T) {
	client := read(t, neutral.Chat, least[neutral.Chat][:len(least[neutral.Chat])-1]+`,"n":2}`)
	got := stream(client, neutral.Chat, data(chunk(`{"content":"a"}`), stopped))
	contains(t, "one of two", got, `"finish_reason":"stop"`)
	contains(t, "one of two", got, `"choices":[],"usage":`)
	if !strings.HasSuffix(got, "data: [DONE]\n\n") {
		t.Errorf("the stream does not end: %s", got)
	}
	if broken := stream(client, neutral.Chat, data(chunk(`{"content":"a"}`))); strings.Contains(broken, "[DONE]") {
		t.Errorf("a stream that broke off ends as a complete one: %s", broken)
	}
	response := translate.Collect(client, how(neutral.Chat), []byte(`{"choices":[{"message":{"content":"a"},"finish_reason":"stop"},{"message":{"content":"b"},"finish_reason":"stop"}]}`))
	if len(response.Choices) != 2 {
		t.Errorf("got %+v, want two choices", response.Choices)
	}
}

// A provider's own tool that must be called goes by its type, as where it is declared.
func TestChosenOwnTools(t *testing.T) {
	body := `{"model":"m","max_tokens":10,"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"web_search_20250305","name":"web_search"},{"name":"f","input_schema":{"type":"object"}}],"tool_choice":{"type":"tool","name":"%s"}}`
	for name, want := range map[string]string{"web_search": `"tool_choice":{"type":"web_search"}`, "f": `"tool_choice":{"type":"function","name":"f"}`} {
		got, _ := write(t, read(t, neutral.Messages, strings.Replace(body, "%s", name, 1)), neutral.Responses, "m")
		contains(t, name, got, want)
	}
}

// TestReasoning has how much a model shall think, in the words of each dialect.
func TestReasoning(t *testing.T) {
	for _, c := range []struct {
		name  string
		from  neutral.Dialect
		field string
		to    neutral.Dialect
		model string
		want  string
	}{
		{"effort", neutral.Responses, `"reasoning":{"effort":"xhigh"}`, neutral.Chat, "qwen3", `"reasoning_effort":"high"`},
		{"effort of OpenAI", neutral.Responses, `"reasoning":{"effort":"xhigh"}`, neutral.Chat, "gpt-5.4", `"reasoning_effort":"xhigh"`},
		{"Claude Code's much", neutral.Messages, `"thinking":{"type":"enabled","budget_tokens":31999}`, neutral.Chat, "m", `"reasoning_effort":"high"`},
		{"effort to a level", neutral.Chat, `"reasoning_effort":"low"`, neutral.Gemini, "gemini-3-flash", `"thinkingLevel":"LOW"`},
		{"effort to the newest", neutral.Chat, `"reasoning_effort":"low"`, neutral.Gemini, "gemini-flash-latest", `"thinkingLevel":"LOW"`},
		{"none to Pro", neutral.Chat, `"reasoning_effort":"none"`, neutral.Gemini, "gemini-3-pro", `"thinkingLevel":"LOW"`},
		{"effort to a budget", neutral.Chat, `"reasoning_effort":"medium"`, neutral.Gemini, "gemini-2.5-flash", `"thinkingBudget":8192`},
		{"none to 2.5 Pro", neutral.Chat, `"reasoning_effort":"none"`, neutral.Gemini, "gemini-2.5-pro", `"thinkingBudget":128`},
		{"effort to Claude", neutral.Chat, `"reasoning_effort":"max"`, neutral.Messages, "claude-opus-5", `"thinking":{"type":"adaptive"},"output_config":{"effort":"max"}`},
		{"effort to an older Claude", neutral.Chat, `"reasoning_effort":"low"`, neutral.Messages, "claude-sonnet-4", `"thinking":{"type":"enabled","budget_tokens":1024}`},
		{"a budget beyond the limit", neutral.Chat, `"max_tokens":4000,"reasoning_effort":"high"`, neutral.Messages, "claude-sonnet-4", `"budget_tokens":3999`},
		{"a level to effort", neutral.Gemini, `"generationConfig":{"thinkingConfig":{"thinkingLevel":"HIGH"}}`, neutral.Responses, "m", `"reasoning":{"effort":"high"}`},
		{"Claude Code's much to OpenAI", neutral.Messages, `"thinking":{"type":"enabled","budget_tokens":31999}`, neutral.Responses, "gpt-6", `"reasoning":{"effort":"high"}`},
		{"minimal", neutral.Chat, `"reasoning_effort":"minimal"`, neutral.Messages, "claude-opus-5", `"effort":"low"`},
		{"minimal to an older Claude", neutral.Chat, `"max_tokens":4000,"reasoning_effort":"minimal"`, neutral.Messages, "claude-sonnet-4", `"budget_tokens":1024`},
		{"minimal to others", neutral.Responses, `"reasoning":{"effort":"minimal"}`, neutral.Chat, "qwen3", `"reasoning_effort":"low"`},
		{"minimal to OpenAI", neutral.Messages, `"thinking":{"type":"enabled","budget_tokens":300}`, neutral.Responses, "gpt-5", `"effort":"minimal"`},
		{"much to Flash", neutral.Chat, `"reasoning_effort":"xhigh"`, neutral.Gemini, "gemini-2.5-flash", `"thinkingBudget":24576`},
		{"much to Pro", neutral.Chat, `"reasoning_effort":"max"`, neutral.Gemini, "gemini-2.5-pro", `"thinkingBudget":32768`},
		{"shown", neutral.Responses, `"reasoning":{"effort":"low","summary":"auto"}`, neutral.Gemini, "gemini-3-flash", `"includeThoughts":true`},
		{"hidden", neutral.Messages, `"thinking":{"type":"adaptive","display":"omitted"},"output_config":{"effort":"low"}`, neutral.Gemini, "gemini-3-flash", `"includeThoughts":false`},
		{"shown by OpenAI", neutral.Gemini, `"generationConfig":{"thinkingConfig":{"thinkingLevel":"LOW","includeThoughts":true}}`, neutral.Responses, "gpt-6", `"reasoning":{"effort":"low","summary":"auto"}`},
		{"shown by Claude", neutral.Responses, `"reasoning":{"effort":"low","summary":"auto"}`, neutral.Messages, "claude-opus-5", `"display":"summarized"`},
		{"beside tools", neutral.Responses, `"reasoning":{"effort":"low"},"tools":[{"type":"function","name":"f"}]`, neutral.Chat, "gpt-5.4", `"stream_options":{"include_usage":true},"tools"`},
		{"none beside tools", neutral.Responses, `"reasoning":{"effort":"none"},"tools":[{"type":"function","name":"f"}]`, neutral.Chat, "gpt-5.4", `"reasoning_effort":"none"`},
		{"off", neutral.Gemini, `"generationConfig":{"thinkingConfig":{"thinkingBudget":0}}`, neutral.Messages, "claude-sonnet-4", `"thinking":{"type":"disabled"}`},
	} {
		body := least[c.from][:len(least[c.from])-1] + "," + c.field + "}"
		got, _ := write(t, read(t, c.from, body), c.to, c.model)
		contains(t, c.name, got, c.want)
	}
}
