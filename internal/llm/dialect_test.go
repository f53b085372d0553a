package llm

import (
	"net/http"
	"testing"
)

func TestDialectOf(t *testing.T) {
	version := http.Header{"Anthropic-Version": {"2023-06-01"}}
	for _, tc := range []struct {
		method, path string
		header       http.Header
		want         Dialect
	}{
		{"POST", "/v1/chat/completions", nil, OpenAI},
		{"POST", "/v1/responses", nil, OpenAI},
		{"GET", "/v1/models", nil, OpenAI},
		{"GET", "/v1/models", version, Anthropic},
		{"GET", "/v1/models", http.Header{"Anthropic-Beta": {"x"}}, OpenAI},
		{"POST", "/v1/messages", nil, Anthropic},
		{"POST", "/anthropic/v1/messages/count_tokens", nil, Anthropic},
		{"POST", "/v1beta/openai/chat/completions", nil, OpenAI},
		{"GET", "/v1beta/models", nil, Gemini},
		{"GET", "/v1beta/models", version, Anthropic},
		{"POST", "/upload/v1beta/files", nil, Gemini},
		{"GET", "/download/v1beta/files/a:download", nil, Gemini},
		{"POST", "/v1/models/gemini-2.5-flash:generateContent", nil, Gemini},
		{"POST", "/v1/models/a/b:countTokens", nil, Gemini},
		{"POST", "/v1/models/a:b/c", nil, OpenAI},
		{"GET", "/v1/models/deepseek:free", nil, OpenAI},
		{"POST", "", nil, OpenAI},
	} {
		if got := DialectOf(tc.method, tc.path, tc.header); got != tc.want {
			t.Errorf("%s %s with %v: dialect %d, want %d", tc.method, tc.path, tc.header, got, tc.want)
		}
	}
}
