package llmgateway

import (
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
)

// dialect returns the API that the channel's response is in.
func (c *call) dialect() refusal.Dialect {
	if c.translation.isSet() {
		return c.translation.to.outputDialect()
	}
	return c.request.dialect()
}

// dialect returns the API that the response is in. It decides what counts as
// output. Requests that have none, such as those that count tokens, are in no
// dialect of a chat.
func (q *request) dialect() refusal.Dialect {
	path := q.location.path
	switch {
	case strings.HasSuffix(path, "/completions"):
		return refusal.DialectChat
	case strings.HasSuffix(path, "/responses"):
		return refusal.DialectResponses
	case strings.HasSuffix(path, "/messages"):
		return refusal.DialectMessages
	case strings.HasSuffix(q.inPath.after, ":generateContent"), q.inPath.streams():
		return refusal.DialectGemini
	}
	return refusal.DialectOther
}

// asksForOutput reports whether the request asks a model for output, so that
// fields such as max_tokens may be added.
func (q *request) asksForOutput() bool {
	path := q.location.path
	if i := strings.LastIndexByte(path, ':'); i > 0 {
		return strings.HasSuffix(path[i:], "enerateContent")
	}
	return isCompletions(path) || path == "/v1/messages" || path == "/v1/responses"
}

// clientDialect returns the dialect that the request is in, "" for requests that
// are never translated, such as those for embeddings.
func (q *request) clientDialect() neutral.Dialect {
	switch q.dialect() {
	case refusal.DialectChat:
		if strings.HasSuffix(q.location.path, "/chat/completions") {
			return neutral.Chat
		}
	case refusal.DialectResponses:
		return neutral.Responses
	case refusal.DialectMessages:
		return neutral.Messages
	case refusal.DialectGemini:
		return neutral.Gemini
	}
	return ""
}
