package rawjson

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// unquote returns what the text between the quotes of a string says. What is no
// character becomes U+FFFD, as in encoding/json.
func unquote(quoted []byte) string {
	backslash := bytes.IndexByte(quoted, '\\')
	if backslash < 0 {
		return ValidText(quoted)
	}
	text := make([]byte, 0, len(quoted))
	for backslash >= 0 {
		text = append(text, quoted[:backslash]...)
		r, length := unescape(quoted[backslash:], true)
		if length == 0 {
			length = min(2, len(quoted)-backslash)
			r = utf8.RuneError
		}
		text = utf8.AppendRune(text, r)
		quoted = quoted[backslash+length:]
		backslash = bytes.IndexByte(quoted, '\\')
	}
	text = append(text, quoted...)
	return ValidText(text)
}

// ValidText returns a text with U+FFFD in place of each byte that is no part of a
// character.
func ValidText(text []byte) string {
	if utf8.Valid(text) {
		return string(text)
	}
	valid := make([]byte, 0, len(text)+8)
	for _, r := range string(text) {
		valid = utf8.AppendRune(valid, r)
	}
	return string(valid)
}

// Unescape returns the character that an escape sequence at the beginning of
// text stands for, and the length of the sequence: that of both halves of a
// surrogate pair. The length is 0 if more of the text is needed to know, or if
// there is no sequence.
//
// It is for texts that arrive in pieces, such as the arguments of a streamed call: the
// first half of a surrogate pair may stand at the end of one piece and the second in
// the next.
func Unescape(text []byte) (r rune, length int) { return unescape(text, false) }

// unescape is Unescape for a text of which all is known, or not.
func unescape(text []byte, whole bool) (r rune, length int) {
	if len(text) < 2 || text[0] != '\\' {
		return 0, 0
	}
	switch text[1] {
	case '"', '\\', '/':
		return rune(text[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
	default:
		return utf8.RuneError, 2
	}
	first, ok := hex4(text)
	if !ok {
		if len(text) >= 6 {
			return utf8.RuneError, 6
		}
		return 0, 0
	}
	if !utf16.IsSurrogate(first) {
		return first, 6
	}
	rest := text[6:]
	if !whole && first < 0xDC00 && len(rest) < 6 && couldBeEscape(rest) {
		return 0, 0
	}
	if second, ok := hex4(rest); ok {
		if r := utf16.DecodeRune(first, second); r != utf8.RuneError {
			return r, 12
		}
	}
	return utf8.RuneError, 6
}

// couldBeEscape reports whether what follows may make it the beginning of \uXXXX.
func couldBeEscape(text []byte) bool {
	return len(text) == 0 || text[0] == '\\' && (len(text) == 1 || text[1] == 'u')
}

// hex4 returns the number of an escape \uXXXX at the beginning of text.
func hex4(text []byte) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	return rune(n), err == nil
}

const hexDigits = "0123456789abcdef"

// AppendString appends a string in quotes. Only what must be escaped is, so that
// the same string always has the same bytes.
//
// Unlike encoding/json's, it leaves <, >, & and U+2028 as they are: clients and models
// compare texts, and no HTML is made of them here.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(dst, s[start:i]...)
				dst = append(dst, "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		dst = appendEscape(dst, c)
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}
