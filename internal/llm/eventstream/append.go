package eventstream

import "bytes"

// Append appends an event whose data is JSON; name may be empty. The data fills exactly
// one line: some readers do not join several data lines, and a line break between two
// tokens of JSON means the same as a space. Line breaks inside of strings are escaped in
// JSON and are not touched. Such breaks come from values that are passed on as the other
// side has written them, such as schemas that a Responses object repeats.
//
// The event is appended as a whole, so that it can be sent in one write: Open Responses'
// own checker loses an event that is cut across two reads.
func Append(dst []byte, name string, data []byte) []byte {
	if name != "" {
		dst = append(dst, "event: "...)
		dst = append(dst, name...)
		dst = append(dst, '\n')
	}
	dst = append(dst, "data: "...)
	begun := len(dst)
	dst = append(dst, data...)
	if bytes.IndexByte(data, '\n') >= 0 || bytes.IndexByte(data, '\r') >= 0 {
		for i := begun; i < len(dst); i++ {
			if dst[i] == '\n' || dst[i] == '\r' {
				dst[i] = ' '
			}
		}
	}
	return append(dst, "\n\n"...)
}
