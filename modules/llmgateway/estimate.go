package llmgateway

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
)

// countDialect returns the dialect of a request that counts tokens.
func (q *request) countDialect() neutral.Dialect {
	switch path := q.location.path; {
	case strings.HasSuffix(path, "/count_tokens"):
		return neutral.Messages
	case strings.HasSuffix(path, ":countTokens"):
		return neutral.Gemini
	}
	return neutral.Responses
}

// writeEstimate tells the client how many tokens its request has, about.
// Sources: https://platform.claude.com/docs/en/api/messages-count-tokens,
// https://ai.google.dev/api/tokens and
// https://platform.openai.com/docs/api-reference/responses/input-tokens
func (q *request) writeEstimate(w http.ResponseWriter) {
	tokens := max(1, q.estimateInput())
	var body any
	switch q.countDialect() {
	case neutral.Messages:
		body = map[string]any{"input_tokens": tokens}
	case neutral.Gemini:
		body = map[string]any{"totalTokens": tokens}
	default:
		body = map[string]any{"object": "response.input_tokens", "input_tokens": tokens}
	}
	w.Header()["Content-Type"] = []string{"application/json"}
	w.Header()["X-Gateway-Estimate"] = []string{"true"}
	_ = json.NewEncoder(w).Encode(body) // whoever does not get it has left
}
