package apierror

import (
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
)

// Errors of all forms become the events of all dialects.
func TestEvents(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		status     int
		dialect    refusal.Dialect
		want       string
	}{
		{
			"as it came", `{"error": {"message": "x", "type": "requests", "code": "rate_limit_exceeded", "metadata": {"raw": 1}}}`, 429, refusal.DialectChat,
			`data: {"error":{"message":"x","type":"requests","code":"rate_limit_exceeded","metadata":{"raw":1}}}` + "\n\n",
		},
		{
			"Google's list", "[{\"error\":{\n\"code\":429,\n\"message\":\"x\",\"status\":\"RESOURCE_EXHAUSTED\"}}]", 429, refusal.DialectGemini,
			`data: {"error":{"code":429,"message":"x","status":"RESOURCE_EXHAUSTED"}}` + "\n\n",
		},
		{
			"a text", "Forbidden", 403, refusal.DialectChat,
			`data: {"error":{"code":null,"message":"Forbidden","param":null,"type":"invalid_request_error"}}` + "\n\n",
		},
		{
			"a page", "<html>", 502, refusal.DialectMessages,
			"event: error\n" + `data: {"error":{"message":"Bad Gateway","type":"api_error"},"type":"error"}` + "\n\n",
		},
		{
			"overloaded", "", 529, refusal.DialectMessages,
			"event: error\n" + `data: {"error":{"message":"Status 529","type":"overloaded_error"},"type":"error"}` + "\n\n",
		},
		{
			"a request's mistake", `{"error":{"message":"x","type":"invalid_request_error"}}`, 400, refusal.DialectResponses,
			"event: response.failed\n" + `data: {"response":{"created_at":0,"error":{"code":"invalid_prompt","message":"x"},"id":"resp_failed","object":"response","output":[],"status":"failed"},"sequence_number":0,"type":"response.failed"}` + "\n\n",
		},
		{
			"flat", `{"code":"1113","msg":"no credit"}`, 402, refusal.DialectChat,
			`data: {"error":{"code":"1113","message":"no credit","param":null,"type":"invalid_request_error"}}` + "\n\n",
		},
		{
			"a string", `{"error":"boom"}`, 500, refusal.DialectChat,
			`data: {"error":{"code":null,"message":"boom","param":null,"type":"server_error"}}` + "\n\n",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := string(Parse([]byte(tc.text), tc.status).Event(tc.dialect)); got != tc.want {
				t.Errorf("got\n     %s\nwant %s", got, tc.want)
			}
		})
	}
}
