package llmgateway

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// event is the first event of a stream.
type event struct {
	found bool
	name  string
	data  []byte
}

// firstEvent finds the first event that says something: comments and pings
// only keep the connection alive. at is where to look on when more has come;
// whole says that p ends where an event does.
// Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
func firstEvent(p []byte, whole bool) (e event, at int) {
	for next := 0; next < len(p); {
		line, _, ended := bytes.Cut(p[next:], []byte("\n"))
		if !ended && !whole {
			return event{}, at
		}
		next = min(next+len(line)+1, len(p))
		line = bytes.TrimSuffix(line, []byte("\r"))
		if value, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			e.data = append(e.data, value...)
		} else if value, ok := bytes.CutPrefix(line, []byte("event:")); ok {
			e.name = string(bytes.TrimSpace(value))
		}
		if len(line) > 0 && (!whole || next < len(p)) {
			continue
		}
		if len(e.data) > 0 && e.name != "ping" {
			e.found = true
			return e, next
		}
		e, at = event{}, next
	}
	return event{}, at
}

// status returns the status of the error that the event is, or 200.
func (e event) status() int {
	if e.name != "error" && !mayBeError(e.data) {
		return http.StatusOK
	}
	return statusOf(e.data, true)
}

// mayBeError tells cheaply whether a JSON text could be an error: whether an
// `error` in it, or a type of this name, has a value.
func mayBeError(text []byte) bool {
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

// wholeError is an answer that is nothing but an error, in the forms of
// OpenAI, Anthropic and Gemini. What an answer has is noted beside it.
type wholeError struct {
	Type  string `json:"type"`
	Error any    `json:"error"`
	Code  any    `json:"code"`

	Choices    json.RawMessage `json:"choices"`
	Content    json.RawMessage `json:"content"`
	Candidates json.RawMessage `json:"candidates"`
	Output     json.RawMessage `json:"output"`
	Data       json.RawMessage `json:"data"`
}

func (e *wholeError) hasAnswer() bool {
	return e.Choices != nil || e.Content != nil || e.Candidates != nil || e.Output != nil || e.Data != nil
}

// statusOf returns the status that an error's text stands for, or 200 if it is
// none. As an event an error may have an empty answer beside it.
func statusOf(text []byte, isEvent bool) int {
	text = bytes.TrimSpace(text)
	if list, ok := bytes.CutPrefix(text, []byte("[")); ok {
		text = bytes.TrimSuffix(list, []byte("]")) // Gemini's streams without alt=sse
	}
	var e wholeError
	if json.Unmarshal(text, &e) != nil || !isEvent && e.hasAnswer() {
		return http.StatusOK
	}
	switch object := e.Error.(type) {
	case map[string]any:
		return errorStatus(object["code"], object["status"], object["type"])
	case string:
		if object != "" {
			return errorStatus(e.Code, object)
		}
	}
	if e.Type == "error" {
		return errorStatus(e.Code)
	}
	return http.StatusOK
}

// errorWords say which status an error's code or type stands for.
var errorWords = []struct {
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

// errorStatus returns the status that the words of an error stand for.
func errorStatus(words ...any) int {
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
			for _, known := range errorWords {
				if strings.Contains(strings.ToLower(word), known.word) {
					return known.status
				}
			}
		}
	}
	return http.StatusInternalServerError
}
