package refusal

import (
	"bytes"
	"slices"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/eventstream"
)

// Event is an event of an event stream. Its fields are parts of the stream and not
// copies, except for data of several lines.
type Event struct {
	Name, Data []byte
}

// NextEvent returns the first event of p that has data, and n, the length of p up
// to its end. Comments and events without data before it are included in n; if no
// complete event with data follows, n covers only those. whole reports whether p
// is the rest of the stream, so that its last event may lack the blank line.
//
// Source: html.spec.whatwg.org/multipage/server-sent-events.html, section
// "Interpreting an event stream", except that a field without a colon is ignored.
func NextEvent(p []byte, whole bool) (e Event, n int) {
	for next := 0; next < len(p); {
		line, size, ended := nextLine(p[next:])
		if !ended && !whole {
			return Event{}, n
		}
		next += size
		if field, value, ok := bytes.Cut(line, []byte(":")); ok {
			e.add(field, bytes.TrimPrefix(value, []byte(" ")))
		}
		if len(line) > 0 && (!whole || next < len(p)) {
			continue
		}
		n = next
		if e.Data != nil {
			return e, n
		}
		e = Event{}
	}
	return Event{}, n
}

// nextLine returns the first line of p, and its size with its end (CR, LF or
// CRLF). ended is false if p has no end of line. A CR at the end of p does not
// count as one, since an LF may follow.
func nextLine(p []byte) (line []byte, size int, ended bool) {
	end := eventstream.LineEnd(p)
	switch {
	case end < 0:
		return p, len(p), false
	case p[end] == '\n':
		return p[:end], end + 1, true
	case end == len(p)-1:
		return p, len(p), false
	case p[end+1] == '\n':
		return p[:end], end + 2, true
	}
	return p[:end], end + 1, true
}

// add adds a field. Several data fields are joined with a newline.
func (e *Event) add(field, value []byte) {
	switch string(field) {
	case "event":
		e.Name = value
	case "data":
		if e.Data == nil {
			e.Data = slices.Clip(value) // so that appending copies
			return
		}
		e.Data = append(append(e.Data, '\n'), value...)
	}
}

// isEvents reports whether a body is an event stream.
func isEvents(body []byte) bool {
	for _, field := range [...]string{"data:", "event:", ":", "id:", "retry:"} {
		if bytes.HasPrefix(body, []byte(field)) {
			return true
		}
	}
	return false
}

// Watch finds the first output of a stream. The caller buffers the stream and
// calls Look after each read. It must not be used after a result other than
// Nothing.
type Watch struct {
	// Dialect is the API that the stream belongs to.
	Dialect Dialect

	// Event is the event that decided, once Look has returned a result.
	Event Event

	at   int // offset of the first event that is not inspected yet
	seen int // offset up to which ends of lines were searched
}

// Look inspects held, which is the stream from its beginning; only the part that
// is new since the last call is read. whole reports whether the stream has ended.
// Look returns Nothing until an event decides. At the end of a stream, Nothing
// and End mean that there was no output.
func (w *Watch) Look(held []byte, whole bool) Found {
	fresh := held[w.seen:]
	w.seen = max(len(held)-1, 0) // a CR at the end waits for what follows
	if !whole && bytes.IndexByte(fresh, '\n') < 0 && bytes.IndexByte(fresh, '\r') < 0 {
		return Nothing
	}
	for {
		e, n := NextEvent(held[w.at:], whole)
		w.at += n
		if e.Data == nil {
			return Nothing
		}
		switch found := InspectEvent(w.Dialect, e.Name, e.Data); found {
		case Nothing:
		case End:
			// Output after [DONE] would be a protocol error; it is not waited for.
			w.Event = e
			return End
		default:
			w.Event = e
			return found
		}
	}
}
