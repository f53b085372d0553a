package reqbody

import "bytes"

// These functions walk through a text that is known to be valid JSON, as a
// Scanner has found it, or through the beginning of one. They skip values without
// looking into them, and copy nothing but keys with escapes.

// Fields yields the keys of an object, decoded, and the values as they are
// written. It yields nothing for other values.
//
// A field that is named twice comes twice, in the order of the text. A text that breaks
// off within a value yields the value as far as it is there, and one that breaks off
// before it does not yield its key.
func Fields(object []byte, yield func(key, value []byte) bool) {
	object = bytes.TrimLeft(object, space)
	if len(object) == 0 || object[0] != '{' {
		return
	}
	for i := skipSpace(object, 1); i < len(object) && object[i] == '"'; i = skipSpace(object, i) {
		end := skipValue(object, i)
		key, colon := object[i:end], skipSpace(object, end)
		if colon == len(object) {
			return // the text breaks off
		}
		start := skipSpace(object, colon+1)
		end = skipValue(object, start)
		if !yield(Text(key), object[start:end]) {
			return
		}
		if i = skipSpace(object, end); i < len(object) && object[i] == ',' {
			i++
		}
	}
}

// Elements yields the elements of a list as they are written. It yields nothing
// for other values.
func Elements(list []byte, yield func(element []byte) bool) {
	list = bytes.TrimLeft(list, space)
	if len(list) == 0 || list[0] != '[' {
		return
	}
	for i := skipSpace(list, 1); i < len(list) && list[i] != ']'; i = skipSpace(list, i) {
		end := skipValue(list, i)
		if !yield(list[i:end]) {
			return
		}
		if i = skipSpace(list, end); i < len(list) && list[i] == ',' {
			i++
		}
	}
}

// Text returns the text of a string as it is written, maybe with space around it,
// nil for other values. What is not valid Unicode in it becomes the replacement
// character.
//
// Text without escapes shares memory with value; who keeps it clones it.
func Text(value []byte) []byte {
	value = bytes.Trim(value, space)
	if len(value) < 2 || value[0] != '"' {
		return nil
	}
	raw := value[1 : len(value)-1]
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	text, _ := decode(raw)
	return []byte(text)
}

// space is what may stand between the parts of a JSON text.
const space = " \t\r\n"

func skipSpace(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n') {
		i++
	}
	return i
}

// skipValue returns where the value ends that begins at i.
//
// It counts brackets and skips strings, no more: in a text that a Scanner has validated
// this finds the same end as a parser, at a fraction of the cost.
func skipValue(text []byte, i int) int {
	depth := 0
	for i < len(text) {
		switch text[i] {
		case '"':
			i, _ = StringEnd(text, i)
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // the end of what the value stands in
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return i
}

// StringEnd returns where the string ends whose opening quote is at a place of a text,
// and false if the text ends before. It reads each byte once.
func StringEnd(text []byte, at int) (end int, closed bool) {
	for start := at + 1; start < len(text); start = end {
		quote := bytes.IndexByte(text[start:], '"')
		if quote < 0 {
			break
		}
		quote += start
		end = quote + 1
		// The quote is escaped if an odd number of backslashes precedes it.
		backslash := quote
		for backslash > start && text[backslash-1] == '\\' {
			backslash--
		}
		if (quote-backslash)%2 == 0 {
			return end, true
		}
	}
	return len(text), false
}
