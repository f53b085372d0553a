package responses

import (
	"strconv"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/eventstream"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// maxOutput bounds what a stream is remembered, in bytes: its last event repeats all of
// it. It is as much as eventstream.Decoder takes for one event.
const maxOutput = 64 << 20

// StreamWriter writes the events of a stream. Items follow each other: one is
// complete before the next begins. See the package's comment for the events and the
// states in which they are written. It is not safe for concurrent use.
type StreamWriter struct {
	object   *object
	base     string         // of ids
	sequence int64          // the number of the next event
	w        rawjson.Writer // of the event under way; its memory is used again
	started  bool           // response.created was written
	done     bool           // the last event was written; nothing follows it

	output []byte // the items that are complete, in JSON, with commas between them
	items  int    // the index of the open item, or of the next one
	item   openItem
}

// NewStreamWriter returns a writer for the client that has sent a request. id has no
// prefix yet. created, in seconds since 1970, is used where the channel's response does
// not say it.
func NewStreamWriter(client *neutral.Request, id string, created int64) *StreamWriter {
	return &StreamWriter{object: newObject(client, id, created), base: id}
}

// Append appends the events that stand for an event. Of several choices the first counts.
// Any event begins the stream, a failure too: OpenAI's stream helper fails with "expected
// response.created" on another beginning, and the client would see that error in place
// of the channel's. TextSig has no place here and is left out.
func (s *StreamWriter) Append(dst []byte, e *neutral.Event) []byte {
	if s.done || e.Choice > 0 {
		return dst
	}
	if e.Kind == neutral.Started && e.Created != 0 {
		s.object.created = e.Created
	}
	dst = s.start(dst)
	if len(s.output)+len(s.item.text) > maxOutput {
		return s.fail(dst, &neutral.Error{Status: 502, Message: "The response is too large"})
	}
	switch e.Kind {
	case neutral.TextDelta:
		return s.text(dst, neutral.Text, e.Text)
	case neutral.RefusalDelta:
		return s.text(dst, neutral.Refusal, e.Text)
	case neutral.ThoughtDelta:
		return s.thought(dst, e.Text)
	case neutral.ThoughtBreak:
		return s.endSummary(dst)
	case neutral.ThoughtSig:
		return s.signature(dst, e.Sig)
	case neutral.CallStart:
		if e.Sig.Value != "" {
			dst = s.signature(dst, e.Sig)
		}
		return s.callStart(dst, e.Call)
	case neutral.CallDelta:
		return s.callDelta(dst, e.Text)
	case neutral.CallEnd:
		return s.callEnd(dst, e.Incomplete)
	case neutral.MediaPartOut:
		return s.image(dst, e.Media)
	case neutral.Cited:
		return s.cite(dst, e.Citation)
	case neutral.Finished:
		return s.finish(dst, e)
	case neutral.Failed:
		return s.fail(dst, e.Err)
	}
	return dst
}

// End appends nothing: response.completed is the last event.
func (s *StreamWriter) End(dst []byte) []byte { return dst }

// event begins an event, with type and number. The number rises with each event, so an
// event that was begun must be written.
func (s *StreamWriter) event(kind string) *rawjson.Writer {
	w := &s.w
	w.Bytes = w.Bytes[:0]
	w.Open('{')
	w.KeyString("type", kind)
	w.KeyInt("sequence_number", s.sequence)
	s.sequence++
	return w
}

// end ends an event and appends it, with its name, which is its type once more.
func (s *StreamWriter) end(dst []byte, kind string) []byte {
	s.w.Close('}')
	return eventstream.Append(dst, kind, s.w.Bytes)
}

// start writes the two events that begin each stream, with the response as it is before
// the model has said anything. They must nest it under response: Codex takes no notice of
// members that stand at the top.
func (s *StreamWriter) start(dst []byte) []byte {
	if s.started {
		return dst
	}
	s.started = true
	for _, kind := range []string{"response.created", "response.in_progress"} {
		w := s.event(kind)
		w.Key("response")
		s.object.write(w, nil, outcome{status: "in_progress"})
		dst = s.end(dst, kind)
	}
	return dst
}

// finish ends a stream, with the whole response. Its kind follows the status, as Codex
// and Open Responses' checker expect: one of completed, incomplete and failed.
func (s *StreamWriter) finish(dst []byte, e *neutral.Event) []byte {
	dst = s.endItem(dst)
	s.done = true
	result := result(e.Finish, &e.Usage)
	if result.status == "completed" {
		result.completed = s.object.created
	}
	kind := "response." + result.status
	w := s.event(kind)
	w.Key("response")
	s.object.write(w, s.output, result)
	return s.end(dst, kind)
}

// fail ends a stream. The event error would make Codex believe that the connection
// was lost, so that it asks again whatever the error is; by the code in response.failed
// it knows better (see errorCode). The output has the items that are complete.
func (s *StreamWriter) fail(dst []byte, err *neutral.Error) []byte {
	s.done = true
	w := s.event("response.failed")
	w.Key("response")
	s.object.write(w, s.output, outcome{status: "failed", err: err})
	return s.end(dst, "response.failed")
}

// nextID returns the id of the item that begins. It is the same in all events of the
// item, and in the final output.
func (s *StreamWriter) nextID(prefix string) string {
	return prefix + s.base + "_" + strconv.Itoa(s.items)
}

// added writes that an item has begun; write writes the item without what its deltas add.
func (s *StreamWriter) added(dst []byte, write func(w *rawjson.Writer)) []byte {
	const kind = "response.output_item.added"
	w := s.event(kind)
	w.KeyInt("output_index", int64(s.items))
	w.Key("item")
	write(w)
	return s.end(dst, kind)
}

// completed writes that the open item is complete, and remembers it. Codex takes items
// from this event alone, so it has the whole item. No item is open afterwards; the memory
// of its text is kept for the next one.
func (s *StreamWriter) completed(dst []byte, write func(w *rawjson.Writer)) []byte {
	const kind = "response.output_item.done"
	w := s.event(kind)
	w.KeyInt("output_index", int64(s.items))
	w.Key("item")
	begun := len(w.Bytes)
	write(w)
	if len(s.output) > 0 {
		s.output = append(s.output, ',')
	}
	s.output = append(s.output, w.Bytes[begun:]...)
	s.items++
	s.item = openItem{text: s.item.text[:0]}
	return s.end(dst, kind)
}

// image writes an image, which comes as a whole: there are no deltas between the events.
func (s *StreamWriter) image(dst []byte, media *neutral.MediaPart) []byte {
	dst = s.endItem(dst)
	id := s.nextID("ig_")
	write := func(w *rawjson.Writer) { writeImageItem(w, id, media) }
	dst = s.added(dst, write)
	return s.completed(dst, write)
}
