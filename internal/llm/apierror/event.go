package apierror

import (
	"encoding/json"
	"net/http"

	"github.com/caddy-freetier/caddy-freetier/internal/llm"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
)

// Body returns the JSON body of the error in the dialect of a response. The fields
// that a provider has sent stay as they are.
func (e *Error) Body(d refusal.Dialect) []byte {
	var body any
	switch {
	case e.raw == nil || d == refusal.DialectResponses:
		return e.Envelope(envelopeOf(d))
	case d == refusal.DialectMessages:
		body = map[string]any{"type": "error", "error": e.raw}
	default:
		body = map[string]any{"error": e.raw}
	}
	text, err := json.Marshal(body)
	if err != nil {
		return e.Envelope(envelopeOf(d))
	}
	return text
}

func envelopeOf(d refusal.Dialect) llm.Dialect {
	switch d {
	case refusal.DialectMessages:
		return llm.Anthropic
	case refusal.DialectGemini:
		return llm.Gemini
	}
	return llm.OpenAI
}

// Event returns the error as the event that ends a stream which has failed. SDKs
// and agents raise an error at it. For Responses that is response.failed: Codex
// takes the event error for a lost connection.
//
// Sources: https://platform.openai.com/docs/api-reference/responses-streaming,
// https://docs.anthropic.com/en/docs/build-with-claude/streaming#error-events
func (e *Error) Event(d refusal.Dialect) []byte {
	switch d {
	case refusal.DialectResponses:
		return e.failedResponse(0)
	case refusal.DialectMessages:
		return append(append([]byte("event: error\ndata: "), e.Body(d)...), "\n\n"...)
	}
	return append(append([]byte("data: "), e.Body(d)...), "\n\n"...)
}

// Stream returns the events of a stream in which there is nothing but the error.
// Those of Responses begin with response.created, without which OpenAI's SDKs do
// not look at what follows.
func (e *Error) Stream(d refusal.Dialect) []byte {
	if d != refusal.DialectResponses {
		return e.Event(d)
	}
	return append(responsesEvent("response.created", 0, "in_progress", nil), e.failedResponse(1)...)
}

// failedResponse returns the event response.failed.
func (e *Error) failedResponse(number int) []byte {
	return responsesEvent("response.failed", number, "failed", map[string]any{"code": e.responsesCode(), "message": e.Message})
}

// responsesEvent returns an event about a response in which there is nothing.
func responsesEvent(name string, number int, status string, failure any) []byte {
	text, err := json.Marshal(map[string]any{
		"type":            name,
		"sequence_number": number,
		"response": map[string]any{
			"id": "resp_failed", "object": "response", "created_at": 0, "status": status, "output": []any{}, "error": failure,
		},
	})
	if err != nil {
		return nil // cannot happen: texts and numbers only
	}
	return append(append([]byte("event: "+name+"\ndata: "), text...), "\n\n"...)
}

// responsesCode returns the code of the error for Responses, by which Codex
// decides whether it asks again: not after invalid_prompt.
func (e *Error) responsesCode() string {
	switch {
	case e.Code != "":
		return e.Code
	case e.Status == http.StatusTooManyRequests:
		return "rate_limit_exceeded"
	case e.Status >= 500, e.Status == http.StatusRequestTimeout:
		return "server_error"
	}
	return "invalid_prompt"
}
