package apierror

import (
	"encoding/json"
	"net/http"

	"github.com/caddy-freetier/caddy-freetier/internal/llm"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
)

// Body returns the JSON body of the error in the dialect of a response. The fields
// that a provider has sent stay as they are.
//
// For Responses they do not: an error that ends a stream stands in response.failed there,
// with a code and a message only (failedResponse).
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

// envelopeOf returns the form of errors that a dialect of responses has. The three
// forms are fewer than the dialects: chat, Responses and all other endpoints have
// OpenAI's.
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
// takes the event error for a lost connection, and asks five times more.
//
// Nothing may follow it, no message_stop and no [DONE]: a stream that has failed must
// not end as if it were complete, or an agent acts on half an answer. The number of
// response.failed is 0, though events came before it: of a stream that is passed on, the
// gateway does not read the numbers.
//
// Gemini's clients get a data line without a name, as chat's do: Google's SDK loses an
// event before whose data line another line stands.
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

// Stream returns the events of a stream in which there is nothing but the error. It
// serves requests whose stream the gateway has begun with a heartbeat before a channel
// refused them: the status is 200 by then, and the refusal can only be an event.
//
// Those of Responses begin with response.created, without which OpenAI's SDKs do
// not look at what follows ("expected response.created"). The other dialects take an
// error as the first event.
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

// responsesEvent returns an event about a response in which there is nothing. The
// response's fields stand under `response`, never at the top level, where Codex does
// not look for them, and the type stands in the data as well as in the event's name.
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
// decides whether it asks again. context_length_exceeded, insufficient_quota,
// invalid_prompt and server_is_overloaded end its turn at once; after
// rate_limit_exceeded and all others it asks five times more (tried with Codex 0.169).
// So an error of the request itself is invalid_prompt, or it would be sent six times.
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
