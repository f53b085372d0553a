// Package llm and the packages below it hold what is known of the APIs of
// language models: whose API a request speaks, what their errors, event
// streams and rate limits look like, and what a response has cost. Nothing in
// it knows Caddy or the gateway's configuration.
package llm

import (
	"net/http"
	"strings"
)

// Dialect is the API that a client speaks. Responses of the gateway's own,
// such as errors and lists of models, are in the client's dialect.
type Dialect int

const (
	OpenAI    Dialect = iota // and all that are compatible with it
	Anthropic                // /v1/messages
	Gemini                   // Google's Gemini API, under /v1beta
)

// DialectOf returns the dialect of a request. The path decides; where paths are
// the same in two dialects, such as /v1/models, the header does that
// Anthropic's SDKs send with each request.
// Sources: https://platform.openai.com/docs/api-reference,
// https://docs.anthropic.com/en/api/versioning and https://ai.google.dev/api
func DialectOf(method, path string, header http.Header) Dialect {
	switch {
	case strings.Contains(path, "/v1/messages"), header["Anthropic-Version"] != nil:
		return Anthropic
	case strings.HasPrefix(path, "/v1beta/openai/"):
		return OpenAI
	case strings.HasPrefix(path, "/v1beta/"), strings.HasPrefix(path, "/upload/"), strings.HasPrefix(path, "/download/"):
		return Gemini
	case method == http.MethodPost && namesMethod(path):
		return Gemini
	}
	return OpenAI
}

// namesMethod reports whether a path ends with a model and the method to call,
// such as /v1/models/gemini-2.5-flash:generateContent.
func namesMethod(path string) bool {
	return strings.Contains(path, "/models/") && strings.Contains(path[strings.LastIndexByte(path, '/'):], ":")
}
