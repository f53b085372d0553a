package responses_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/responses"
)

// resource are the fields that Open Responses demands of each response, and the
// kinds of value that each may have: s for a text, n for a number, b, o, a, 0 for null.
// Source: https://github.com/openresponses/openresponses, ResponseResource (November 2026)
var resource = map[string]string{
	"id": "s", "object": "s", "created_at": "n", "completed_at": "n0", "status": "s", "incomplete_details": "o0",
	"model": "s", "previous_response_id": "s0", "instructions": "s0", "output": "a", "error": "o0", "tools": "a",
	"tool_choice": "so", "truncation": "s", "parallel_tool_calls": "b", "text": "o", "top_p": "n",
	"presence_penalty": "n", "frequency_penalty": "n", "top_logprobs": "n", "temperature": "n", "reasoning": "o0",
	"usage": "o0", "max_output_tokens": "n0", "max_tool_calls": "n0", "store": "b", "background": "b",
	"service_tier": "s", "metadata": "o", "safety_identifier": "s0", "prompt_cache_key": "s0",
}

// parts are the fields that Open Responses demands of items and their parts, by type.
var parts = map[string]map[string]string{
	"message":       {"id": "s", "status": "s", "role": "s", "content": "a"},
	"output_text":   {"text": "s", "annotations": "a", "logprobs": "a"},
	"refusal":       {"refusal": "s"},
	"reasoning":     {"id": "s", "summary": "a"},
	"summary_text":  {"text": "s"},
	"function_call": {"id": "s", "call_id": "s", "name": "s", "arguments": "s", "status": "s"},
	"function":      {"name": "s", "description": "s0", "parameters": "o0", "strict": "b0"},
	"url_citation":  {"url": "s", "title": "s", "start_index": "n", "end_index": "n"},
	"json_schema":   {"name": "s", "description": "s0", "schema": "o0", "strict": "b"},
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "0"
	case string:
		return "s"
	case float64:
		return "n"
	case bool:
		return "b"
	case []any:
		return "a"
	}
	return "o"
}

// check looks at a value and all in it.
func check(t *testing.T, where string, v any) {
	switch v := v.(type) {
	case []any:
		for _, element := range v {
			check(t, where, element)
		}
	case map[string]any:
		want := parts[stringOf(v["type"])]
		if v["object"] == "response" {
			want = resource
		}
		for name, kinds := range want {
			value, ok := v[name]
			if got := kindOf(value); !ok || !strings.Contains(kinds, got) {
				t.Errorf("%s: %s of %v%v is %q, want one of %q", where, name, v["type"], v["object"], got, kinds)
			}
		}
		for _, member := range v {
			check(t, where, member)
		}
	}
}

func stringOf(v any) string {
	s, _ := v.(string)
	return s
}

// events are a response with all kinds of output.
var events = []neutral.Event{
	{Kind: neutral.Started, ID: "up", Model: "up", Created: 5},
	{Kind: neutral.ThoughtDelta, Text: "hm"},
	{Kind: neutral.ThoughtBreak},
	{Kind: neutral.ThoughtDelta, Text: "well"},
	{Kind: neutral.ThoughtSig, Sig: neutral.Sig{Vendor: "v", Value: "s"}},
	{Kind: neutral.TextDelta, Text: "a"},
	{Kind: neutral.Cited, Citation: &neutral.Citation{URL: "https://a"}},
	{Kind: neutral.RefusalDelta, Text: "no"},
	{Kind: neutral.CallStart, Call: &neutral.ToolCall{ID: "i", ToolRef: neutral.ToolRef{Name: "f"}}},
	{Kind: neutral.CallDelta, Text: "{}", Call: &neutral.ToolCall{ID: "i"}},
	{Kind: neutral.CallEnd, Call: &neutral.ToolCall{ID: "i"}},
}

func TestOpenResponses(t *testing.T) {
	for _, body := range []string{
		`{"model":"m","input":"hi"}`,
		`{"model":"m","input":"hi","instructions":"i","tools":[{"type":"function","name":"f"}],"tool_choice":"required","reasoning":{"effort":"low"},"text":{"format":{"type":"json_schema","name":"n","schema":{}}},"max_output_tokens":5,"temperature":0.5,"metadata":{"a":"b"},"store":true,"truncation":"disabled"}`,
	} {
		client, err := responses.ReadRequest([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		for _, last := range []neutral.Event{
			{Kind: neutral.Finished, Finish: neutral.FinishCalls},
			{Kind: neutral.Finished, Finish: neutral.FinishLength},
			{Kind: neutral.Finished, Finish: neutral.FinishFilter},
			{Kind: neutral.Finished, Finish: neutral.FinishContext},
			{Kind: neutral.Failed, Err: &neutral.Error{Status: 503, Message: "m"}},
		} {
			writer := responses.NewStreamWriter(client, "ID", 1)
			var collector neutral.Collector
			var out []byte
			for _, event := range slices.Concat(events, []neutral.Event{last}) {
				out = writer.Append(out, &event)
				collector.Event(&event)
			}
			checkStream(t, string(out))
			if response := collector.Response(); response.Err == nil {
				var v any
				if err := json.Unmarshal(responses.WriteResponse(client, response, "ID", 1), &v); err != nil {
					t.Fatal(err)
				}
				check(t, "JSON", v)
			}
		}
	}
}

// checkStream checks each event, and that items and their ids agree: one index an
// item, rising, the same id in all of its events and in the last event's output.
func checkStream(t *testing.T, stream string) {
	terminal := 0
	ids := map[float64]string{}
	var output []any
	for n, event := range strings.Split(strings.TrimSuffix(stream, "\n\n"), "\n\n") {
		_, data, _ := strings.Cut(event, "\ndata: ")
		var v map[string]any
		if err := json.Unmarshal([]byte(data), &v); err != nil {
			t.Fatalf("%s: %v", event, err)
		}
		kind := stringOf(v["type"])
		check(t, kind, v)
		if got := v["sequence_number"]; got != float64(n) {
			t.Errorf("%s: number %v, want %d", kind, got, n)
		}
		if index, ok := v["output_index"].(float64); ok {
			id := stringOf(v["item_id"])
			if item, ok := v["item"].(map[string]any); ok {
				id = stringOf(item["id"])
			}
			if known, ok := ids[index]; ok && known != id {
				t.Errorf("%s: the item %v is %q, and was %q", kind, index, id, known)
			}
			ids[index] = id
		}
		if slices.Contains([]string{"response.completed", "response.incomplete", "response.failed"}, kind) {
			terminal++
			output, _ = v["response"].(map[string]any)["output"].([]any)
		}
	}
	if terminal != 1 {
		t.Errorf("%d last events, want 1", terminal)
	}
	for i, item := range output {
		if got, want := stringOf(item.(map[string]any)["id"]), ids[float64(i)]; got != want {
			t.Errorf("the item %d of the output is %q, want %q", i, got, want)
		}
	}
}
