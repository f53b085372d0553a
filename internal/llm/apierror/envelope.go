package apierror

import (
	"encoding/json"
	"net/http"

	"github.com/caddy-freetier/caddy-freetier/internal/llm"
)

// Error is an error that can be written in every dialect, so that the client's
// SDK raises the right exception. An Error is not changed once it is made: those of the
// gateway that need no arguments are package variables, which all requests share.
type Error struct {
	Status  int    // HTTP's, which decides the names in Anthropic's and Google's dialects
	Type    string // OpenAI's `type`
	Code    string // OpenAI's `code`, null if empty
	Param   string // OpenAI's `param`, null if empty
	Message string // for people

	// raw is the object `error` as a provider has sent it, nil if the error is the
	// gateway's or came in no form with such an object. Body repeats it, with members
	// that no dialect has, such as OpenRouter's `metadata`, which says what failed.
	raw json.RawMessage
}

// Envelope returns the JSON body of the error in a dialect, as a response with
// e.Status has it. Members that a provider has added are not in it: see Body.
//
// param and code are null where they are unknown, as OpenAI's API sends them. Anthropic's
// request_id is left out: it would name nothing that anybody can look up.
func (e *Error) Envelope(dialect llm.Dialect) []byte {
	var envelope any
	switch dialect {
	case llm.Anthropic:
		envelope = map[string]any{
			"type":  "error",
			"error": map[string]any{"type": e.anthropicType(), "message": e.Message},
		}
	case llm.Gemini:
		envelope = map[string]any{"error": map[string]any{
			"code":    e.Status,
			"message": e.Message,
			"status":  e.googleStatus(),
		}}
	default:
		envelope = map[string]any{"error": map[string]any{
			"message": e.Message,
			"type":    e.Type,
			"param":   nullable(e.Param),
			"code":    nullable(e.Code),
		}}
	}
	body, err := json.Marshal(envelope)
	if err != nil {
		return nil // cannot happen: texts and a number only
	}
	return body
}

// statusOverloaded is Anthropic's status of an overloaded API, which net/http does not
// know. The other dialects say 503 for it.
const statusOverloaded = 529

// anthropicType returns the type that Anthropic's API gives an error with this
// status. Its SDKs choose the exception by the status of the response; the type is what
// is left of it in an event, where there is no status.
// Source: https://docs.anthropic.com/en/api/errors
func (e *Error) anthropicType() string {
	switch e.Status {
	case http.StatusUnauthorized:
		return "authentication_error"
	case http.StatusForbidden:
		return "permission_error"
	case http.StatusNotFound:
		return "not_found_error"
	case http.StatusRequestEntityTooLarge:
		return "request_too_large"
	case http.StatusTooManyRequests:
		return "rate_limit_error"
	case http.StatusPaymentRequired:
		return "billing_error"
	case http.StatusServiceUnavailable, statusOverloaded:
		return "overloaded_error"
	case http.StatusGatewayTimeout:
		return "timeout_error"
	}
	if e.Status >= 500 {
		return "api_error"
	}
	return "invalid_request_error"
}

// googleStatus returns the name of the google.rpc.Code that goes with the
// status. Where several codes share a status, the general one is taken: 400 is never
// FAILED_PRECONDITION, which says that the client's location is not served. Statuses
// below 500 without a code of their own, such as 405 and 413, are INVALID_ARGUMENT.
// Source: https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
func (e *Error) googleStatus() string {
	switch e.Status {
	case http.StatusUnauthorized:
		return "UNAUTHENTICATED"
	case http.StatusForbidden:
		return "PERMISSION_DENIED"
	case http.StatusNotFound:
		return "NOT_FOUND"
	case http.StatusTooManyRequests:
		return "RESOURCE_EXHAUSTED"
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return "DEADLINE_EXCEEDED"
	case http.StatusBadGateway, http.StatusServiceUnavailable, statusOverloaded:
		return "UNAVAILABLE"
	}
	if e.Status >= 500 {
		return "INTERNAL"
	}
	return "INVALID_ARGUMENT"
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}
