package refusal

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// value is the text of one JSON value, a part of the body without a copy. Members
// are found by scanning, and only what is asked for is decoded: events of a
// stream are inspected for every token, and encoding/json would allocate for
// each. The text may be cut off, since only the beginning of a body is read;
// encoding/json would refuse that. Malformed text ends early and is no error.
type value []byte

// parse returns the value at the beginning of text, after a byte order mark and
// white space, and nil if text does not begin like a JSON object or array.
func parse(text []byte) value {
	text = trimStart(text)
	if len(text) == 0 || !beginsContainer(text) {
		return nil
	}
	return value(text[:skip(text, 0)])
}

// beginsContainer reports whether text begins an object or array. It returns
// false for texts such as "[ERROR] no" and "{error}".
func beginsContainer(text []byte) bool {
	i := space(text, 1)
	if text[0] != '{' && text[0] != '[' {
		return false
	}
	if i == len(text) {
		return true
	}
	if text[0] == '{' {
		return text[i] == '"' || text[i] == '}'
	}
	return bytes.IndexByte([]byte(`{["]tfn-0123456789`), text[i]) >= 0
}

// trimStart removes a byte order mark and white space from the beginning.
func trimStart(text []byte) []byte {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	return text[space(text, 0):]
}

// space returns the index of the first byte from i on that is not white space
// (RFC 8259, section 2).
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// skip returns the index after the value that begins at i.
func skip(b []byte, i int) int {
	if i >= len(b) {
		return len(b)
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		return skipContainer(b, i)
	}
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] > ' ' {
		i++
	}
	return i
}

// skipString returns the index after the string that begins at i. The first 32
// bytes are compared one by one, which is faster for names and short words than
// a call of IndexByte; the rest of a long string, such as an image in base64, is
// searched.
func skipString(b []byte, i int) int {
	for short := min(i+33, len(b)); i+1 < short; {
		i++
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	for i++; i < len(b); i++ {
		end := bytes.IndexByte(b[i:], '"')
		if end < 0 {
			return len(b)
		}
		i += end
		slashes := 0
		for b[i-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return i + 1
		}
	}
	return len(b)
}

// skipContainer returns the index after the object or array that begins at i. It
// counts brackets without comparing their kinds: [} closes, which does not
// matter where nothing is validated.
func skipContainer(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i = skipString(b, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return len(b)
}

// kind returns the byte that a value begins with, and 0 if there is none.
func (v value) kind() byte {
	if len(v) == 0 {
		return 0
	}
	return v[0]
}

func (v value) isObject() bool { return v.kind() == '{' }
func (v value) isArray() bool  { return v.kind() == '[' }
func (v value) isString() bool { return v.kind() == '"' }

// isSet reports whether a value has content: it is not absent, null, false, nor
// an empty string, array or object.
func (v value) isSet() bool {
	switch v.kind() {
	case 0, 'n', 'f':
		return false
	case '"':
		return len(v) > 1 && v[1] != '"'
	case '[', '{':
		i := space(v, 1)
		return i < len(v) && v[i] != ']' && v[i] != '}'
	}
	return true
}

// fields yields the members of an object.
func (v value) fields(yield func(name []byte, member value) bool) {
	if !v.isObject() {
		return
	}
	for i := space(v, 1); i < len(v) && v[i] == '"'; {
		end := skipString(v, i)
		if end >= len(v) {
			return
		}
		name := v[i+1 : end-1]
		i = space(v, end)
		if i >= len(v) || v[i] != ':' {
			return
		}
		i = space(v, i+1)
		if i >= len(v) {
			return
		}
		end = skip(v, i)
		if end == i || !yield(name, v[i:end]) {
			return
		}
		i = space(v, end)
		if i >= len(v) || v[i] != ',' {
			return
		}
		i = space(v, i+1)
	}
}

// items yields the elements of an array.
func (v value) items(yield func(element value) bool) {
	if !v.isArray() {
		return
	}
	for i := space(v, 1); i < len(v) && v[i] != ']'; {
		end := skip(v, i)
		if end == i || !yield(v[i:end]) {
			return
		}
		i = space(v, end)
		if i >= len(v) || v[i] != ',' {
			return
		}
		i = space(v, i+1)
	}
}

// get returns a member of an object, and nil if it has none of this name.
func (v value) get(name string) value {
	for n, member := range v.fields {
		if string(n) == name {
			return member
		}
	}
	return nil
}

// first returns the first element of an array, and any other value itself:
// some providers wrap their errors in an array.
func (v value) first() value {
	for range 4 {
		if !v.isArray() {
			return v
		}
		var element value
		for e := range v.items {
			element = e
			break
		}
		v = element
	}
	return nil
}

// is reports whether v is the string s, which needs no escapes.
func (v value) is(s string) bool {
	return len(v) == len(s)+2 && v[0] == '"' && string(v[1:len(v)-1]) == s
}

// raw returns a string's content with its escapes, without a copy. It is nil for
// other values and for a string that is cut off.
func (v value) raw() []byte {
	if !v.isString() || !closed(v) {
		return nil
	}
	return v[1 : len(v)-1]
}

// text returns a string's content in valid UTF-8, numbers and literals as they
// are written, and "" for null, arrays and objects. A string that is cut off
// ends where it is cut off.
func (v value) text() string {
	switch v.kind() {
	case 0, '{', '[', 'n':
		return ""
	case '"':
		body := v[1:]
		if closed(v) {
			body = body[:len(body)-1]
		}
		if bytes.IndexByte(body, '\\') < 0 {
			return string(bytes.ToValidUTF8(body, []byte("\uFFFD")))
		}
		return unescape(body)
	}
	return string(v)
}

// closed reports whether a string has its end.
func closed(v value) bool {
	if len(v) < 2 || v[len(v)-1] != '"' {
		return false
	}
	slashes := 0
	for i := len(v) - 2; i > 0 && v[i] == '\\'; i-- {
		slashes++
	}
	return slashes%2 == 0
}

// escapes are the escapes of RFC 8259, section 7, that do not stand for
// themselves. \u is treated apart.
var escapes = map[byte]byte{'n': '\n', 't': '\t', 'r': '\r', 'b': '\b', 'f': '\f'}

func unescape(body []byte) string {
	out := make([]byte, 0, len(body))
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' || i+1 == len(body) {
			out = append(out, body[i])
			continue
		}
		i++
		if body[i] == 'u' {
			r, n := unescapeRune(body[i-1:])
			out = utf8.AppendRune(out, r)
			i += n - 2
			continue
		}
		if c, ok := escapes[body[i]]; ok {
			out = append(out, c)
		} else {
			out = append(out, body[i])
		}
	}
	return string(bytes.ToValidUTF8(out, []byte("\uFFFD")))
}

// unescapeRune reads \uXXXX, or a surrogate pair of two, and returns the rune and
// the length of its text. A lone surrogate is U+FFFD.
func unescapeRune(b []byte) (rune, int) {
	r, ok := hex4(b)
	if !ok {
		return utf8.RuneError, 2
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if low, ok := hex4(b[6:]); ok {
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return utf8.RuneError, 6
}

// hex4 reads one \uXXXX.
func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}
