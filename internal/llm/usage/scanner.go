package usage

import (
	"bytes"
	"math"
	"strconv"
)

const (
	// maxLevels is how deep places are told apart. What is deeper is at the
	// place of what is around it.
	maxLevels = 32
	// longestNumber is how long a number of tokens may be written.
	longestNumber = 24
)

// scanner reads JSON texts that arrive in pieces, one behind the other. It validates
// nothing: of what is no JSON it finds something or nothing, and goes on.
//
// It keeps a place for each level, which says what the values there mean, and no text.
// So a field counts only at the end of a known path: usage at the top, in message,
// response or choices. A tool's arguments or a prompt that is echoed may have "usage"
// in them too.
type scanner struct {
	Usage

	estimates bool // text and media are counted too
	request   bool // all strings but media are text

	depth   int
	objects uint64           // a bit for each level: whether it is an object
	places  [maxLevels]place // of the objects and lists, from level 1 on

	class   class // of the last name
	key     bool  // the next string is a name
	fresh   bool  // nothing has come yet in this list
	numbers bool  // the list is one of numbers so far
	inText  bool  // a string is being read
	isKey   bool  // it is a name
	escaped bool  // the last byte was a backslash
	place   place // of the string
	length  int64 // of the string so far, its escapes decoded

	name    [longestName]byte
	nameLen int // more than its room: the name is too long to be known
	number  [longestNumber]byte
	digits  int    // of a number, perhaps more than there is room for
	field   *int64 // where the number that is being read belongs, nil: none is

	head []byte // how a string of media begins, in requests

	text, media, documents, other int64 // bytes
}

// scan reads on.
func (s *scanner) scan(p []byte) {
	for i := 0; i < len(p); {
		if s.inText {
			i = s.str(p, i)
			continue
		}
		if s.field != nil {
			i = s.readNumber(p, i)
			continue
		}
		if s.numbers {
			i = s.skipNumbers(p, i)
			continue
		}
		switch c := p[i]; c {
		case '"':
			s.beginString()
		case '{', '[':
			s.push(c == '{')
		case '}', ']':
			s.pop()
		case ',':
			s.class, s.fresh = classOther, false
			s.key = s.inObject()
		case ':', ' ', '\t', '\n', '\r':
		default:
			if (c == '-' || c >= '0' && c <= '9') && s.beginNumber() {
				continue
			}
			s.numbers, s.fresh = s.fresh, false
		}
		i++
	}
}

// end counts what has broken off. A number that may not be whole is none.
func (s *scanner) end() {
	s.field = nil
	if s.inText && !s.isKey && s.estimates {
		s.count()
	}
	s.inText = false
}

// reset makes ready for another text. What was found in the last one remains.
func (s *scanner) reset() {
	s.end()
	s.depth, s.class = 0, classOther
	s.key, s.fresh, s.numbers = false, false, false
}

func (s *scanner) inObject() bool {
	return s.depth > 0 && s.depth <= 64 && s.objects>>(s.depth-1)&1 == 1
}

// around returns the place of the object or list that is being read.
func (s *scanner) around() place {
	if s.depth == 0 {
		return placeTop
	}
	return s.places[min(s.depth, maxLevels-1)]
}

// here returns the place of the value that begins.
func (s *scanner) here(isString bool) place {
	around := s.around()
	if s.request {
		if around.inside(s.class, isString) == placeMedia {
			return placeMedia
		}
		return placeText
	}
	if s.depth > 0 && s.inObject() {
		return around.inside(s.class, isString)
	}
	return around // a list's elements are at its place
}

// push enters an object or list. Beyond maxLevels the places are those of the last
// level, so that nesting costs no memory.
func (s *scanner) push(object bool) {
	at := s.here(false)
	s.depth++
	if s.depth <= 64 {
		bit := uint64(1) << (s.depth - 1)
		s.objects &^= bit
		if object {
			s.objects |= bit
		}
	}
	if s.depth < maxLevels {
		s.places[s.depth] = at
	}
	s.class, s.key, s.fresh = classOther, object, !object
}

// pop leaves it. Brackets that were never opened are ignored.
func (s *scanner) pop() {
	s.depth = max(0, s.depth-1)
	s.class, s.key, s.fresh = classOther, false, false
}

func (s *scanner) beginString() {
	s.inText, s.escaped, s.isKey, s.length = true, false, s.key, 0
	s.fresh, s.nameLen = false, 0
	if !s.isKey && s.estimates {
		s.place, s.head = s.here(true), s.head[:0]
	}
}

// str reads a string from i on and returns where to read on. It finds the next
// quote once, not anew behind each backslash.
func (s *scanner) str(p []byte, i int) int {
	quote := -1
	for i < len(p) {
		if s.escaped {
			s.escaped = false
			s.escape(p[i])
			i++
			continue
		}
		if quote < i {
			if quote = bytes.IndexByte(p[i:], '"'); quote < 0 {
				quote = len(p)
			} else {
				quote += i
			}
		}
		piece := p[i:quote]
		if backslash := bytes.IndexByte(piece, '\\'); backslash >= 0 {
			s.take(piece[:backslash])
			s.escaped = true
			i += backslash + 1
			continue
		}
		s.take(piece)
		if quote < len(p) {
			s.endString()
			return quote + 1
		}
		return quote
	}
	return i
}

// escape counts an escaped character as the bytes that it stands for, of which
// the hexadecimal digits that follow are four.
func (s *scanner) escape(c byte) {
	s.nameLen = longestName + 1
	s.length++
	if c == 'u' {
		s.length -= 2
	}
}

func (s *scanner) take(piece []byte) {
	s.length += int64(len(piece))
	if s.isKey {
		if s.nameLen+len(piece) <= longestName {
			copy(s.name[s.nameLen:], piece)
		}
		s.nameLen += len(piece)
		return
	}
	if s.request && s.place == placeMedia && len(s.head) < mediaHead {
		s.head = append(s.head, piece[:min(len(piece), mediaHead-len(s.head))]...)
	}
}

func (s *scanner) endString() {
	s.inText = false
	if s.isKey {
		s.key, s.class = false, classOther
		if s.nameLen <= longestName {
			s.class = classOf(s.name[:s.nameLen])
		}
		if s.request {
			s.text += s.length
		}
		return
	}
	if s.estimates {
		s.count()
	}
	s.class = classOther
}

// count counts a string that has ended.
func (s *scanner) count() {
	switch s.place {
	case placeText:
		s.text += s.length
	case placeMedia:
		switch kind := mediaOf(s.head); {
		case !s.request || kind == isMedia:
			s.media += s.length
		case kind == isDocument:
			s.documents += s.length
		default:
			s.text += s.length
		}
	case placeMeta:
	default:
		s.other += s.length
	}
}

// beginNumber begins to read a number if it is one of tokens.
func (s *scanner) beginNumber() bool {
	if s.request || !s.inObject() {
		return false
	}
	switch around := s.around(); {
	case around == placeUsage:
		s.field = s.Usage.field(s.class)
	case around == placeTop && s.class == classEvalPrompt:
		s.field = &s.Prompt
	case around == placeTop && s.class == classEval:
		s.field = &s.Completion
	}
	s.digits, s.class = 0, classOther
	return s.field != nil
}

// readNumber reads a number from i on and returns where to read on.
func (s *scanner) readNumber(p []byte, i int) int {
	for ; i < len(p); i++ {
		switch c := p[i]; {
		case c >= '0' && c <= '9', c == '-', c == '+', c == '.', c == 'e', c == 'E':
			if s.digits < longestNumber {
				s.number[s.digits] = c
			}
			s.digits++
		default:
			s.finishNumber()
			return i
		}
	}
	return i
}

// finishNumber takes a number over, if it can be one of tokens: neither
// negative nor absurd. A fraction is rounded up.
//
// Of several numbers for one field the largest counts: streams repeat the usage as it
// grows.
func (s *scanner) finishNumber() {
	if s.field == nil {
		return
	}
	if s.digits <= longestNumber {
		n, err := strconv.ParseFloat(string(s.number[:s.digits]), 64)
		if err == nil && n > 0 && n <= MaxStated {
			*s.field = max(*s.field, int64(math.Ceil(n)))
		}
	}
	s.field, s.digits = nil, 0
}

// numbersStep is how far is looked ahead in a list of numbers.
const numbersStep = 4 << 10

// skipNumbers passes over a list of numbers, such as an embedding, from i on,
// and returns where something else comes.
func (s *scanner) skipNumbers(p []byte, i int) int {
	step := p[i:min(len(p), i+numbersStep)]
	for _, c := range [...]byte{']', '"', '{', '['} {
		if end := bytes.IndexByte(step, c); end >= 0 {
			step, s.numbers = step[:end], false
		}
	}
	return i + len(step)
}
