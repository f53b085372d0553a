package llmgateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// apiError is an error in the words of the API that the client speaks, so that
// its SDK raises the right exception.
// Sources: https://platform.openai.com/docs/guides/error-codes,
// https://docs.anthropic.com/en/api/errors and, for Gemini, https://google.aip.dev/193
type apiError struct {
	status  int
	kind    string // OpenAI's `type`
	code    string // OpenAI's `code`, null if empty
	param   string // OpenAI's `param`, null if empty
	wait    time.Duration
	allow   string // the header Allow, empty for none
	upgrade string // the header Upgrade, empty for none
	message string
}

var (
	invalidKey = &apiError{
		status:  http.StatusUnauthorized,
		kind:    "invalid_request_error",
		code:    "invalid_api_key",
		message: "Incorrect or missing API key. Send the key that the owner of this gateway gave you as Authorization: Bearer KEY.",
	}
	ambiguousPath    = invalidRequest("The path cannot be read: it has dot segments, or characters that servers read in different ways.")
	notForRestricted = &apiError{
		status:  http.StatusForbidden,
		kind:    "invalid_request_error",
		code:    "endpoint_not_allowed",
		message: "Your key is held to some models or to limits, so it is for requests to models only. What belongs to the whole account, and WebSockets, are for other keys.",
	}
	webSocketRefused = &apiError{
		status:  http.StatusUpgradeRequired,
		kind:    "invalid_request_error",
		code:    "websocket_not_supported",
		upgrade: "HTTP/1.1",
		message: "There is no WebSocket here. Send the request with POST.",
	}
	noWebSocket = &apiError{
		status:  http.StatusBadGateway,
		kind:    "api_error",
		message: "The channel has answered without opening a WebSocket.",
	}
	webSocketRequired = &apiError{
		status:  http.StatusUpgradeRequired,
		kind:    "invalid_request_error",
		upgrade: "websocket",
		message: "This endpoint is for WebSockets.",
	}
	foreignPage = &apiError{
		status:  http.StatusForbidden,
		kind:    "invalid_request_error",
		code:    "origin_not_allowed",
		message: "This gateway takes no requests from web pages of this origin. Its owner can allow them with the option cors.",
	}
	severalKeys = &apiError{
		status:  http.StatusUnauthorized,
		kind:    "invalid_request_error",
		code:    "invalid_api_key",
		message: "The request shows several different API keys. Send only the one that the owner of this gateway gave you.",
	}
	bodyNotKept = &apiError{
		status:  http.StatusInsufficientStorage,
		kind:    "server_error",
		message: "The gateway has no room for a request body of this size.",
	}
	bodiesExhausted = &apiError{
		status:  http.StatusServiceUnavailable,
		kind:    "server_error",
		code:    "request_memory_exhausted",
		wait:    2 * time.Second,
		message: "The gateway is busy with other large requests. Retry later.",
	}
	uploadTooSlow = &apiError{
		status:  http.StatusRequestTimeout,
		kind:    "invalid_request_error",
		code:    "request_timeout",
		message: "The request body came too slowly.",
	}
	noModel = &apiError{
		status:  http.StatusBadRequest,
		kind:    "invalid_request_error",
		param:   "model",
		message: "You must provide a model parameter.",
	}
)

func invalidRequest(message string) *apiError {
	return &apiError{status: http.StatusBadRequest, kind: "invalid_request_error", message: message}
}

func invalidModel(message string) *apiError {
	return &apiError{status: http.StatusBadRequest, kind: "invalid_request_error", param: "model", message: message}
}

// noEndpoint says which base URL is the right one: a wrong one is why most
// clients come here.
func noEndpoint(base string) *apiError {
	return &apiError{
		status: http.StatusNotFound,
		kind:   "invalid_request_error",
		code:   "unknown_url",
		message: "There is no such endpoint. The base URL of this gateway is " + base + "/v1 for OpenAI's SDKs and most programs, and " +
			base + " for Anthropic's and Google's.",
	}
}

func methodNotAllowed(allowed methods) *apiError {
	return &apiError{
		status:  http.StatusMethodNotAllowed,
		kind:    "invalid_request_error",
		code:    "method_not_allowed",
		allow:   allowed.String(),
		message: "This method is not allowed here. There are " + allowed.String() + ".",
	}
}

func modelNotFound(model string) *apiError {
	return &apiError{
		status:  http.StatusNotFound,
		kind:    "invalid_request_error",
		code:    "model_not_found",
		param:   "model",
		message: fmt.Sprintf("The model `%s` does not exist or you do not have access to it.", model),
	}
}

func bodyTooLarge(limit int64) *apiError {
	return &apiError{
		status:  http.StatusRequestEntityTooLarge,
		kind:    "invalid_request_error",
		code:    "request_too_large",
		message: fmt.Sprintf("The request body is larger than the %d bytes that this gateway takes.", limit),
	}
}

func unsupportedType(message string) *apiError {
	return &apiError{
		status:  http.StatusUnsupportedMediaType,
		kind:    "invalid_request_error",
		code:    "unsupported_media_type",
		message: message,
	}
}

func limitReached(exhausted *quota.Meter, unit string, wait time.Duration) *apiError {
	return &apiError{
		status:  http.StatusTooManyRequests,
		kind:    unit,
		code:    "rate_limit_exceeded",
		wait:    max(wait, time.Second),
		message: fmt.Sprintf("Rate limit reached: your key may use %d %s in this period.", exhausted.Limit(), unit),
	}
}

func noKeyUsable(wait time.Duration) *apiError {
	return &apiError{
		status:  http.StatusTooManyRequests,
		kind:    "requests",
		code:    "rate_limit_exceeded",
		wait:    max(wait, time.Second),
		message: "All API keys for this model are rate limited or out of quota. Retry later.",
	}
}

func notReached(tries int) *apiError {
	return &apiError{
		status:  http.StatusBadGateway,
		kind:    "api_error",
		code:    "upstream_unreachable",
		message: fmt.Sprintf("None of the channels could be reached (tries: %d).", tries),
	}
}

func notPassed(reason string) *apiError {
	return &apiError{
		status:  http.StatusBadGateway,
		kind:    "api_error",
		code:    "upstream_redirect",
		message: "The response cannot be passed on: " + reason + ".",
	}
}

// body is the error as r's client expects it.
func (e *apiError) body(r *http.Request) []byte {
	var envelope any
	switch dialectOf(r) {
	case anthropic:
		envelope = map[string]any{
			"type":  "error",
			"error": map[string]any{"type": e.anthropicType(), "message": e.message},
		}
	case gemini:
		envelope = map[string]any{"error": map[string]any{
			"code":    e.status,
			"message": e.message,
			"status":  e.googleStatus(),
		}}
	default:
		envelope = map[string]any{"error": map[string]any{
			"message": e.message,
			"type":    e.kind,
			"param":   nullable(e.param),
			"code":    nullable(e.code),
		}}
	}
	body, err := json.Marshal(envelope)
	if err != nil {
		return nil // cannot happen: strings only
	}
	return body
}

func (e *apiError) anthropicType() string {
	switch e.status {
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
	case http.StatusServiceUnavailable:
		return "overloaded_error"
	case http.StatusBadGateway, http.StatusInsufficientStorage:
		return "api_error"
	default:
		return "invalid_request_error"
	}
}

// googleStatus is the name of google.rpc.Code that goes with the status.
func (e *apiError) googleStatus() string {
	switch e.status {
	case http.StatusUnauthorized:
		return "UNAUTHENTICATED"
	case http.StatusForbidden:
		return "PERMISSION_DENIED"
	case http.StatusNotFound:
		return "NOT_FOUND"
	case http.StatusTooManyRequests:
		return "RESOURCE_EXHAUSTED"
	case http.StatusRequestTimeout:
		return "DEADLINE_EXCEEDED"
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return "UNAVAILABLE"
	case http.StatusInsufficientStorage:
		return "INTERNAL"
	default:
		return "INVALID_ARGUMENT"
	}
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// header returns the headers of the answer.
func (e *apiError) header() http.Header {
	header := http.Header{"Content-Type": {"application/json"}}
	if e.status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", "Bearer") // RFC 9110, 15.5.2
	}
	if e.allow != "" {
		header.Set("Allow", e.allow)
	}
	if e.code == unsupportedCodingCode {
		header.Set("Accept-Encoding", codingNames) // RFC 9110, 12.5.3
	}
	if e.wait > 0 {
		header.Set("Retry-After", strconv.Itoa(int(math.Ceil(e.wait.Seconds()))))
	}
	return header
}

// write answers with the error.
func (e *apiError) write(w http.ResponseWriter, r *http.Request) {
	for name, values := range e.header() {
		w.Header()[name] = values
	}
	if e.upgrade != "" && r.ProtoMajor == 1 { // RFC 9110, 15.5.22
		w.Header().Set("Upgrade", e.upgrade)
		w.Header().Set("Connection", "Upgrade")
	}
	if r.ProtoMajor == 1 && r.Header["Expect"] != nil {
		// Else the server would wait for the body before it answers, and the
		// client for the answer before it sends the body.
		w.Header().Set("Connection", "close")
	}
	w.WriteHeader(e.status)
	_, _ = w.Write(e.body(r)) // whoever does not get it has left
}

// response makes a response of the error, which goes the way of a channel's.
func (e *apiError) response(req *http.Request) *http.Response {
	body := e.body(req)
	return &http.Response{
		Status:        fmt.Sprintf("%d %s", e.status, http.StatusText(e.status)),
		StatusCode:    e.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        e.header(),
		Body:          io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)),
		Request:       req,
	}
}
