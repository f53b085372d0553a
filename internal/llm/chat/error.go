package chat

import (
	"net/http"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// WriteError returns the body of an error, which is also its event in a stream.
// Responses has the same form for bodies, and an event of its own in streams.
//
//	{"error":{"message":"…","type":"server_error","param":null,"code":"server_error"}}
//
// All four members are there, null where there is nothing to say, as OpenAI's SDKs
// declare them. The HTTP status is the caller's part: it is the channel's own.
//
// Source: https://platform.openai.com/docs/guides/error-codes (November 2026)
func WriteError(e *neutral.Error) []byte {
	w := &rawjson.Writer{}
	w.Open('{')
	w.Key("error")
	w.Open('{')
	w.KeyString("message", e.Message)
	w.KeyString("type", errorType(e.StatusOr(http.StatusInternalServerError)))
	w.Key("param")
	writeNullable(w, e.Param, e.Param == "")
	w.Key("code")
	code := errorCode(e)
	writeNullable(w, code, code == "")
	w.Close('}')
	w.Close('}')
	return w.Bytes
}

// errorType returns the kind of an error. Clients go by status and code; the type is for
// people and for logs.
func errorType(status int) string {
	switch {
	case status == http.StatusTooManyRequests:
		return "rate_limit_error"
	case status >= 500:
		return "server_error"
	}
	return "invalid_request_error"
}

// errorCode returns OpenAI's code for an error, "" if there is none. Two of them matter
// most: context_length_exceeded makes agents shorten the conversation, and
// insufficient_quota says, as rate_limit_exceeded does not, that waiting is of no use.
// 529 is Anthropic's status for an overload.
func errorCode(e *neutral.Error) string {
	if e.Code == neutral.ContextExceeded {
		return e.Code
	}
	switch e.StatusOr(http.StatusInternalServerError) {
	case http.StatusUnauthorized:
		return "invalid_api_key"
	case http.StatusPaymentRequired:
		return "insufficient_quota"
	case http.StatusNotFound:
		return "model_not_found"
	case http.StatusTooManyRequests:
		if e.Code == "insufficient_quota" {
			return e.Code
		}
		return "rate_limit_exceeded"
	case http.StatusServiceUnavailable, 529:
		return "server_is_overloaded"
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		return "server_error"
	}
	return ""
}
