package llmgateway

import (
	"bytes"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
)

// eventStage lets events pass as a whole, and looks for failures among them. So
// a comment may be sent to the client between any two pieces of the stream, and
// a stream that breaks off ends behind its last whole event.
//
// The stage belongs to one response. begun and passed are two buffers that change
// places, since what passed last must stay as it is while an event that has begun
// behind it is kept.
type eventStage struct {
	dialect refusal.Dialect
	failed  func(event []byte) // called with the data of an event that is a failure

	begun  []byte // the beginning of an event
	passed []byte // what passed last, if an event had begun before
	inside bool   // what has passed ends inside of an event
}

// failureSign is in each event that is a failure.
var failureSign = []byte(`"error`)

// pass implements stage. An event that is longer than longestEvent passes in
// pieces. What has begun is lost when the stream breaks off.
func (s *eventStage) pass(p []byte, then continuation) []byte {
	had := len(s.begun)
	text := p
	if had > 0 {
		s.begun = append(s.begun, p...)
		text = s.begun
	}
	end := eventsEnd(text, had)
	if then == nothing || len(text)-end > longestEvent {
		end = len(text)
	}
	switch {
	case had == 0:
		s.begun = append(s.begun, p[end:]...)
	case end > 0:
		s.begun, s.passed = append(s.passed[:0], text[end:]...), s.begun
	}
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
//
// Only texts with failureSign in them get here, so that the events of an ordinary
// stream are not parsed a second time.
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
// ends with a blank line. None does in the first bytes, so many as are seen.
func eventsEnd(p []byte, seen int) int {
	first := max(0, seen-2) // what ends an event may have begun there
	end := bytes.LastIndex(p[first:], []byte("\r\r")) + 1
	if end > 0 {
		end += first + 1
	}
	for at := len(p); at > end; at-- {
		if at = first + bytes.LastIndexByte(p[first:at], '\n') + 1; at == first {
			break
		}
		if endsEvent(p[:at]) {
			return max(end, at)
		}
	}
	return end
}

// endsEvent reports whether p ends with a blank line.
//
// A line ends with LF, CRLF or CR (HTML Standard, 9.2.5).
func endsEvent(p []byte) bool {
	for _, end := range [...]string{"\n\n", "\n\r\n", "\r\r"} {
		if len(p) >= len(end) && string(p[len(p)-len(end):]) == end {
			return true
		}
	}
	return false
}
