package eventstream

import (
	"bytes"
	"errors"
)

// maxEvent bounds the bytes of an event. Responses repeats the whole response in
// its last event, and images come in one.
const maxEvent = 64 << 20

// ErrTooLong is the error of an event that is longer than 64 MB.
var ErrTooLong = errors.New("event of the stream is too long")

// Decoder reads the events of a stream as its bytes come, in pieces that may end
// anywhere. It reads lines that end with LF, CRLF or CR, and keeps no more than
// the event under way. The fields id and retry, which serve to resume a stream, are
// ignored: none of the four dialects uses them.
//
// The zero value is ready. A Decoder belongs to one response and is not safe for
// concurrent use.
type Decoder struct {
	kept    []byte // the line under way, empty if it lies within one piece
	name    string // of the event under way
	data    []byte // of the event under way; its memory is used again for the next
	hasData bool   // tells "data:" with an empty value from no data field
	afterCR bool   // an LF would belong to the line before
	begun   bool   // a byte order mark would not be one
	size    int    // of the event under way in bytes, comments included; see maxEvent
}

// Write reads a piece of the stream and calls yield for each event that has data
// and is complete. data is valid until yield returns. After an error, which can only be
// ErrTooLong, the stream cannot be read on.
func (d *Decoder) Write(piece []byte, yield func(name string, data []byte)) error {
	for len(piece) > 0 {
		if d.afterCR {
			d.afterCR = false
			if piece[0] == '\n' {
				piece = piece[1:]
				continue
			}
		}
		end := LineEnd(piece)
		if end < 0 {
			d.kept = append(d.kept, piece...)
			return d.grow(len(piece))
		}
		line := piece[:end]
		if len(d.kept) > 0 {
			d.kept = append(d.kept, line...)
			line = d.kept
		}
		if err := d.grow(end); err != nil {
			return err
		}
		d.line(line, yield)
		d.kept = d.kept[:0]
		d.afterCR = piece[end] == '\r'
		piece = piece[end+1:]
	}
	return nil
}

// lineStep is how much of a piece is searched for the end of a line at once. Without it
// each line that ends with CR would cost a search for LF in all that follows.
const lineStep = 4 << 10

// LineEnd returns where the first line of a piece ends, with LF or CR, -1 if it does not.
func LineEnd(piece []byte) int {
	for at := 0; at < len(piece); at += lineStep {
		part := piece[at:min(at+lineStep, len(piece))]
		end := bytes.IndexByte(part, '\n')
		if end >= 0 {
			part = part[:end]
		}
		if cr := bytes.IndexByte(part, '\r'); cr >= 0 {
			return at + cr
		}
		if end >= 0 {
			return at + end
		}
	}
	return -1
}

// grow counts the bytes of the event under way. They are counted as they are read, not
// as they are kept, so that an endless comment is an error too.
func (d *Decoder) grow(n int) error {
	if d.size += n; d.size > maxEvent {
		return ErrTooLong
	}
	return nil
}

// End reads the last event if no blank line has ended it, as some servers do.
func (d *Decoder) End(yield func(name string, data []byte)) {
	if len(d.kept) > 0 {
		d.line(d.kept, yield)
		d.kept = nil
	}
	d.dispatch(yield)
}

// line reads one line, without its end. The value loses one space and no more, as the
// standard says: text that is not JSON may begin with another.
func (d *Decoder) line(line []byte, yield func(name string, data []byte)) {
	if !d.begun {
		d.begun = true
		line = bytes.TrimPrefix(line, []byte("\ufeff"))
	}
	if len(line) == 0 {
		d.dispatch(yield)
		return
	}
	field, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(field) {
	case "data":
		if d.hasData {
			d.data = append(d.data, '\n')
		}
		d.data = append(d.data, value...)
		d.hasData = true
	case "event":
		d.name = string(value)
	}
}

// dispatch ends an event. An event without data is none, whatever its name is; the
// standard says the same.
func (d *Decoder) dispatch(yield func(name string, data []byte)) {
	if d.hasData && len(d.data) > 0 {
		yield(d.name, d.data)
	}
	d.name, d.data, d.hasData, d.size = "", d.data[:0], false, 0
}
