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
// 200 if it is none.
func StatusOfEvent(event eventstream.Event) int {
	if event.Name != "error" && !MayContain(event.Data) {
		return http.StatusOK
	}
	return statusOf(event.Data, true)
}

// StatusOfBody returns the status of the error that the whole body of a response
// stands for, 200 if it is none. A body with an error beside output, or one
// that is not JSON, is none.
func StatusOfBody(text []byte) int {
	if !MayContain(text) {
		return http.StatusOK
	}
	return statusOf(text, false)
}

// MayContain reports whether a JSON text could be an error: whether a field
// named error, or a type of this name, has another value than null. It is
// cheaper than parsing the text, of which almost none is an error.
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
// Gemini, and the fields where their responses have the output.
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

// hasOutput reports whether a response has output, even if it is empty.
func (r *response) hasOutput() bool {
	return r.Choices != nil || r.Content != nil || r.Candidates != nil || r.Output != nil || r.Data != nil
}

// statusOf returns the status that an error's text stands for, or 200 if it is
// none. Unlike a body, an event with an error may have empty output beside it.
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
// statuses that they stand for. The first that fits counts.
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
// with none of these is the server's.
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
