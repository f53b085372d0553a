package conversation

import (
	"bytes"
	"encoding/hex"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
	"github.com/caddy-freetier/caddy-freetier/internal/ring"
)

// cursor reads the beginning of a text that is valid JSON as a whole, so it may
// break off anywhere. It reads each byte once.
//
// Strings are hashed as they stand, and only escapes are decoded, through a small
// buffer: the identity is found anew for each request, and a prompt has up to 48 KB
// that count.
type cursor struct {
	text  []byte
	at    int
	depth int
}

// maxDepth is how deep values are looked at. No message nests deeper.
const maxDepth = 16

// next returns the first byte of what comes next, 0 at the end.
func (c *cursor) next() byte {
	for c.at < len(c.text) {
		switch b := c.text[c.at]; b {
		case ' ', '\t', '\r', '\n':
			c.at++
		default:
			return b
		}
	}
	return 0
}

// members calls f with each key of an object, as it is written between its
// quotes. f reads the value. It does nothing at another value.
func (c *cursor) members(f func(key []byte)) {
	if c.next() != '{' {
		c.skip()
		return
	}
	c.at++
	c.depth++
	for c.next() == '"' {
		key := c.str()
		if c.next() != ':' {
			break
		}
		c.at++
		c.value(func() { f(key) })
		if c.next() != ',' {
			break
		}
		c.at++
	}
	c.end('}')
}

// elements calls f at each element of a list, until f returns false. f reads the
// element.
func (c *cursor) elements(f func() bool) {
	if c.next() != '[' {
		c.skip()
		return
	}
	c.at++
	c.depth++
	for b := c.next(); b != ']' && b != 0; {
		more := false
		c.value(func() { more = f() })
		if !more || c.next() != ',' {
			break
		}
		c.at++
		b = c.next()
	}
	c.end(']')
}

// value calls f, which reads a value, unless that lies too deep.
func (c *cursor) value(f func()) {
	if c.depth > maxDepth {
		c.skip()
		return
	}
	f()
}

// end leaves an object or a list.
func (c *cursor) end(bracket byte) {
	c.depth--
	if c.next() == bracket {
		c.at++
	}
}

// skip reads a value without looking into it.
func (c *cursor) skip() {
	depth := 0
	for b := c.next(); b != 0; b = c.next() {
		switch b {
		case '"':
			c.str()
		case '{', '[':
			c.at++
			depth++
		case '}', ']', ',', ':':
			if depth == 0 {
				return // the end of what the value stands in
			}
			c.at++
			if b == '}' || b == ']' {
				depth--
			}
		default:
			c.scalar()
		}
		if depth == 0 {
			return
		}
	}
}

// scalar reads a number, true, false or null, and returns it as it is written.
func (c *cursor) scalar() []byte {
	start := c.at
	for c.at < len(c.text) {
		switch c.text[c.at] {
		case ' ', '\t', '\r', '\n', ',', ':', ']', '}', '[', '{', '"':
			return c.text[start:c.at]
		}
		c.at++
	}
	return c.text[start:]
}

// str reads a string and returns it as it is written between its quotes, as far
// as the text goes.
func (c *cursor) str() []byte {
	start := c.at + 1
	end, closed := reqbody.StringEnd(c.text, c.at)
	c.at = end
	if closed {
		end--
	}
	return c.text[start:end]
}

// hashText returns the hash of a string's text, given as it is written.
//
// "é" and "\u00e9" have the same hash: clients differ in what they escape, and SDKs
// change it between versions.
func hashText(raw []byte) uint64 {
	i := bytes.IndexByte(raw, '\\')
	if i < 0 {
		return xxhash.Sum64(raw)
	}
	var d xxhash.Digest
	d.Reset()
	// Most escapes stand for one byte, and runs between them are short: they are
	// put together, since each Write has its price.
	var room [512]byte
	text := room[:0]
	for i >= 0 {
		text = write(&d, text, raw[:i])
		if cap(text)-len(text) < utf8.UTFMax {
			_, _ = d.Write(text)
			text = text[:0]
		}
		var n int
		text, n = unescape(raw[i:], text)
		raw = raw[i+n:]
		i = bytes.IndexByte(raw, '\\')
	}
	_, _ = d.Write(write(&d, text, raw))
	return d.Sum64()
}

// write appends a run of bytes to what waits for being written, which it writes
// before if there is no room.
func write(d *xxhash.Digest, text, run []byte) []byte {
	if len(run) <= cap(text)-len(text) {
		return append(text, run...)
	}
	_, _ = d.Write(text)
	text = text[:0]
	if len(run) > cap(text) {
		_, _ = d.Write(run)
		return text
	}
	return append(text, run...)
}

// unescape appends what the escape stands for with which raw begins, and returns
// how long the escape is.
func unescape(raw, text []byte) (appended []byte, n int) {
	if len(raw) < 2 {
		return text, len(raw)
	}
	switch c := raw[1]; c {
	case 'b':
		return append(text, '\b'), 2
	case 'f':
		return append(text, '\f'), 2
	case 'n':
		return append(text, '\n'), 2
	case 'r':
		return append(text, '\r'), 2
	case 't':
		return append(text, '\t'), 2
	case 'u':
	default:
		return append(text, c), 2
	}
	r, ok := unicodeEscape(raw)
	if !ok {
		return text, len(raw) // the text breaks off
	}
	if !utf16.IsSurrogate(r) {
		return utf8.AppendRune(text, r), 6
	}
	if low, ok := unicodeEscape(raw[6:]); ok {
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return utf8.AppendRune(text, pair), 12
		}
	}
	return utf8.AppendRune(text, utf8.RuneError), 6
}

// unicodeEscape returns the code unit that an escape such as \u00e9 names.
func unicodeEscape(raw []byte) (rune, bool) {
	var unit [2]byte
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return 0, false
	}
	if _, err := hex.Decode(unit[:], raw[2:6]); err != nil {
		return 0, false
	}
	return rune(unit[0])<<8 | rune(unit[1]), true
}

// join adds a hash to one of what comes before it.
func join(before, hash uint64) uint64 { return ring.Mix(before*31 + hash + 1) }
