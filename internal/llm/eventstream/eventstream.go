package eventstream

import "bytes"

// Event is an event of a stream.
type Event struct {
	// Name is the value of the field event, empty for none. Events of chat and gemini
	// have no name; those of responses and messages repeat it as type in the data.
	Name string
	// Data are the values of the data fields, one after the other. It may be a
	// part of the bytes that were read.
	Data []byte
}

// BlockEnd returns the length of the first block of p: an event or a comment together
// with the blank line that ends it. line is where the line began with which the bytes
// ended before, none of which need be read again: a caller that gathers a long event
// from many pieces would otherwise read it once for each of them. It returns where the
// last line begins now if the block has not ended.
//
// A lone CR, which the standard allows as the end of a line, does not count here: no API
// of language models sends it.
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
