package llmgateway

import (
	"errors"
	"io"
	"net/http"

	"go.uber.org/zap"

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
//
// It is in the client's dialect: a client that was sent half an event, or no end, could
// otherwise take the response for complete or wait for more. Inside of an event that is
// not complete, a blank line ends it first (HTML Standard, 9.2.6), so that the client
// drops or parses it alone.
func (d *delivery) failureEvent() []byte {
	if stream := d.attempt.translation.stream; stream != nil {
		e := interrupted
		return stream.Fail(nil, &neutral.Error{Status: e.Status, Type: e.Type, Code: e.Code, Message: e.Message})
	}
	event := interrupted.Event(d.dialect())
	if d.attempt.content.events.inside {
		return append([]byte("\n\n"), event...)
	}
	return event
}

// continueStream sends a response behind heartbeats, which have begun it as an
// event stream: what is none is written as one.
//
// Its status can no longer be changed: 200 and the headers of an event stream have been
// sent with the first heartbeat. A refusal therefore becomes the failure event of the
// dialect, and what came of the request is in the outcome of log and metrics only. A
// response longer than maxReplayed is not kept in memory to be rewritten.
func (d *delivery) continueStream(res *http.Response) {
	dialect := d.dialect()
	if d.isStream(res) {
		d.out.passEvents()
		if err := d.copyBody(res, true); err != nil {
			d.breakOff(err, true)
			return
		}
		d.finish(d.outcomeOf(res))
		return
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxReplayed+1))
	var events []byte
	o := outcomeRefused
	switch {
	case err != nil:
		events, o = interrupted.Stream(dialect), outcomeBroken
	case res.StatusCode >= 300:
		events = apierror.Parse(body, res.StatusCode).Stream(dialect)
	case len(body) > maxReplayed:
		events = noStream.Stream(dialect)
	default:
		if events, err = streamed.Events(dialect, body, d.statesUsage()); err != nil {
			events = noStream.Stream(dialect)
		} else {
			o = outcomeComplete
		}
	}
	if err := d.out.send(events, true); err != nil {
		if errors.Is(err, errStalledClient) { // other errors may have the client's address
			d.attempt.log("response broke off", zap.Error(errStalledClient))
		}
		o = outcomeLeft
	} else if d.out.hasLeft() {
		o = outcomeLeft
	}
	d.finish(o)
}
