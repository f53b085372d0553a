package llmgateway

import (
	"bytes"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
)

// eventStage lets events pass as a whole, and looks for failures among them. So
// a comment may be sent to the client between any two pieces of the stream, and
// a stream that breaks off ends behind its last whole event.
type eventStage struct {
	dialect refusal.Dialect
	failed  func(event []byte) // called with the data of an event that is a failure

	begun  []byte // the beginning of an event
	joined []byte // begun, and what came behind it
	inside bool   // what has passed ends inside of an event
}

// failureSign is in each event that is a failure.
var failureSign = []byte(`"error`)

// pass implements stage. An event that is longer than longestEvent passes in
// pieces. What has begun is lost when the stream breaks off.
func (s *eventStage) pass(p []byte, then continuation) []byte {
	text := p
	if len(s.begun) > 0 {
		s.joined = append(append(s.joined[:0], s.begun...), p...)
		text = s.joined
	}
	end := eventsEnd(text)
	if then == nothing || len(text)-end > longestEvent {
		end = len(text)
	}
	s.begun = append(s.begun[:0], text[end:]...)
	text = text[:end]
	if end > 0 {
		s.inside = !endsEvent(text)
	}
	if bytes.Contains(text, failureSign) {
		s.inspect(text)
	}
	return text
}

// inspect looks for failures among whole events.
func (s *eventStage) inspect(events []byte) {
	for {
		e, n := refusal.NextEvent(events, true)
		if n == 0 {
			return
		}
		events = events[n:]
		if refusal.InspectEvent(s.dialect, e.Name, e.Data) == refusal.Failure {
			s.failed(e.Data)
		}
	}
}

// eventsEnd returns the length of the whole events that p begins with: an event
// ends with a blank line.
func eventsEnd(p []byte) int {
	for end := len(p); end > 0; {
		end = bytes.LastIndexByte(p[:end], '\n') + 1
		if endsEvent(p[:end]) {
			return end
		}
		if end > 0 {
			end--
		}
	}
	if end := bytes.LastIndex(p, []byte("\r\r")); end >= 0 {
		return end + 2
	}
	return 0
}

// endsEvent reports whether p ends with a blank line.
func endsEvent(p []byte) bool {
	for _, end := range [...]string{"\n\n", "\n\r\n", "\r\r"} {
		if len(p) >= len(end) && string(p[len(p)-len(end):]) == end {
			return true
		}
	}
	return false
}
