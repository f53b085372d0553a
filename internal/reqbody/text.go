package reqbody

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"strings"
	"unicode/utf8"
)

const (
	lows  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special has the high bit set in the first byte of w that ends a run of
// ordinary bytes in a string: a quote, a backslash or a control character.
// With one bit flipped the quote comes to stand right above the control
// characters, so that one comparison finds both.
func special(w uint64) uint64 {
	low, backslash := w^(lows*0x02), w^(lows*'\\')
	return ((low-lows*0x21)&^low | (backslash-lows)&^backslash) & highs
}

// suspicious has a high bit set if special(w) has, or if w is not all ASCII.
// It is what base64 and most text pass, so it is asked first.
func suspicious(w uint64) uint64 {
	return ((w ^ lows*0x02) - lows*0x21) | ((w ^ lows*'\\') - lows) | w
}

// str reads a string up to its end, an escape, or the end of p.
func (s *Scanner) str(p []byte, i int) int {
	start := i
	for ; i+32 <= len(p); i += 32 {
		q := p[i : i+32 : i+32]
		w, x := binary.LittleEndian.Uint64(q), binary.LittleEndian.Uint64(q[8:])
		y, z := binary.LittleEndian.Uint64(q[16:]), binary.LittleEndian.Uint64(q[24:])
		if (suspicious(w)|suspicious(x)|suspicious(y)|suspicious(z))&highs == 0 {
			continue
		}
		a, b, c, d := special(w), special(x), special(y), special(z)
		if a|b|c|d == 0 {
			continue
		}
		switch {
		case a != 0:
			i += bits.TrailingZeros64(a) >> 3
		case b != 0:
			i += 8 + bits.TrailingZeros64(b)>>3
		case c != 0:
			i += 16 + bits.TrailingZeros64(c)>>3
		default:
			i += 24 + bits.TrailingZeros64(d)>>3
		}
		return s.strEnd(p, start, i)
	}
	for i < len(p) && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\' {
		i++
	}
	return s.strEnd(p, start, i)
}

func (s *Scanner) strEnd(p []byte, start, i int) int {
	if s.keeping {
		s.append(p[start:i])
	}
	switch {
	case i == len(p):
		return i
	case p[i] == '\\':
		s.state = inEscape
		if s.keeping {
			s.append(p[i : i+1])
		}
		return i + 1
	case p[i] != '"':
		return s.fail(i, "a control character stands in a string")
	}
	s.state = afterElement
	if s.isKey {
		s.state = beforeColon
	}
	if s.keeping {
		s.kept(i)
	}
	return i + 1
}

func (s *Scanner) append(p []byte) {
	if len(s.capture)+len(p) > maxValue {
		s.long = true
		return
	}
	s.capture = append(s.capture, p...)
}

// kept is called at the end of a kept string.
func (s *Scanner) kept(i int) {
	s.keeping = false
	if s.isKey {
		s.keptKey()
		return
	}
	text, ok := decode(s.capture)
	switch {
	case s.long:
		s.fail(i, "the "+s.field+" is too long")
	case !ok:
		s.fail(i, "the "+s.field+" is not valid Unicode")
	}
	s.value.Text, s.value.End = text, s.offset+int64(i)+1
}

func (s *Scanner) keptKey() {
	s.isField, s.other = false, -1
	if s.long {
		return
	}
	key := s.capture
	if bytes.IndexByte(key, '\\') >= 0 {
		text, _ := decode(key)
		key = []byte(text)
	}
	if string(key) == s.field {
		s.keptField()
		return
	}
	for i := range s.others {
		if span := &s.others[i]; string(key) == span.Name {
			span.Twice, s.other = span.End > 0, i
			return
		}
	}
	if strings.EqualFold(string(key), s.field) {
		s.err = &AmbiguousError{"a key differs from " + s.field + " by letter case only"}
	}
}

func (s *Scanner) keptField() {
	if s.found {
		s.err = &AmbiguousError{"the " + s.field + " is named more than once"}
		return
	}
	s.isField, s.found = true, true
}

// decode returns the text of a JSON string's inside, and whether it is valid
// Unicode: parsers differ in what they make of the rest.
func decode(raw []byte) (string, bool) {
	if !strings.Contains(string(raw), `\`) {
		return string(raw), utf8.Valid(raw)
	}
	quoted := append(append([]byte{'"'}, raw...), '"')
	var text string
	if err := json.Unmarshal(quoted, &text); err != nil {
		return "", false
	}
	return text, utf8.Valid(raw) && !strings.ContainsRune(text, utf8.RuneError)
}

func (s *Scanner) escape(p []byte, i int) int {
	switch p[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.state = inString
	case 'u':
		s.state, s.hex = inHex, 4
	default:
		return s.fail(i, "unknown escape in a string")
	}
	if s.keeping {
		s.append(p[i : i+1])
	}
	return i + 1
}

func (s *Scanner) hexDigit(p []byte, i int) int {
	c := p[i]
	if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
		return s.fail(i, "an escape in a string is not hexadecimal")
	}
	if s.keeping {
		s.append(p[i : i+1])
	}
	if s.hex--; s.hex == 0 {
		s.state = inString
	}
	return i + 1
}
