package apierror

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/eventstream"
)

// StatusOfEvent returns the status of the error that an event of a stream stands for,
// 200 if it is none. It is treated as if the response had come with this status, so that
// a rate limit inside of a stream cools the key down as a 429 does, and another
// candidate is asked as long as the stream had no output.
func StatusOfEvent(event eventstream.Event) int {
	if event.Name != "error" && !MayContain(event.Data) {
		return http.StatusOK
	}
	return statusOf(event.Data, true)
}

// StatusOfBody returns the status of the error that the whole body of a response
// stands for, 200 if it is none. A body with an error beside output, or one
// that is not JSON, is none: what there is of an answer goes to the client.
func StatusOfBody(text []byte) int {
	if !MayContain(text) {
		return http.StatusOK
	}
	return statusOf(text, false)
}

// MayContain reports whether a JSON text could be an error: whether a field
// named error, or a type of this name, has another value than null. It is
// cheaper than parsing the text, of which almost none is an error. It may say true for
// a text that is none, such as one that has "error" as a value.
func MayContain(text []byte) bool {
	for {
		_, rest, ok := bytes.Cut(text, []byte(`"error"`))
		if !ok {
			return false
		}
		text = bytes.TrimLeft(rest, " \t\r\n:")
		if len(text) == 0 || text[0] != 'n' {
			return true
		}
	}
}

// response has the fields of an error in the forms of OpenAI, Anthropic and
// Gemini, and the fields where their responses have the output. Error is an object, or
// the message itself; Code belongs to the latter form.
type response struct {
	Type  string `json:"type"`
	Error any    `json:"error"`
	Code  any    `json:"code"`

	// Response is in the event response.failed of OpenAI's Responses.
	Response *struct {
		Error any `json:"error"`
	} `json:"response"`

	Choices    json.RawMessage `json:"choices"`
	Content    json.RawMessage `json:"content"`
	Candidates json.RawMessage `json:"candidates"`
	Output     json.RawMessage `json:"output"`
	Data       json.RawMessage `json:"data"`
}

// hasOutput reports whether a response has output, even if it is empty: choices of
// chat, content of messages, candidates of Gemini, output of Responses, and data of
// embeddings and lists.
func (r *response) hasOutput() bool {
	return r.Choices != nil || r.Content != nil || r.Candidates != nil || r.Output != nil || r.Data != nil
}

// statusOf returns the status that an error's text stands for, or 200 if it is
// none. Unlike a body, an event with an error may have empty output beside it, as
// OpenRouter's chunk with `"finish_reason":"error"` has.
func statusOf(text []byte, isEvent bool) int {
	text = bytes.TrimSpace(text)
	if list, ok := bytes.CutPrefix(text, []byte("[")); ok {
		text = bytes.TrimSuffix(list, []byte("]")) // Gemini's streams without alt=sse
	}
	var r response
	if json.Unmarshal(text, &r) != nil || (!isEvent && r.hasOutput()) {
		return http.StatusOK
	}
	if r.Error == nil && isEvent && r.Response != nil {
		r.Error = r.Response.Error
	}
	switch object := r.Error.(type) {
	case map[string]any:
		return statusOfWords(object["code"], object["status"], object["type"])
	case string:
		if object != "" {
			return statusOfWords(r.Code, object)
		}
	}
	if r.Type == "error" {
		return statusOfWords(r.Code)
	}
	return http.StatusOK
}

// wordStatuses are parts of the codes and types of errors, in lower case, and the
// statuses that they stand for. The first that fits counts, so the order matters:
// api_key comes before invalid because of invalid_api_key. Anthropic's overloaded_error
// fits none and is 500, as is everything unknown: a fault of the server's, which another
// channel may not have.
// Sources: https://platform.openai.com/docs/guides/error-codes,
// https://docs.anthropic.com/en/api/errors and
// https://cloud.google.com/apis/design/errors
var wordStatuses = []struct {
	word   string
	status int
}{
	{"rate_limit", http.StatusTooManyRequests},
	{"rate limit", http.StatusTooManyRequests},
	{"quota", http.StatusTooManyRequests},
	{"exhausted", http.StatusTooManyRequests},
	{"too_many", http.StatusTooManyRequests},
	{"authentication", http.StatusUnauthorized},
	{"api_key", http.StatusUnauthorized},
	{"billing", http.StatusPaymentRequired},
	{"permission", http.StatusForbidden},
	{"invalid", http.StatusBadRequest},
	{"not_found", http.StatusNotFound},
	{"context_length", http.StatusBadRequest},
	{"content_", http.StatusBadRequest}, // content_filter, content_policy_violation
}

// statusOfWords returns the status that the first known one of an error's code,
// status, type or text stands for: a number, one in a text, or words. An error
// with none of these is the server's. Numbers that are no status of an error, such as
// a provider's own code 1113, are passed over, and the next word decides.
func statusOfWords(words ...any) int {
	for _, word := range words {
		switch word := word.(type) {
		case float64:
			if word >= 400 && word <= 599 {
				return int(word)
			}
		case string:
			if n, err := strconv.Atoi(word); err == nil && n >= 400 && n <= 599 {
				return n
			}
			for _, known := range wordStatuses {
				if strings.Contains(strings.ToLower(word), known.word) {
					return known.status
				}
			}
		}
	}
	return http.StatusInternalServerError
}
