package refusal

import "bytes"

// Event is an event of a stream.
type Event struct {
	Name, Data []byte
}

// NextEvent returns the first event of p that has data, and how much of p it
// and everything before it take. That is 0 if there is no whole event yet,
// unless there is something to skip. whole says that nothing comes behind p.
//
// Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
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

// nextLine returns the first line of p and its length with its end, which may
// be CR, LF or both.
func nextLine(p []byte) (line []byte, size int, ended bool) {
	i := bytes.IndexByte(p, '\n')
	ended = i >= 0
	line, size = p, len(p)
	if ended {
		line, size = p[:i], i+1
	}
	if j := bytes.IndexByte(line, '\r'); j >= 0 && (j < len(line)-1 || ended) {
		if j == len(line)-1 {
			return line[:j], size, true
		}
		return line[:j], j + 1, true
	}
	return line, size, ended
}

func (e *Event) add(field, value []byte) {
	switch string(field) {
	case "event":
		e.Name = value
	case "data":
		if e.Data == nil {
			e.Data = value[:len(value):len(value)] // so that appending copies
			return
		}
		e.Data = append(append(e.Data, '\n'), value...)
	}
}

// isEvents reports whether a body is a stream of events.
func isEvents(body []byte) bool {
	for _, field := range [...]string{"data:", "event:", ":", "id:", "retry:"} {
		if bytes.HasPrefix(body, []byte(field)) {
			return true
		}
	}
	return false
}

// Watch finds the first output of a stream. The caller keeps what has come and
// calls Look again when there is more of it.
type Watch struct {
	// Dialect is what the stream is in.
	Dialect Dialect

	// Event is the event that decided.
	Event Event

	at   int // where the next event begins
	seen int // how much was looked at
}

// Look looks at what has come so far: held, of which only the new part is read.
// whole says that the stream has ended. It returns Nothing until an event
// decides; at the end of a stream, Nothing and End mean that there was no
// output.
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
			// Nothing may follow, but whoever writes [DONE] first is wrong
			// about more.
			w.Event = e
			return End
		default:
			w.Event = e
			return found
		}
	}
}
