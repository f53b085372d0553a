package llmgateway

import (
	"strings"

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
