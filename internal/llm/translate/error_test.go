package translate_test

import (
	"fmt"
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
		{`{"error":{"message":"m","code":400}}`, `"error":{"code":"invalid_prompt","message":"m"}`},
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

// TestStatuses has what each status is called in each dialect.
func TestStatuses(t *testing.T) {
	for status, want := range map[int]struct{ chat, code, messages, gemini string }{
		400: {"invalid_request_error", "null", "invalid_request_error", "INVALID_ARGUMENT"},
		401: {"invalid_request_error", `"invalid_api_key"`, "authentication_error", "UNAUTHENTICATED"},
		402: {"invalid_request_error", `"insufficient_quota"`, "billing_error", "PERMISSION_DENIED"},
		403: {"invalid_request_error", "null", "permission_error", "PERMISSION_DENIED"},
		404: {"invalid_request_error", `"model_not_found"`, "not_found_error", "NOT_FOUND"},
		408: {"invalid_request_error", "null", "timeout_error", "DEADLINE_EXCEEDED"},
		413: {"invalid_request_error", "null", "request_too_large", "INVALID_ARGUMENT"},
		429: {"rate_limit_error", `"rate_limit_exceeded"`, "rate_limit_error", "RESOURCE_EXHAUSTED"},
		500: {"server_error", `"server_error"`, "api_error", "INTERNAL"},
		502: {"server_error", `"server_error"`, "api_error", "UNAVAILABLE"},
		503: {"server_error", `"server_is_overloaded"`, "overloaded_error", "UNAVAILABLE"},
		504: {"server_error", `"server_error"`, "timeout_error", "DEADLINE_EXCEEDED"},
		529: {"server_error", `"server_is_overloaded"`, "overloaded_error", "UNAVAILABLE"},
	} {
		e := neutral.ReadError(status, []byte(`{"error":{"message":"m"}}`))
		for dialect, body := range map[neutral.Dialect]string{
			neutral.Chat:     fmt.Sprintf(`{"error":{"message":"m","type":%q,"param":null,"code":%s}}`, want.chat, want.code),
			neutral.Messages: fmt.Sprintf(`{"type":"error","error":{"type":%q,"message":"m"}}`, want.messages),
			neutral.Gemini:   fmt.Sprintf(`{"error":{"code":%d,"message":"m","status":%q}}`, status, want.gemini),
		} {
			if got := string(translate.WriteError(dialect, e)); got != body {
				t.Errorf("%d in %s: got %s, want %s", status, dialect, got, body)
			}
		}
	}
}

// TestStatusesOfWords has errors in the middle of a stream, which have no status of
// HTTP: their types, codes and names say it.
func TestStatusesOfWords(t *testing.T) {
	for word, want := range map[string]int{
		"overloaded_error": 529, "rate_limit_error": 429, "insufficient_quota": 429, "RESOURCE_EXHAUSTED": 429, "authentication_error": 401, "UNAUTHENTICATED": 401,
		"billing_error": 402, "permission_error": 403, "PERMISSION_DENIED": 403, "not_found_error": 404, "request_too_large": 413, "context_length_exceeded": 400,
		"invalid_request_error": 400, "UNAVAILABLE": 503, "timeout_error": 504, "DEADLINE_EXCEEDED": 504, "content_filter": 400, "api_error": 500,
	} {
		for _, field := range []string{"type", "code", "status"} {
			e := neutral.ReadError(0, []byte(`{"error":{"message":"m","`+field+`":"`+word+`"}}`))
			if got := e.StatusOr(500); got != want {
				t.Errorf("%s %s: got %d, want %d", field, word, got, want)
			}
		}
	}
	for _, number := range []int{400, 429, 503} {
		e := neutral.ReadError(0, fmt.Appendf(nil, `{"error":{"message":"m","code":%d}}`, number))
		if got := e.StatusOr(500); got != number {
			t.Errorf("code %d: got %d", number, got)
		}
	}
}
