package llmgateway

import (
	"net/http"
	"strings"
)

// dialect is the API that a client speaks. What the gateway says itself is in
// the client's dialect; between dialects nothing is translated.
type dialect int

const (
	openAI dialect = iota
	anthropic
	gemini
)

// dialectOf tells a client's dialect by the path that it asks for, and, where
// the paths are the same, by the header that Anthropic's SDKs send.
func dialectOf(r *http.Request) dialect {
	path := r.URL.Path
	switch {
	case strings.Contains(path, "/v1/messages"), r.Header["Anthropic-Version"] != nil:
		return anthropic
	case strings.HasPrefix(path, "/v1beta/openai/"):
		return openAI
	case strings.HasPrefix(path, "/v1beta/"), strings.HasPrefix(path, "/upload/"), strings.HasPrefix(path, "/download/"), r.Method == http.MethodPost && isMethod(path):
		return gemini
	}
	return openAI
}

// isMethod tells whether a path ends with a model and what it is to do, such
// as /v1/models/gemini-2.5-flash:generateContent.
func isMethod(path string) bool {
	return strings.Contains(path, "/models/") && strings.Contains(path[strings.LastIndexByte(path, '/'):], ":")
}
