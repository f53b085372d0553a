// Package eventstream reads the events of an event stream (text/event-stream) out of
// the bytes that have come of it so far.
//
// Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
//
// Lines end with LF or CRLF; a lone CR, which the standard allows too, is sent
// by no API of language models.
package eventstream

import "slices"

import "bytes"

// Event is an event of a stream.
type Event struct {
	// Name is the value of the field event, empty for none.
	Name string
	// Data are the values of the data fields, one after the other. It may be a
	// part of the bytes that were read.
	Data []byte
}

// BlockLength returns the length of the first block of p: an event or a comment
// together with the blank line that ends it. It returns 0 if the block has not
// ended.
func BlockLength(p []byte) int {
	length, _ := BlockEnd(p, 0)
	return length
}

// BlockEnd is BlockLength for a block that comes in pieces. line is where the line
// began with which the bytes ended before, none of which need be read again. It
// returns where the last one begins now if the block has not ended.
func BlockEnd(p []byte, line int) (length, next int) {
	for next = line; ; {
		end := bytes.IndexByte(p[next:], '\n')
		if end < 0 {
			return 0, next
		}
		text := bytes.TrimSuffix(p[next:next+end], []byte("\r"))
		next += end + 1
		if len(text) == 0 {
			return next, 0
		}
	}
}

// First returns the first event of p that has data. Comments and events named
// ping, which only keep the connection alive, are skipped. atEOF reports that
// nothing follows p, so that its last event ends without a blank line. length is
// what was read of p: all before it need not be read again when more has come.
func First(p []byte, atEOF bool) (event Event, length int, found bool) {
	for length < len(p) {
		block := BlockLength(p[length:])
		if block == 0 {
			if !atEOF {
				break
			}
			block = len(p) - length
		}
		event = parse(p[length : length+block])
		length += block
		if len(event.Data) > 0 && event.Name != "ping" {
			return event, length, true
		}
	}
	return Event{}, length, false
}

// parse reads the fields of a block.
func parse(block []byte) (event Event) {
	for len(block) > 0 {
		var line []byte
		line, block, _ = bytes.Cut(block, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		if value, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			if event.Data == nil {
				event.Data = slices.Clip(value) // most events have one line: no copy
			} else {
				event.Data = append(event.Data, value...)
			}
		} else if value, ok := bytes.CutPrefix(line, []byte("event:")); ok {
			event.Name = string(bytes.TrimSpace(value))
		}
	}
	return event
}
