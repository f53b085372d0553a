package translate_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/translate"
)

// full are responses with all that a dialect has, as streams.
var full = map[neutral.Dialect]string{
	neutral.Chat: data(role, chunk(`{"reasoning_content":"hm "}`), chunk(`{"reasoning_content":"é"}`), chunk(`{"content":"Hél"}`), chunk(`{"content":"lo 😀"}`),
		chunk(`{"annotations":[{"type":"url_citation","url_citation":{"url":"https://a","title":"A","start_index":0,"end_index":3}}]}`),
		call(`"index":0,`, `"i1"`, `"f"`, `"{\"a\":"`), chunk(`{"tool_calls":[{"index":0,"function":{"arguments":"\"é\"}"}}]}`), call(`"index":1,`, `"i2"`, `"g"`, `"{}"`), called,
		`{"choices":[],"usage":{"prompt_tokens":15305,"completion_tokens":7,"total_tokens":15312,"prompt_tokens_details":{"cached_tokens":15104,"cache_write_tokens":100},"completion_tokens_details":{"reasoning_tokens":3}}}`, "[DONE]"),
	neutral.Gemini: data(`{"candidates":[{"content":{"role":"model","parts":[{"text":"hm é","thought":true}]}}],"usageMetadata":{"promptTokenCount":15305},"modelVersion":"up","responseId":"r"}`,
		`{"candidates":[{"content":{"parts":[{"text":"Hél"}]}}]}`, `{"candidates":[{"content":{"parts":[{"text":"lo 😀"}]}}]}`,
		`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":"é"}},"thoughtSignature":"c2ln"},{"functionCall":{"name":"g","args":{}}}]}}]}`,
		`{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":15305,"cachedContentTokenCount":15104,"candidatesTokenCount":4,"thoughtsTokenCount":3,"totalTokenCount":15312}}`),
}

// TestStreamsCutAnywhere cuts each stream anywhere: what the client gets must not
// depend on it.
func TestStreamsCutAnywhere(t *testing.T) {
	for from, body := range full {
		for _, dialect := range dialects {
			if dialect == from {
				continue
			}
			r := read(t, dialect, least[dialect])
			want := withoutRandom(stream(r, from, body))
			step := 7 // one client of each channel gets all cuts
			if dialect == neutral.Responses || (from == neutral.Responses && dialect == neutral.Messages) {
				step = 1
			}
			for cut := 0; cut <= len(body); cut += step {
				if got := withoutRandom(stream(r, from, body[:cut], body[cut:])); got != want {
					t.Fatalf("%s to %s, cut at %d: got\n%s\nwant\n%s", from, dialect, cut, got, want)
				}
			}
			if got := withoutRandom(stream(r, from, strings.Split(body, "")...)); got != want {
				t.Errorf("%s to %s, byte by byte: got\n%s", from, dialect, got)
			}
		}
	}
}

var randomID = regexp.MustCompile(`call_[0-9a-f]{24}`)

// withoutRandom takes ids out that a provider has not given.
func withoutRandom(s string) string { return randomID.ReplaceAllString(s, "call_x") }

// TestStreamsMean reads what a client got as if it were a channel's: it must mean
// what the channel has said.
func TestStreamsMean(t *testing.T) {
	const want = `H:hm é|T:Héllo 😀|C:f({"a":"é"})|C:g({})|calls`
	for from, body := range full {
		for _, dialect := range dialects {
			r := read(t, dialect, least[dialect])
			got := meaning(translate.Collect(r, how(dialect), []byte(stream(r, from, body))))
			if got != want {
				t.Errorf("%s to %s: got %s, want %s", from, dialect, got, want)
			}
			whole, err := translate.Whole(r, how(from), []byte(body))
			if err != nil {
				t.Fatalf("%s to %s: %v", from, dialect, err)
			}
			if got := meaning(translate.Collect(r, how(dialect), whole)); got != want {
				t.Errorf("%s to %s as JSON: got %s, want %s", from, dialect, got, want)
			}
			if got := meaning(translate.Collect(r, how(dialect), []byte(stream(r, dialect, string(whole))))); got != want {
				t.Errorf("%s, JSON where a stream was asked for: got %s, want %s", dialect, got, want)
			}
		}
	}
}

// TestBrokenStreams cuts each stream off at each event: no client may take it for
// complete.
func TestBrokenStreams(t *testing.T) {
	complete := map[neutral.Dialect]string{
		neutral.Chat: "[DONE]", neutral.Responses: "response.completed", neutral.Messages: "message_stop", neutral.Gemini: "finishReason",
	}
	failure := map[neutral.Dialect]string{
		neutral.Chat: `data: {"error":{`, neutral.Responses: `"type":"response.failed"`, neutral.Messages: "event: error\n", neutral.Gemini: `data: {"error":{"code":502`,
	}
	for from, body := range full {
		events := strings.SplitAfter(body, "\n\n")
		finish := 0
		for i, event := range events {
			if strings.Contains(event, "finish_reason\":\"") || strings.Contains(event, "finishReason") || strings.Contains(event, "message_delta") || strings.Contains(event, "response.completed") {
				finish = i
			}
		}
		for n := range finish {
			for _, dialect := range dialects {
				r := read(t, dialect, least[dialect])
				what := fmt.Sprintf("%s to %s, cut off after %d events", from, dialect, n)
				got := stream(r, from, events[:n]...)
				containsNot(t, what, got, complete[dialect])
				contains(t, what, got, failure[dialect])
				if !strings.HasSuffix(got, "\n\n") {
					t.Errorf("%s: the last event has no end", what)
				}
				if _, err := translate.Whole(r, how(from), []byte(strings.Join(events[:n], ""))); err == nil {
					t.Errorf("%s: as JSON there is no error", what)
				}
			}
		}
	}
}

// TestUsage has the figures of new-api#5850: cached tokens were counted twice, and
// Claude Code compacted too early.
func TestUsage(t *testing.T) {
	want := map[neutral.Dialect][]string{
		neutral.Messages:  {`"input_tokens":101,"cache_creation_input_tokens":100,"cache_read_input_tokens":15104,"output_tokens":7,"output_tokens_details":{"thinking_tokens":3}`},
		neutral.Responses: {`"input_tokens":15305,"input_tokens_details":{"cached_tokens":15104,"cache_write_tokens":100},"output_tokens":7,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":15312`},
		neutral.Gemini:    {`"promptTokenCount":15305,"candidatesTokenCount":4,"totalTokenCount":15312,"cachedContentTokenCount":15104,"thoughtsTokenCount":3`},
		neutral.Chat:      {`"prompt_tokens":15305,"completion_tokens":7,"total_tokens":15312,"prompt_tokens_details":{"cached_tokens":15104`, `"completion_tokens_details":{"reasoning_tokens":3}`},
	}
	for dialect, parts := range want {
		r := read(t, dialect, least[dialect])
		for _, part := range parts {
			contains(t, string(dialect), stream(r, neutral.Chat, full[neutral.Chat]), part)
		}
	}
	contains(t, "without details", stream(read(t, neutral.Responses, least[neutral.Responses]), neutral.Chat, data(chunk(`{"content":"a"}`), stopped)),
		`"usage":{"input_tokens":0,"input_tokens_details":{"cached_tokens":0},"output_tokens":0,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":0}`)
}

// TestCachedExceedsInput has a provider that counts its cache beside the input.
func TestCachedExceedsInput(t *testing.T) {
	body := data(chunk(`{"content":"a"}`), stopped, `{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":9}}}`)
	contains(t, "never below 0", stream(read(t, neutral.Messages, least[neutral.Messages]), neutral.Chat, body), `"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":9`)
}

// TestForms has what single clients break on.
func TestForms(t *testing.T) {
	gemini := stream(read(t, neutral.Gemini, least[neutral.Gemini]), neutral.Chat, full[neutral.Chat])
	for _, line := range strings.Split(gemini, "\n") {
		if line != "" && !strings.HasPrefix(line, "data: {") {
			t.Errorf("gemini: the line %q makes its event vanish", line)
		}
	}
	messages := stream(read(t, neutral.Messages, least[neutral.Messages]), neutral.Chat, full[neutral.Chat])
	for _, event := range strings.Split(strings.TrimSuffix(messages, "\n\n"), "\n\n") {
		name, rest, _ := strings.Cut(strings.TrimPrefix(event, "event: "), "\n")
		if !strings.HasPrefix(rest, `data: {"type":"`+name+`"`) {
			t.Errorf("messages: the event %q has another type in it", event)
		}
	}
	contains(t, "messages: a call's start has no input", messages, `"content_block":{"type":"tool_use","id":"i1","name":"f","input":{}}`)
	responses := stream(read(t, neutral.Responses, least[neutral.Responses]), neutral.Chat, full[neutral.Chat])
	for n, event := range strings.Split(strings.TrimSuffix(responses, "\n\n"), "\n\n") {
		contains(t, "responses: numbers rise from 0", event, fmt.Sprintf(`"sequence_number":%d,`, n))
	}
	contains(t, "responses: ends of items", responses, "event: response.output_item.done")
	chat := stream(read(t, neutral.Chat, strings.Replace(least[neutral.Chat], `,"stream_options":{"include_usage":true}`, "", 1)), neutral.Gemini, full[neutral.Gemini])
	containsNot(t, "chat: usage that nobody has asked for", chat, "usage")
	contains(t, "chat: role first", chat, `"delta":{"role":"assistant"`)
	contains(t, "chat: type in a call's first delta", chat, `"type":"function"`)
}

// TestModelName checks that the client sees the name that it has asked for.
func TestModelName(t *testing.T) {
	for from, body := range full {
		for _, dialect := range dialects {
			r := read(t, dialect, least[dialect])
			r.Model = "asked-for"
			got := stream(r, from, body)
			contains(t, string(from)+" to "+string(dialect), got, `"asked-for"`)
			containsNot(t, string(from)+" to "+string(dialect), got, `"up"`)
			whole, err := translate.Whole(r, how(from), []byte(body))
			if err != nil {
				t.Fatalf("%s to %s: %v", from, dialect, err)
			}
			contains(t, string(from)+" to "+string(dialect)+" as JSON", string(whole), `"asked-for"`)
			containsNot(t, string(from)+" to "+string(dialect)+" as JSON", string(whole), `"up"`)
		}
	}
}
