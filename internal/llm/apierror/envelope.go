// Package apierror knows the errors of the APIs of language models: it writes
// them in the client's dialect, and reads which HTTP status an error stands for
// that comes with status 200.
//
// Sources: https://platform.openai.com/docs/guides/error-codes,
// https://docs.anthropic.com/en/api/errors and, for Gemini, https://google.aip.dev/193
package apierror

import (
	"encoding/json"
	"net/http"

	"github.com/caddy-freetier/caddy-freetier/internal/llm"
)

// Error is an error that can be written in every dialect, so that the client's
// SDK raises the right exception.
type Error struct {
	Status  int    // HTTP's, which decides the names in Anthropic's and Google's dialects
	Type    string // OpenAI's `type`
	Code    string // OpenAI's `code`, null if empty
	Param   string // OpenAI's `param`, null if empty
	Message string

	raw json.RawMessage // as a provider has sent it
}

// Envelope returns the JSON body of the error in a dialect.
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

// statusOverloaded is Anthropic's status of an overloaded API.
const statusOverloaded = 529

// anthropicType returns the type that Anthropic's API gives an error with this
// status.
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
// status.
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
