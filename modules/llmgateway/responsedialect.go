package llmgateway

import (
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
)

// dialect returns the API that the channel's response is in.
func (a *attempt) dialect() refusal.Dialect {
	if a.translation.isSet() {
		return a.translation.to.outputDialect()
	}
	return a.request.dialect()
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
