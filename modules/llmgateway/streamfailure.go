package llmgateway

import (
	"io"
	"net/http"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/apierror"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/streamed"
)

// maxReplayed is the longest response that is written as events.
const maxReplayed = 32 << 20

var (
	interrupted = &apiError{Error: apierror.Error{
		Status:  http.StatusBadGateway,
		Type:    "api_error",
		Code:    "server_error",
		Message: "The channel's response broke off.",
	}}
	noStream = &apiError{Error: apierror.Error{
		Status:  http.StatusBadGateway,
		Type:    "api_error",
		Code:    "server_error",
		Message: "The channel's response cannot be written as a stream.",
	}}
)

// failureEvent returns what ends a stream that has broken off.
func (as *attempts) failureEvent() []byte {
	if stream := as.current.translation.stream; stream != nil {
		e := interrupted
		return stream.Fail(nil, &neutral.Error{Status: e.Status, Type: e.Type, Code: e.Code, Message: e.Message})
	}
	event := interrupted.Event(as.dialect())
	if as.current.content.events.inside {
		return append([]byte("\n\n"), event...)
	}
	return event
}

// continueStream sends a response behind heartbeats, which have begun it as an
// event stream: what is none is written as one.
func (as *attempts) continueStream(res *http.Response) {
	d := as.dialect()
	if as.isStream(res) {
		as.out.passEvents()
		if err := as.copyBody(res, true); err != nil {
			as.breakOff(err, true)
			return
		}
		as.finish(as.outcomeOf(res))
		return
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxReplayed+1))
	var events []byte
	o := outcomeRefused
	switch {
	case err != nil:
		events, o = interrupted.Stream(d), outcomeBroken
	case res.StatusCode >= 300:
		events = apierror.Parse(body, res.StatusCode).Stream(d)
	case len(body) > maxReplayed:
		events = noStream.Stream(d)
	default:
		if events, err = streamed.Events(d, body, as.statesUsage()); err != nil {
			events = noStream.Stream(d)
		} else {
			o = outcomeComplete
		}
	}
	if err := as.out.send(events, true); err != nil || as.out.hasLeft() {
		o = outcomeLeft
	}
	as.finish(o)
}
