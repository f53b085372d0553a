package llmgateway

import (
	"bytes"
	"errors"
	"net/http"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/apierror"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
)

// channelKeyRefused is the code of an error that is about the gateway's account,
// not the client's.
const channelKeyRefused = "channel_key_refused"

// refusal returns the response for the client when nobody has answered: the most
// useful refusal, or an error of ours if no channel has given a response.
func (as *attempts) refusal(req *http.Request, last error) *http.Response {
	a := as.deferred
	if a == nil {
		if as.translator.failure != nil && errors.Is(last, as.translator.failure) {
			return translationError(as.translator.failure).response(req)
		}
		if errors.Is(last, errExhausted) {
			return as.unavailable(as.gateway.clock.Now()).response(req)
		}
		if reason := redirectReason(last); reason != "" {
			return notPassed(reason).response(req)
		}
		return notReached(as.count).response(req)
	}
	as.deferred = nil
	as.setCurrent(a)
	if own := a.ownRefusal(); own != nil {
		a.res.Body.Close()
		res := own.response(req)
		if retryAfter := a.res.Header["Retry-After"]; retryAfter != nil && res.Header["Retry-After"] == nil {
			res.Header["Retry-After"] = retryAfter
		}
		a.res = res
		a.sign()
		return res
	}
	if status := a.verdict.ClientStatus; status >= http.StatusBadRequest {
		a.res.StatusCode, a.res.Status = status, ""
	}
	return a.res
}

// ownRefusal returns the error of ours that stands in for the channel's refusal,
// nil if that can be passed on. A refused key of the channel is not the client's:
// with a 401, agents would ask their user for a new login.
func (a *attempt) ownRefusal() *apiError {
	v := a.verdict
	if a.model == "" && v.Kind == refusal.KindRequest {
		return nil // also a 304
	}
	e := &apiError{Error: apierror.Error{Status: v.ClientStatus, Type: errorType(v.ClientStatus), Message: a.refusalMessage()}}
	switch {
	case v.ClientCode() == channelKeyRefused:
		e.Code = channelKeyRefused
		return e
	case a.status < http.StatusBadRequest || a.inStream || a.isPage() || a.translation.isSet():
		e.Code = errorCode(v)
		if a.translation.isSet() {
			e.Status = overloadedIn(a.translation.client.Dialect, e.Status)
		}
		return e
	}
	return nil
}

// statusOverloaded is the status by which Anthropic's API says that it is overloaded;
// the others say 503.
// Source: https://docs.anthropic.com/en/api/errors, as of November 2026
const statusOverloaded = 529

// overloadedIn returns a status as clients of a dialect know it. Google's SDK, for
// one, retries a 503 and no 529.
func overloadedIn(client neutral.Dialect, status int) int {
	switch {
	case client == neutral.Messages && status == http.StatusServiceUnavailable:
		return statusOverloaded
	case client != neutral.Messages && status == statusOverloaded:
		return http.StatusServiceUnavailable
	}
	return status
}

// errorType returns the type that OpenAI's API gives errors with a status.
func errorType(status int) string {
	switch {
	case status == http.StatusTooManyRequests:
		return "requests"
	case status < http.StatusInternalServerError:
		return "invalid_request_error"
	}
	return "api_error"
}

// errorCode returns the code of an error of ours that stands in for a refusal. Agents
// act on some of them.
// Source: https://platform.openai.com/docs/guides/error-codes, as of November 2026
func errorCode(v refusal.Verdict) string {
	switch {
	case v.Reason == refusal.ReasonContext:
		return "context_length_exceeded"
	case v.Reason == refusal.ReasonContent:
		return "content_policy_violation"
	case v.ClientStatus == http.StatusTooManyRequests:
		return "rate_limit_exceeded"
	case v.Scope() == refusal.ScopeChannelModel:
		return "model_not_found"
	case v.ClientStatus < http.StatusInternalServerError:
		return "invalid_request"
	case v.Scope() == refusal.ScopeCapacity:
		return "overloaded"
	}
	return "upstream_error"
}

// refusalMessage says who has refused the request and what the provider's message
// is, without keys.
func (a *attempt) refusalMessage() string {
	text := "Channel " + a.candidate.channel.Name + ": " + string(a.verdict.Reason) + "."
	if message := strings.TrimSpace(a.candidate.mask().inText(a.verdict.Message)); message != "" {
		text += " The provider's message: " + message
	}
	return text
}

// isPage reports whether the refusal is a web page, whatever its type says.
func (a *attempt) isPage() bool {
	text := bytes.TrimLeft(a.failure, space)
	return len(text) > 0 && text[0] == '<'
}
