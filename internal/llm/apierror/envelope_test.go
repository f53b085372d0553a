package apierror

import (
	"net/http"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm"
)

func TestEnvelope(t *testing.T) {
	notFound := Error{Status: http.StatusNotFound, Type: "invalid_request_error", Code: "model_not_found", Param: "model", Message: `No "m".`}
	failed := Error{Status: http.StatusBadGateway, Type: "api_error", Message: "x"}
	for _, tc := range []struct {
		err     Error
		dialect llm.Dialect
		want    string
	}{
		{notFound, llm.OpenAI, `{"error":{"code":"model_not_found","message":"No \"m\".","param":"model","type":"invalid_request_error"}}`},
		{notFound, llm.Anthropic, `{"error":{"message":"No \"m\".","type":"not_found_error"},"type":"error"}`},
		{notFound, llm.Gemini, `{"error":{"code":404,"message":"No \"m\".","status":"NOT_FOUND"}}`},
		{failed, llm.OpenAI, `{"error":{"code":null,"message":"x","param":null,"type":"api_error"}}`},
		{failed, llm.Anthropic, `{"error":{"message":"x","type":"api_error"},"type":"error"}`},
		{failed, llm.Gemini, `{"error":{"code":502,"message":"x","status":"UNAVAILABLE"}}`},
	} {
		if got := string(tc.err.Envelope(tc.dialect)); got != tc.want {
			t.Errorf("dialect %d: %s, want %s", tc.dialect, got, tc.want)
		}
	}
}

func TestNames(t *testing.T) {
	for status, want := range map[int][2]string{
		400: {"invalid_request_error", "INVALID_ARGUMENT"},
		401: {"authentication_error", "UNAUTHENTICATED"},
		403: {"permission_error", "PERMISSION_DENIED"},
		404: {"not_found_error", "NOT_FOUND"},
		405: {"invalid_request_error", "INVALID_ARGUMENT"},
		408: {"invalid_request_error", "DEADLINE_EXCEEDED"},
		413: {"request_too_large", "INVALID_ARGUMENT"},
		429: {"rate_limit_error", "RESOURCE_EXHAUSTED"},
		502: {"api_error", "UNAVAILABLE"},
		503: {"overloaded_error", "UNAVAILABLE"},
		507: {"api_error", "INTERNAL"},
	} {
		e := Error{Status: status}
		if got := [2]string{e.anthropicType(), e.googleStatus()}; got != want {
			t.Errorf("%d: %s, want %s", status, got, want)
		}
	}
}
