package translate

import (
	"bytes"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/eventstream"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
)

// Stream translates a response to a client that has asked for a stream, as it comes. The
// channel may send an event stream or one JSON text; which of both it is, is seen by
// its first character, since some send the one with the other's Content-Type.
//
// It keeps no more than the event under way, but for clients of Responses, whose
// last event repeats the whole response.
//
//	        Append*            End             the reader's events say that all
//	begun ──────────▶ reading ─────▶ ended     has come: a complete stream
//	                     │      Fail           they do not, or the gateway has
//	                     └─────────▶ ended     given up: the dialect's failure event
//
// After the end, each method appends nothing. So one of End and Fail counts, whichever
// comes first, and a client never gets the end of a complete stream behind a failure.
type Stream struct {
	input  input
	writer neutral.StreamWriter
	out    []byte         // what emit appends to; the caller's between two calls
	failed *neutral.Error // nil unless a failure event was written
	ended  bool           // End or Fail was called
}

// NewStream returns a stream for a client.
func NewStream(client *neutral.Request, how Response) *Stream {
	s := &Stream{}
	s.input.reader = how.reader(client)
	s.writer = how.writer(client)
	s.input.emit = s.emit
	return s
}

func (s *Stream) emit(e *neutral.Event) {
	if e.Kind == neutral.Failed {
		s.failed = e.Err
	}
	s.out = s.writer.Append(s.out, e)
}

// Append translates a piece of the channel's body and appends what it amounts to,
// complete events only. That may be nothing, such as for half an event, a comment or a
// piece of JSON. piece may be used again after it returns.
func (s *Stream) Append(dst, piece []byte) []byte {
	s.out = dst
	if !s.ended {
		s.input.write(piece)
	}
	return s.out
}

// End translates the end of the channel's body. A response that is not complete by
// then, which is one without a finish reason, ends as one that has failed: as if
// complete, an agent would take half an answer for the whole.
func (s *Stream) End(dst []byte) []byte {
	s.out = dst
	if !s.ended {
		s.ended = true
		s.input.end()
		if s.failed == nil {
			s.out = s.writer.End(s.out)
		}
	}
	return s.out
}

// Fail ends the stream with an error of the gateway's own.
func (s *Stream) Fail(dst []byte, err *neutral.Error) []byte {
	s.out = dst
	if !s.ended {
		s.ended = true
		s.emit(&neutral.Event{Kind: neutral.Failed, Err: err})
	}
	return s.out
}

// Err returns the error with which the stream has failed, nil if it has not.
func (s *Stream) Err() *neutral.Error { return s.failed }

// Whole translates a response to a client that has asked for one JSON text. The error is
// what the response says, or that it is not complete; nothing has gone to the client by
// then, so the caller may still ask another channel.
func Whole(client *neutral.Request, how Response, body []byte) ([]byte, *neutral.Error) {
	if how.ID == "" {
		how.ID = newID()
	}
	response := Collect(client, how, body)
	if response.Err != nil {
		return nil, response.Err
	}
	return how.write(client, response), nil
}

// Collect returns what a response says, errors included. It serves Whole, and tests that
// compare what two streams mean.
func Collect(client *neutral.Request, how Response, body []byte) *neutral.Response {
	var collector neutral.Collector
	in := input{reader: how.reader(client), emit: collector.Event}
	in.write(body)
	in.end()
	return collector.Response()
}

// input finds out what a channel sends, and reads it. Neither the request nor the
// Content-Type says it reliably: there are channels that send JSON though a stream was
// asked for, and streams that are typed application/json.
type input struct {
	reader neutral.StreamReader
	emit   neutral.Emit
	kind   inputKind
	events eventstream.Decoder // of inputEvents
	whole  []byte              // of inputJSON: all that has come
	failed bool                // one of the bounds was passed; the rest is not read
}

type inputKind int

const (
	inputUnknown inputKind = iota // nothing but space has come
	inputEvents                   // also a page of HTML, which has no events
	inputJSON                     // also gemini's array of responses without alt=sse
)

// maxWhole bounds a response that is one JSON text. Images come in one.
const maxWhole = 64 << 20

func (in *input) write(piece []byte) {
	if in.failed {
		return
	}
	if in.kind == inputUnknown {
		piece = bytes.TrimLeft(piece, " \t\r\n")
		if len(piece) == 0 {
			return
		}
		in.kind = inputEvents
		if piece[0] == '{' || piece[0] == '[' {
			in.kind = inputJSON
		}
	}
	if in.kind == inputJSON {
		if in.whole = append(in.whole, piece...); len(in.whole) > maxWhole {
			in.fail("The response is too large")
		}
		return
	}
	if err := in.events.Write(piece, in.event); err != nil {
		in.fail("An event of the stream is too long")
	}
}

func (in *input) event(name string, data []byte) {
	if !in.failed {
		in.reader.Event(name, data, in.emit)
	}
}

func (in *input) fail(message string) {
	in.failed = true
	in.whole = nil
	in.emit(&neutral.Event{Kind: neutral.Failed, Err: &neutral.Error{Status: 502, Type: "server_error", Message: message}})
}

func (in *input) end() {
	if in.failed {
		return
	}
	if in.kind == inputJSON {
		in.reader.Event("", in.whole, in.emit)
	} else {
		in.events.End(in.event)
	}
	in.reader.End(in.emit)
}
