package reqbody

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// Value is a string value of the field, and where it stands in the text. In {"model":
// "a\u002fb"} it is {"a/b", 10, 20}. For a form the offsets have no quotes between
// them.
type Value struct {
	// Text is the value with its escapes decoded.
	Text string
	// Start and End are the offsets of the value as it is written, quotes
	// included.
	Start, End int64
}

// ErrMissing says that the object has no such field, or that it is null. It is no fault
// of the body: the gateway then looks at the path, where Gemini's clients name the
// model.
var ErrMissing = errors.New("the field is missing")

// InvalidError says that a text is not what it should be: valid JSON, an
// object, with a string for the field.
//
// The gateway answers 400 with the reason and the offset, which help whoever has glued
// the JSON together by hand; no byte of the body is in them.
type InvalidError struct {
	Offset int64 // in bytes from the beginning
	Reason string
}

func (e *InvalidError) Error() string { return fmt.Sprintf("%s at byte %d", e.Reason, e.Offset) }

// AmbiguousError says that two parsers could read two values of the field: it is named
// twice, or another key is like it (see Alike). The body may be valid JSON. It is
// refused with 400, because which value counts would be the provider's choice.
type AmbiguousError struct{ Reason string }

func (e *AmbiguousError) Error() string { return e.Reason }

// maxDepth is how deep values may nest. encoding/json has the same limit; providers
// with a lower one refuse the body themselves. A bit of memory is used for each level.
const maxDepth = 10000

// maxValue bounds a key of the top level and the field's value, in bytes as they are
// written. A key that is longer is refused and not skipped: what a lossy parser makes
// of it is unknown.
const maxValue = 4096

// state is what may come next, by the grammar of RFC 8259. A text may be cut between
// two calls of Write anywhere, also within an escape, a literal or a number, so each of
// these has states of its own.
type state uint8

const (
	beforeValue state = iota
	beforeFirstElement
	beforeFirstKey
	beforeKey
	beforeColon
	afterElement
	afterEnd
	inString
	inEscape
	inHex
	inLiteral
	inMinus
	inZero
	inInteger
	inPoint
	inFraction
	inE
	inESign
	inExponent
)

// Scanner validates a JSON text that arrives in pieces, as strictly as
// encoding/json does and in valid UTF-8, and finds one field of its top-level
// object on the way.
//
// It keeps no tree and copies nothing but keys of the top level and the values it was
// asked for: a body of 5 MB costs the time to look at each byte once. Nested objects
// are validated and otherwise skipped, for `model` counts only at the top level.
//
// A Scanner belongs to one goroutine and one text at a time. It may be reused after
// Reset; the gateway keeps them in a pool, since one is larger than a small request.
// Parts are in other files: strings and keys in text.go, numbers in number.go,
// collected texts in collect.go.
type Scanner struct {
	field string

	state   state
	isKey   bool   // the string being read is a key
	hex     uint8  // hex digits still to come
	literal string // what of true, false or null is still to come
	offset  int64  // of the piece being read
	err     error

	depth int
	// objects has a bit for each level, set for an object. A level costs no more than
	// that, so that a text of 10,000 opening brackets is no attack on memory.
	objects []uint64

	capture   []byte // the key or value being captured, without quotes
	capturing bool
	long      bool // too long to capture

	// sequence is a character that begins in one piece of a string and ends in the
	// next.
	sequence       [utf8.UTFMax]byte
	sequenceLength int

	others []Span // further fields whose places are noted
	other  int    // of these the one being read, -1: none

	marks []Span // fields whose places are noted and nothing else
	mark  int    // of these the one being read, -1: none

	collector collector

	notes  func(key []byte) bool // chooses further fields, nil: none
	noted  []Span                // what it has chosen
	noting bool                  // the last of them is being read

	isField bool // the last top-level key is the field
	found   bool
	null    bool
	value   Value
}

// Span is where the value of a further field stands, as it is written: Start is the
// offset of its first byte, and End that of the comma or bracket behind it, so that
// white space may stand at its end. Nothing but the field itself is checked: its value
// is for the channel to judge.
type Span struct {
	Name string
	// End is 0 if there is no such field.
	Start, End int64
	Twice      bool // Start and End are the last one's
	Alike      bool // another key could be read as this one
}

// NewScanner returns a Scanner for a field of the top level, which notes on the
// way where others stand, in the order in which they are named here.
//
// The others are those that the caller decides by itself, and for which it must know
// whether a provider could see another value. Marked fields (Mark) are cheaper and for
// hints only.
func NewScanner(field string, others ...string) *Scanner {
	s := &Scanner{field: field, other: -1, mark: -1}
	s.collector.listDepth = noList
	for _, name := range others {
		s.others = append(s.others, Span{Name: name})
	}
	return s
}

// Mark makes the scanner note where further fields stand, such as those by which a
// conversation is recognised. It neither says whether one is named twice, of which the
// first counts, nor whether another key could be read as one: a wrong hint costs a
// cache hit at most. Marks outlive Reset.
func (s *Scanner) Mark(names ...string) {
	for _, name := range names {
		s.marks = append(s.marks, Span{Name: name})
	}
}

// Marked returns where the marked fields stand, in the order of Mark. The slice
// is valid until Reset.
func (s *Scanner) Marked() []Span { return s.marks }

// Reset makes the scanner ready for another text. The names of the fields and the
// memory for keys and levels stay; what Note has set, and all results, are gone.
func (s *Scanner) Reset() {
	for i := range s.others {
		s.others[i] = Span{Name: s.others[i].Name}
	}
	for i := range s.marks {
		s.marks[i] = Span{Name: s.marks[i].Name}
	}
	*s = Scanner{
		field: s.field, others: s.others, other: -1, marks: s.marks, mark: -1,
		objects: s.objects[:0], capture: s.capture[:0], noted: s.noted[:0],
		collector: s.collector.reset(),
	}
}

// Other returns where the other field of this number stands.
func (s *Scanner) Other(i int) Span { return s.others[i] }

// Note makes the scanner note the places of all fields that choose reports true
// for, until Reset. The bytes of the key are valid during the call.
//
// The gateway does so for a client that may use some models only, to search the fields
// that may name a further model, such as `fallbacks`.
func (s *Scanner) Note(choose func(key []byte) bool) { s.notes = choose }

// Noted returns what Note has chosen, in the order of the text. The slice is
// valid until Reset.
func (s *Scanner) Noted() []Span { return s.noted }

// maxNoted bounds the fields that are noted. Requests have a few dozen. A body with
// more of them is refused and not searched in part.
const maxNoted = 256

// Write reads on. The first error is returned, and again by all later calls.
//
// It is an io.Writer so that Budget.Read and io.Copy can write to it: an invalid body
// is refused at its first wrong byte, while the rest has not been received yet.
func (s *Scanner) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	for i := 0; i < len(p); {
		i = s.step(p, i)
		if s.err != nil {
			return i, s.err
		}
	}
	s.offset += int64(len(p))
	return len(p), nil
}

// Finish returns the field's value after the last piece.
//
// Only here an end that comes too early is noticed. ErrMissing is returned for valid
// bodies only.
func (s *Scanner) Finish() (Value, error) {
	switch {
	case s.err != nil:
		return Value{}, s.err
	case s.state != afterEnd:
		s.err = &InvalidError{s.offset, "the JSON ends too early"}
		return Value{}, s.err
	case !s.found || s.null:
		return Value{}, ErrMissing
	}
	return s.value, nil
}

// fail ends the reading at p[i]. The step functions return what it returns, so that
// Write reports how many bytes were good.
func (s *Scanner) fail(i int, reason string) int {
	s.err = &InvalidError{s.offset + int64(i), reason}
	return i
}

// step reads at least one byte of p at i and returns where to read on.
//
// Strings come first since nearly all bytes of a body stand in them.
func (s *Scanner) step(p []byte, i int) int {
	switch s.state {
	case inString:
		return s.str(p, i)
	case inEscape:
		return s.escape(p, i)
	case inHex:
		return s.hexDigit(p, i)
	case inLiteral:
		return s.lit(p, i)
	case inMinus, inZero, inInteger, inPoint, inFraction, inE, inESign, inExponent:
		return s.number(p, i)
	}
	c := p[i]
	if c == ' ' || c == '\n' || c == '\t' || c == '\r' {
		return i + 1
	}
	switch s.state {
	case beforeFirstElement:
		if c == ']' {
			return s.pop(i)
		}
		return s.begin(c, i)
	case beforeValue:
		return s.begin(c, i)
	case beforeFirstKey:
		if c == '}' {
			return s.pop(i)
		}
		return s.beginKey(c, i)
	case beforeKey:
		return s.beginKey(c, i)
	case beforeColon:
		if c != ':' {
			return s.fail(i, "expected a colon")
		}
		s.state = beforeValue
		return i + 1
	case afterElement:
		return s.after(c, i)
	}
	return s.fail(i, "something stands behind the JSON value")
}

// inObject reports whether the innermost open value is an object. It must not be called
// at depth 0.
func (s *Scanner) inObject() bool { return s.objects[(s.depth-1)>>6]>>((s.depth-1)&63)&1 == 1 }

// push enters an object or list. The bitmap only grows, and its words are overwritten
// as levels are entered again.
func (s *Scanner) push(object bool, i int) int {
	if s.depth == maxDepth {
		return s.fail(i, "the JSON nests too deep")
	}
	word, bit := s.depth>>6, uint64(1)<<(s.depth&63)
	if word == len(s.objects) {
		s.objects = append(s.objects, 0)
	}
	s.depth++
	if object {
		s.objects[word] |= bit
		s.state = beforeFirstKey
	} else {
		s.objects[word] &^= bit
		s.state = beforeFirstElement
	}
	return i + 1
}

func (s *Scanner) pop(i int) int {
	s.depth--
	s.state = afterElement
	if s.depth < s.collector.listDepth {
		s.collector.listDepth = noList
	}
	if s.depth == 0 {
		s.state = afterEnd
	}
	return i + 1
}

// after reads what follows an element. At the top level this is where a span ends: a
// number has no end of its own before the comma or bracket.
func (s *Scanner) after(c byte, i int) int {
	object := s.inObject()
	if s.depth == 1 {
		s.endSpans(s.offset + int64(i))
	}
	switch {
	case c == ',' && object:
		s.state = beforeKey
		return i + 1
	case c == ',':
		s.state = beforeValue
		return i + 1
	case c == '}' && object, c == ']' && !object:
		return s.pop(i)
	}
	return s.fail(i, "expected a comma or the end of the object or list")
}

// beginSpans notes where the value of a field of the top level begins.
func (s *Scanner) beginSpans(at int64) {
	if s.other >= 0 {
		s.others[s.other].Start = at
	}
	if s.mark >= 0 {
		s.marks[s.mark].Start = at
	}
	if s.noting {
		s.noted[len(s.noted)-1].Start = at
	}
}

// endSpans notes where it ends.
func (s *Scanner) endSpans(at int64) {
	if s.other >= 0 {
		s.others[s.other].End = at
		s.other = -1
	}
	if s.mark >= 0 {
		s.marks[s.mark].End = at
		s.mark = -1
	}
	if s.noting {
		s.noted[len(s.noted)-1].End = at
		s.noting = false
	}
}

// beginKey begins a key. Those of the top level are captured as a whole; below it, a
// key is looked at only while Collect has named any.
func (s *Scanner) beginKey(c byte, i int) int {
	if c != '"' {
		return s.fail(i, "expected a key")
	}
	s.state, s.isKey = inString, true
	s.beginString(s.depth == 1)
	s.collector.inKey = s.depth > 1 && s.collector.lengths != 0
	return i + 1
}

// beginString prepares for the string that follows, and captures it if it may
// matter.
func (s *Scanner) beginString(matters bool) {
	s.capturing, s.long, s.capture = matters, false, s.capture[:0]
}

// begin begins a value. Its first byte decides about all: an outermost value that is no
// object and a field that is neither a string nor null are errors here.
func (s *Scanner) begin(c byte, i int) int {
	if s.depth == 0 && c != '{' {
		return s.fail(i, "the body is not a JSON object")
	}
	field := s.isField && s.depth == 1
	collects := s.collector.isNext || s.depth == s.collector.listDepth
	if collects {
		collects = s.collects(c)
	}
	if s.depth == 1 {
		s.beginSpans(s.offset + int64(i))
	}
	if field && c != '"' && c != 'n' {
		return s.fail(i, "the "+s.field+" is not a string")
	}
	switch {
	case c == '{':
		return s.push(true, i)
	case c == '[':
		return s.push(false, i)
	case c == '"':
		s.state, s.isKey = inString, false
		s.beginString(field || collects)
		s.collector.inText = collects
		if field {
			s.value.Start = s.offset + int64(i)
		}
	case c == '-':
		s.state = inMinus
	case c == '0':
		s.state = inZero
	case c >= '1' && c <= '9':
		s.state = inInteger
	case c == 't':
		s.state, s.literal = inLiteral, "rue"
	case c == 'f':
		s.state, s.literal = inLiteral, "alse"
	case c == 'n':
		s.state, s.literal = inLiteral, "ull"
		s.null = s.null || field
	default:
		return s.fail(i, "expected a value")
	}
	return i + 1
}

// lit compares one byte of true, false or null. They may be cut in the middle, so the
// rest that must come is kept in literal.
func (s *Scanner) lit(p []byte, i int) int {
	if p[i] != s.literal[0] {
		return s.fail(i, "expected true, false or null")
	}
	if s.literal = s.literal[1:]; s.literal == "" {
		s.state = afterElement
	}
	return i + 1
}
