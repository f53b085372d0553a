package reqbody

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"strings"
	"unicode/utf8"
)

// A 64-bit word holds eight bytes of a string. lows and highs have the lowest and the
// highest bit of each byte set, for arithmetic on all eight at once (H. S. Warren,
// Hacker's Delight, section 6-1, "Find First 0-Byte"): (x-lows)&^x&highs has the high
// bit set in the first byte of x that is 0, and a borrow can be wrong only in bytes
// behind it.
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

// str reads a string up to its end, an escape, or the end of p. It looks at 32 bytes at
// a time: strings are nearly all of a body, and the messages of a chat mostly a few
// long ones.
func (s *Scanner) str(p []byte, i int) int {
	start, beyondASCII := i, byte(0)
	for ; i+32 <= len(p); i += 32 {
		q := p[i : i+32 : i+32]
		w, x := binary.LittleEndian.Uint64(q), binary.LittleEndian.Uint64(q[8:])
		y, z := binary.LittleEndian.Uint64(q[16:]), binary.LittleEndian.Uint64(q[24:])
		if (suspicious(w)|suspicious(x)|suspicious(y)|suspicious(z))&highs == 0 {
			continue
		}
		if (w|x|y|z)&highs != 0 {
			beyondASCII = 0x80
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
		return s.strEnd(p, start, i, beyondASCII)
	}
	for i < len(p) && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\' {
		beyondASCII |= p[i]
		i++
	}
	return s.strEnd(p, start, i, beyondASCII)
}

// strEnd is called at the end of a run of ordinary bytes. beyondASCII has its
// high bit set if there may be others than ASCII among them.
//
// The bytes are checked and captured as one run; p[i] is what ended it, unless i is
// len(p) and the string goes on in the next piece.
func (s *Scanner) strEnd(p []byte, start, i int, beyondASCII byte) int {
	if (beyondASCII >= utf8.RuneSelf || s.sequenceLength > 0) && !s.continueUTF8(p[start:i], i == len(p)) {
		return s.fail(start, "a string is not valid UTF-8")
	}
	if s.capturing {
		s.append(p[start:i])
	}
	if s.collector.inKey {
		s.nestedKey(p, start, i)
	}
	switch {
	case i == len(p):
		return i
	case p[i] == '\\':
		s.state = inEscape
		if s.capturing {
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
	if s.capturing {
		s.captured(i)
	}
	return i + 1
}

// continueUTF8 reports whether a run of bytes is valid, together with the sequence
// that an earlier piece has begun. If the run goes on in the next piece it may
// end within a sequence.
//
// A parser that drops or replaces invalid bytes, or takes the quote behind one
// for a part of it, could find another structure.
//
// The classic case is C2 22: a decoder that takes two bytes for one character swallows
// the quote and finds the end of the string elsewhere than one that replaces C2 alone.
// RFC 8259, section 8.1, demands UTF-8 between systems, so no correct client is
// refused.
func (s *Scanner) continueUTF8(run []byte, goesOn bool) bool {
	if s.sequenceLength > 0 {
		for len(run) > 0 && !utf8.FullRune(s.sequence[:s.sequenceLength]) {
			s.sequence[s.sequenceLength] = run[0]
			s.sequenceLength++
			run = run[1:]
		}
		sequence := s.sequence[:s.sequenceLength]
		if !utf8.FullRune(sequence) {
			return goesOn
		}
		s.sequenceLength = 0
		if !utf8.Valid(sequence) {
			return false
		}
	}
	if goesOn {
		for n := 1; n < utf8.UTFMax && n <= len(run); n++ {
			if tail := run[len(run)-n:]; utf8.RuneStart(tail[0]) {
				if !utf8.FullRune(tail) {
					s.sequenceLength = copy(s.sequence[:], tail)
					run = run[:len(run)-n]
				}
				break
			}
		}
	}
	return isUTF8(run)
}

// append captures p, or, where that would be too much, notes that the string is long.
// Who asked for the string decides in captured what that means: an error for the field
// and a key, nothing for a text that is collected.
func (s *Scanner) append(p []byte) {
	if len(s.capture)+len(p) > maxValue {
		s.long = true
		return
	}
	s.capture = append(s.capture, p...)
}

// captured is called at the end of a captured string: a key of the top level, a text
// that is collected, or the field's value.
func (s *Scanner) captured(i int) {
	s.capturing = false
	if s.isKey {
		s.capturedKey()
		return
	}
	if s.collector.inText {
		s.collected()
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

// capturedKey looks at a key of the top level.
//
// Every key is compared after its escapes were decoded, since "\u006dodel" is model to
// all parsers. Most keys have no escapes and are compared where they lie.
func (s *Scanner) capturedKey() {
	s.isField, s.other, s.mark = false, -1, -1
	if s.long {
		s.err = &AmbiguousError{"a key is too long"}
		return
	}
	key, escaped := s.capture, bytes.IndexByte(s.capture, '\\') >= 0
	if escaped {
		text, ok := decode(key)
		if !ok {
			s.err = &AmbiguousError{"a key is not valid Unicode"}
			return
		}
		key = []byte(text)
	}
	s.collector.see(key)
	if string(key) == s.field {
		s.foundField()
		return
	}
	if s.notes != nil && s.notes(key) {
		s.note(string(key))
	}
	for i := range s.others {
		if span := &s.others[i]; string(key) == span.Name {
			span.Twice, s.other = span.End > 0, i
			return
		}
	}
	for i := range s.marks {
		if span := &s.marks[i]; string(key) == span.Name {
			if span.End == 0 {
				s.mark = i
			}
			break
		}
	}
	if escaped || !isSnakeCase(key) {
		s.compareOddKey(string(key))
	}
}

// note prepares for the value of a field whose place is noted.
func (s *Scanner) note(key string) {
	if len(s.noted) == maxNoted {
		s.err = &AmbiguousError{"the object has too many fields"}
		return
	}
	s.noted, s.noting = append(s.noted, Span{Name: key}), true
}

// isSnakeCase reports whether a key has nothing but lower-case letters, digits
// and underscores, as most have: no parser takes one such key for another.
//
// That skips the costly comparison of compareOddKey for the fields of all APIs but
// Gemini's, whose names are in camel case.
func isSnakeCase(key []byte) bool {
	for _, c := range key {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// compareOddKey looks for what another parser could make of a key that is none
// of the fields.
//
// encoding/json, by which many providers and gateways read, matches "Model" and "MODEL"
// with a field named model; the error says so, as it is the likeliest mistake of a
// person.
func (s *Scanner) compareOddKey(key string) {
	switch {
	case !isReadable(key):
		s.err = &AmbiguousError{"a key has a character that some parsers drop"}
	case strings.EqualFold(key, s.field):
		s.err = &AmbiguousError{"a key differs from " + s.field + " by letter case only"}
	case Alike(key, s.field):
		s.err = &AmbiguousError{"a key could be read as " + s.field}
	}
	for i := range s.others {
		if span := &s.others[i]; Alike(key, span.Name) {
			span.Alike = true
		}
	}
}

// foundField notes that the value of the field follows.
func (s *Scanner) foundField() {
	if s.found {
		s.err = &AmbiguousError{"the " + s.field + " is named more than once"}
		return
	}
	s.isField, s.found = true, true
}

// decode returns the text of a JSON string's inside, and whether it is valid
// Unicode: parsers differ in what they make of the rest.
//
// A lone surrogate ("\ud800") is the usual case: encoding/json replaces it, others keep
// it, refuse it, or end the text.
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

// escape reads the byte behind a backslash. The eight that JSON knows (RFC 8259,
// section 7) are all: some parsers take \x6d or \' and others do not.
func (s *Scanner) escape(p []byte, i int) int {
	switch p[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.state = inString
	case 'u':
		s.state, s.hex = inHex, 4
	default:
		return s.fail(i, "unknown escape in a string")
	}
	if s.capturing {
		s.append(p[i : i+1])
	}
	return i + 1
}

// hexDigit reads one of the four digits behind \u. Which character they make is of
// interest only for captured strings, which decode looks at as a whole.
func (s *Scanner) hexDigit(p []byte, i int) int {
	c := p[i]
	if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
		return s.fail(i, "an escape in a string is not hexadecimal")
	}
	if s.capturing {
		s.append(p[i : i+1])
	}
	if s.hex--; s.hex == 0 {
		s.state = inString
	}
	return i + 1
}
