package translate_test

import (
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/translate"
)

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   map[neutral.Dialect]string
	}{
		{"a rate limit of chat", 429, `{"error":{"message":"slow down","type":"tokens","param":null,"code":"rate_limit_exceeded"}}`, map[neutral.Dialect]string{
			neutral.Chat:     `{"error":{"message":"slow down","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}`,
			neutral.Messages: `{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}`,
			neutral.Gemini:   `{"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED"}}`,
		}},
		{"Google's array", 400, `[{"error":{"code":400,"message":"bad","status":"INVALID_ARGUMENT"}}]`, map[neutral.Dialect]string{
			neutral.Responses: `{"error":{"message":"bad","type":"invalid_request_error","param":null,"code":null}}`,
			neutral.Messages:  `{"type":"error","error":{"type":"invalid_request_error","message":"bad"}}`,
		}},
		{"Anthropic's overload", 529, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, map[neutral.Dialect]string{
			neutral.Chat:   `{"error":{"message":"Overloaded","type":"server_error","param":null,"code":"server_is_overloaded"}}`,
			neutral.Gemini: `{"error":{"code":529,"message":"Overloaded","status":"UNAVAILABLE"}}`,
		}},
		{"the context of OpenAI", 400, `{"error":{"message":"This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.","type":"invalid_request_error","code":"context_length_exceeded"}}`, map[neutral.Dialect]string{
			neutral.Messages:  `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9000 tokens > 8192 maximum"}}`,
			neutral.Responses: `{"error":{"message":"This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.","type":"invalid_request_error","param":null,"code":"context_length_exceeded"}}`,
		}},
		{"the context of Google", 400, `{"error":{"code":400,"message":"The input token count (1,200,000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}`, map[neutral.Dialect]string{
			neutral.Messages: `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 1200000 tokens > 1048576 maximum"}}`,
		}},
		{"a text", 500, `{"error":"boom"}`, map[neutral.Dialect]string{neutral.Messages: `{"type":"error","error":{"type":"api_error","message":"boom"}}`}},
		{"a page", 502, `<html>`, map[neutral.Dialect]string{neutral.Gemini: `{"error":{"code":502,"message":"The provider sent a page in place of a response","status":"UNAVAILABLE"}}`}},
		{"nothing", 404, ``, map[neutral.Dialect]string{neutral.Chat: `{"error":{"message":"Not Found","type":"invalid_request_error","param":null,"code":"model_not_found"}}`}},
		{"no status", 0, `{"error":{"type":"authentication_error","message":"no"}}`, map[neutral.Dialect]string{neutral.Gemini: `{"error":{"code":401,"message":"no","status":"UNAUTHENTICATED"}}`}},
		{"detail", 422, `{"detail":[{"msg":"extra"}]}`, map[neutral.Dialect]string{neutral.Chat: `{"error":{"message":"[{\"msg\":\"extra\"}]","type":"invalid_request_error","param":null,"code":null}}`}},
	} {
		for dialect, want := range c.want {
			if got := string(translate.WriteError(dialect, neutral.ReadError(c.status, []byte(c.body)))); got != want {
				t.Errorf("%s to %s: got %s, want %s", c.name, dialect, got, want)
			}
		}
	}
}

// TestFailuresInStreams has the codes by which Codex decides whether to ask again.
func TestFailuresInStreams(t *testing.T) {
	for _, c := range []struct{ event, want string }{
		{`{"error":{"message":"m","code":429}}`, `"error":{"code":"rate_limit_exceeded","message":"m"}`},
		{`{"error":{"message":"maximum context length is 5"}}`, `"error":{"code":"context_length_exceeded","message":"maximum context length is 5"}`},
		{`{"error":{"message":"m","type":"overloaded_error"}}`, `"error":{"code":"server_is_overloaded","message":"m"}`},
		{`{"error":{"message":"m","code":402}}`, `"error":{"code":"insufficient_quota","message":"m"}`},
		{`{"error":{"message":"m"}}`, `"error":{"code":"server_error","message":"m"}`},
	} {
		got := stream(read(t, neutral.Responses, least[neutral.Responses]), neutral.Chat, data(role, chunk(`{"content":"a"}`), c.event))
		contains(t, c.event, got, c.want)
		contains(t, c.event, got, `event: response.failed`)
		containsNot(t, c.event, got, "event: error")
	}
}

// TestOwnFailure ends a stream with an error of the gateway's.
func TestOwnFailure(t *testing.T) {
	s := translate.NewStream(read(t, neutral.Messages, least[neutral.Messages]), how(neutral.Chat))
	out := string(s.Fail(s.Append(nil, []byte(data(chunk(`{"content":"a"}`)))), &neutral.Error{Status: 504, Message: "late"}))
	contains(t, "messages", out, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"timeout_error\",\"message\":\"late\"}}\n\n")
	if more := s.End(s.Append(nil, []byte(data(stopped)))); len(more) > 0 {
		t.Errorf("after the failure came %q", more)
	}
	if err := s.Err(); err == nil || err.Status != 504 {
		t.Errorf("got error %v, want one of status 504", err)
	}
}
