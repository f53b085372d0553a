package llmgateway

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/usage"
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

const (
	// expectedOutput is how many tokens of output a request reserves, unless that
	// is more than a sixteenth of a limit.
	expectedOutput = 4096
	// smallBody is how long a request may be that is taken for text without
	// looking at it, in bytes.
	smallBody = 64 << 10
)

// writeEstimate responds with an estimate of the request's tokens.
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

// isTokenCount reports whether the request only asks how many tokens it has,
// which costs none.
func (q *request) isTokenCount() bool {
	path := q.location.path
	return strings.HasSuffix(path, "/count_tokens") || strings.HasSuffix(path, ":countTokens") || strings.HasSuffix(path, "/responses/input_tokens")
}

// expectedTokens is what a request under way is expected to use.
func (q *request) expectedTokens() int64 {
	output := int64(expectedOutput)
	for _, m := range q.client.tokens {
		output = min(output, m.Limit()/16)
	}
	if q.hasBody() && q.body.Len() <= smallBody {
		return q.body.Len()/usage.TextBytes + output
	}
	return q.estimateInput() + output
}

// estimateInput estimates the tokens of the request's body.
func (q *request) estimateInput() int64 {
	switch {
	case !q.hasBody():
		return 0
	case q.form != nil:
		return usage.EstimateForm(q.body.Len())
	case q.opaque:
		return usage.EstimateMedia(q.body.Len())
	}
	body, _ := q.body.Open()
	defer body.Close()
	tokens, err := usage.EstimateJSON(body)
	if err != nil {
		return q.body.Len() / usage.TextBytes
	}
	return tokens
}
