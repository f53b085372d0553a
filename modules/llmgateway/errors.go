package llmgateway

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/llm"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/apierror"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// apiError is an error of the gateway's own.
//
// The values below are shared by all requests and are never changed. Envelope writes
// Type, Code, Param and Message in the form of the client's dialect, so that an SDK
// finds them where its provider would have put them. Codes that OpenAI has are used
// with OpenAI's meaning, since clients branch on them.
type apiError struct {
	apierror.Error
	wait    time.Duration // the header Retry-After, 0 for none
	allow   string        // the header Allow, empty for none
	upgrade string        // the header Upgrade, empty for none
}

var (
	// One text for no key and for a wrong one: whoever guesses learns nothing from it.
	invalidKey = &apiError{Error: apierror.Error{
		Status:  http.StatusUnauthorized,
		Type:    "invalid_request_error",
		Code:    "invalid_api_key",
		Message: "Incorrect or missing API key. Send the key that the owner of this gateway gave you as Authorization: Bearer KEY.",
	}}
	ambiguousPath = invalidRequest("The path cannot be read: it has dot segments, or characters that servers read in different ways.")
	// 403 and not 404: the endpoint exists, and its path is right. What belongs to the
	// account (files, batches, stored responses) is shared by all clients of a channel,
	// and a later message in a WebSocket can name another model than its handshake.
	notForRestricted = &apiError{Error: apierror.Error{
		Status:  http.StatusForbidden,
		Type:    "invalid_request_error",
		Code:    "endpoint_not_allowed",
		Message: "Your key is held to some models or to limits, so it is for requests to models only. What belongs to the whole account, and WebSockets, are for other keys.",
	}}
	// Codex opens a WebSocket for Responses if its provider is said to support them,
	// and upon 426 sends the request with POST at once (its tests, read 2026-11-26).
	webSocketRefused = &apiError{
		Error: apierror.Error{
			Status:  http.StatusUpgradeRequired,
			Type:    "invalid_request_error",
			Code:    "websocket_not_supported",
			Message: "There is no WebSocket here. Send the request with POST.",
		},
		upgrade: "HTTP/1.1",
	}
	// For a handshake to which the channel gives an ordinary response. It stands in for
	// that response, whose status may be a success.
	noWebSocket = &apiError{Error: apierror.Error{
		Status:  http.StatusBadGateway,
		Type:    "api_error",
		Message: "The channel has answered without opening a WebSocket.",
	}}
	webSocketRequired = &apiError{
		Error: apierror.Error{
			Status:  http.StatusUpgradeRequired,
			Type:    "invalid_request_error",
			Message: "This endpoint is for WebSockets.",
		},
		upgrade: "websocket",
	}
	foreignPage = &apiError{Error: apierror.Error{
		Status:  http.StatusForbidden,
		Type:    "invalid_request_error",
		Code:    "origin_not_allowed",
		Message: "This gateway takes no requests from web pages of this origin. Its owner can allow them with the option cors.",
	}}
	severalKeys = &apiError{Error: apierror.Error{
		Status:  http.StatusUnauthorized,
		Type:    "invalid_request_error",
		Code:    "invalid_api_key",
		Message: "The request shows several different API keys. Send only the one that the owner of this gateway gave you.",
	}}
	// 507: the temporary file that a large body is written to could not be written, as
	// with a full disk. Unlike bodiesExhausted this does not pass by itself.
	bodyNotKept = &apiError{Error: apierror.Error{
		Status:  http.StatusInsufficientStorage,
		Type:    "server_error",
		Message: "The gateway has no room for a request body of this size.",
	}}
	// 503 with Retry-After: the memory or disk space for bodies is in use by requests
	// under way, and is returned when they end. The SDKs of OpenAI and Anthropic retry
	// a 503 by themselves.
	bodiesExhausted = &apiError{
		Error: apierror.Error{
			Status:  http.StatusServiceUnavailable,
			Type:    "server_error",
			Code:    "request_memory_exhausted",
			Message: "The gateway is busy with other large requests. Retry later.",
		},
		wait: 2 * time.Second,
	}
	// 408: the client has sent less than leastUploaded in an uploadPeriod, while its body
	// occupies memory that others need.
	uploadTooSlow = &apiError{Error: apierror.Error{
		Status:  http.StatusRequestTimeout,
		Type:    "invalid_request_error",
		Code:    "request_timeout",
		Message: "The request body came too slowly.",
	}}
	// For requests without a model when there is no default_channel, or when the client
	// may use some models only and the channel's choice could be another one.
	noModel = &apiError{Error: apierror.Error{
		Status:  http.StatusBadRequest,
		Type:    "invalid_request_error",
		Param:   "model",
		Message: "You must provide a model parameter.",
	}}
)

// keyExpired is for a key that was valid until a time.
//
// It may say more than invalidKey: only who has the key gets here, and without the date
// an expired key would be looked for in the client's configuration.
func keyExpired(at time.Time) *apiError {
	return &apiError{Error: apierror.Error{
		Status:  http.StatusUnauthorized,
		Type:    "invalid_request_error",
		Code:    "expired_api_key",
		Message: "This API key has expired on " + at.UTC().Format("2 January 2006 at 15:04 UTC") + ". Ask the owner of this gateway for a new one.",
	}}
}

func invalidRequest(message string) *apiError {
	return &apiError{Error: apierror.Error{Status: http.StatusBadRequest, Type: "invalid_request_error", Message: message}}
}

func invalidModel(message string) *apiError {
	return &apiError{Error: apierror.Error{Status: http.StatusBadRequest, Type: "invalid_request_error", Param: "model", Message: message}}
}

// noEndpoint says which base URL is the right one: a wrong one is why most
// clients come here.
func noEndpoint(base string) *apiError {
	return &apiError{Error: apierror.Error{
		Status: http.StatusNotFound,
		Type:   "invalid_request_error",
		Code:   "unknown_url",
		Message: "There is no such endpoint. The base URL of this gateway is " + base + "/v1 for OpenAI's SDKs and most programs, and " +
			base + " for Anthropic's and Google's.",
	}}
}

// methodNotAllowed names the methods twice: in the header Allow, which RFC 9110, 15.5.6
// demands, and in the message, which is what people see.
func methodNotAllowed(allowed methods) *apiError {
	return &apiError{
		Error: apierror.Error{
			Status:  http.StatusMethodNotAllowed,
			Type:    "invalid_request_error",
			Code:    "method_not_allowed",
			Message: "This method is not allowed here. There are " + allowed.String() + ".",
		},
		allow: allowed.String(),
	}
}

// modelNotFound has OpenAI's words. A model that exists but that the client may not use
// gets the same response, so that a restricted client cannot list the others by trying.
func modelNotFound(model string) *apiError {
	return &apiError{Error: apierror.Error{
		Status:  http.StatusNotFound,
		Type:    "invalid_request_error",
		Code:    "model_not_found",
		Param:   "model",
		Message: fmt.Sprintf("The model `%s` does not exist or you do not have access to it.", model),
	}}
}

// bodyTooLarge is for a body beyond max_body, before or after it was decompressed. The
// limit is in bytes.
func bodyTooLarge(limit int64) *apiError {
	return &apiError{Error: apierror.Error{
		Status:  http.StatusRequestEntityTooLarge,
		Type:    "invalid_request_error",
		Code:    "request_too_large",
		Message: fmt.Sprintf("The request body is larger than the %d bytes that this gateway takes.", limit),
	}}
}

func unsupportedType(message string) *apiError {
	return &apiError{Error: apierror.Error{
		Status:  http.StatusUnsupportedMediaType,
		Type:    "invalid_request_error",
		Code:    "unsupported_media_type",
		Message: message,
	}}
}

// limitReached is for a client's own limit. unit is "requests" or "tokens", as OpenAI's
// rate limits have it in the field type. Retry-After is at least one second: a wait of
// 0 would be left out of the headers, and SDKs would then choose one of their own.
func limitReached(exhausted *quota.Meter, unit string, wait time.Duration) *apiError {
	return &apiError{
		Error: apierror.Error{
			Status:  http.StatusTooManyRequests,
			Type:    unit,
			Code:    "rate_limit_exceeded",
			Message: fmt.Sprintf("Rate limit reached: your key may use %d %s in this period.", exhausted.Limit(), unit),
		},
		wait: max(wait, time.Second),
	}
}

// clientLeft stands for the response that a client does not wait for.
var clientLeft = &apiError{Error: apierror.Error{Status: statusClientClosed}}

// allUnavailable says why no candidate may be used now. Where no account works at
// all that is the gateway's failure, and no limit.
func allUnavailable(model, why string, broken bool, wait time.Duration) *apiError {
	e := &apiError{
		Error: apierror.Error{
			Status: http.StatusTooManyRequests,
			Type:   "requests",
			Code:   "rate_limit_exceeded",
		},
		wait: max(wait, time.Second),
	}
	if broken {
		e.Status, e.Type, e.Code = http.StatusServiceUnavailable, "api_error", channelKeyRefused
	}
	if model == "" {
		model = "this request"
	}
	e.Message = fmt.Sprintf("All candidates for %s are unavailable: %s.", model, why)
	return e
}

// notReached is for a request none of whose attempts got a response. The network's
// errors are not in it: they may contain addresses of an internal network.
func notReached(attempts int) *apiError {
	return &apiError{Error: apierror.Error{
		Status:  http.StatusBadGateway,
		Type:    "api_error",
		Code:    "upstream_unreachable",
		Message: fmt.Sprintf("None of the channels could be reached (attempts: %d).", attempts),
	}}
}

// notPassed is for a redirect, which would lead the client past the gateway, to where
// its key is not valid.
func notPassed(reason string) *apiError {
	return &apiError{Error: apierror.Error{
		Status:  http.StatusBadGateway,
		Type:    "api_error",
		Code:    "upstream_redirect",
		Message: "The response cannot be passed on: " + reason + ".",
	}}
}

// body returns the error in the dialect of r's client.
func (e *apiError) body(r *http.Request) []byte {
	return e.Envelope(llm.DialectOf(r.Method, r.URL.Path, r.Header))
}

// header returns the headers of the response.
//
// Retry-After is rounded up to whole seconds (RFC 9110, 10.2.3): a client that comes
// back a fraction too early would be refused once more.
func (e *apiError) header() http.Header {
	header := http.Header{"Content-Type": {"application/json"}}
	if e.Status == http.StatusUnauthorized {
		header.Set("Www-Authenticate", "Bearer") // RFC 9110, 15.5.2
	}
	if e.allow != "" {
		header.Set("Allow", e.allow)
	}
	if e.Code == unsupportedCodingCode {
		header.Set("Accept-Encoding", codingNames) // RFC 9110, 12.5.3
	}
	if e.wait > 0 {
		header.Set("Retry-After", strconv.Itoa(int(math.Ceil(e.wait.Seconds()))))
	}
	return header
}

// write sends the error to the client.
func (e *apiError) write(w http.ResponseWriter, r *http.Request) {
	maps.Copy(w.Header(), e.header())
	if e.upgrade != "" && r.ProtoMajor == 1 { // RFC 9110, 15.5.22
		w.Header().Set("Upgrade", e.upgrade)
		w.Header().Set("Connection", "Upgrade")
	}
	if r.ProtoMajor == 1 && r.Header["Expect"] != nil {
		// Else the server would wait for the body before it responds, and the
		// client for the response before it sends the body.
		w.Header().Set("Connection", "close")
	}
	w.WriteHeader(e.Status)
	_, _ = w.Write(e.body(r)) // whoever does not get it has left
}

// response makes a response of the error, which goes the way of a channel's.
func (e *apiError) response(req *http.Request) *http.Response {
	body := e.body(req)
	return &http.Response{
		Status:        fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status)),
		StatusCode:    e.Status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        e.header(),
		Body:          io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)),
		Request:       req,
	}
}
