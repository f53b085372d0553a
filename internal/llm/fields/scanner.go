package fields

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

const (
	// maxShort is the longest name or value that is looked at, in bytes as they
	// are written.
	maxShort = 512
	// maxEdits bounds the edits of one body, for the memory's sake. The rest of
	// a body with more stays as it is.
	maxEdits = 1 << 16
)

// Scanner finds the edits that rules make in a text that is valid JSON.
//
// It is used once, by one goroutine. It is fast because it trusts the text:
// reqbody.Scanner has validated it before, and of an invalid one it finds something or
// nothing.
type Scanner struct {
	adds   bool
	edits  []reqbody.Edit
	frames []frame // containers that the path leads into; the last is the innermost
	root   *node

	offset   int64 // of the part being read
	skip     int   // depth within a container that no rule is about
	inString bool
	escaped  bool
	inScalar bool // a number or word
	started  bool // the root was seen

	short     []byte // the name or value being read, as it is written
	shortens  bool   // it is of interest
	truncated bool

	fields []field // room for an object's
}

// frame is a container on the way.
type frame struct {
	node    *node
	object  bool
	wantKey bool

	members int      // so far
	end     int64    // of the last member's value, or of the opening brace
	named   []member // those that rules name
	current *node    // for the value that comes next
	isNamed bool     // the member being read is the last of named
}

// member is a field that a rule names, where it stands in the text.
type member struct {
	name               string
	index              int // among all members
	keyStart, keyEnd   int64
	start, end         int64 // of the value
	previousEnd, after int64 // of the member before; where the next key begins, 0 for none
	value              []byte
}

// NewScanner returns a scanner. adds allows rules to add fields that are not
// there.
func (r *Rules) NewScanner(adds bool) *Scanner { return &Scanner{adds: adds, root: r.root} }

// Edits returns the edits in the order of the text, once all of it was written.
func (s *Scanner) Edits() []reqbody.Edit {
	slices.SortStableFunc(s.edits, func(a, b reqbody.Edit) int {
		if a.Start != b.Start {
			return int(min(1, max(-1, a.Start-b.Start)))
		}
		return int(min(1, max(-1, a.End-b.End)))
	})
	return s.edits
}

// Write implements io.Writer. It returns no error.
func (s *Scanner) Write(p []byte) (int, error) {
	for i := 0; i < len(p); {
		if s.inString {
			i = s.str(p, i)
			continue
		}
		s.structure(p[i], s.offset+int64(i))
		i++
	}
	s.offset += int64(len(p))
	return len(p), nil
}

// str reads on in a string and returns where to read on after that.
func (s *Scanner) str(p []byte, i int) int {
	if s.escaped {
		s.escaped = false
		s.keep(p[i : i+1])
		return i + 1
	}
	end := bytes.IndexByte(p[i:], '"')
	until := len(p)
	if end >= 0 {
		until = i + end
	}
	if slash := bytes.IndexByte(p[i:until], '\\'); slash >= 0 {
		s.escaped = true
		s.keep(p[i : i+slash+1])
		return i + slash + 1
	}
	if end < 0 {
		s.keep(p[i:])
		return len(p)
	}
	s.keep(p[i : until+1])
	s.inString = false
	s.endString(s.offset + int64(until) + 1)
	return until + 1
}

// keep keeps what is read of a name or value, if it is of interest.
func (s *Scanner) keep(p []byte) {
	if !s.shortens || s.truncated {
		return
	}
	if len(s.short)+len(p) > maxShort {
		s.truncated = true
		return
	}
	s.short = append(s.short, p...)
}

// begin begins to read a name or value.
func (s *Scanner) begin(interesting bool) {
	s.short, s.shortens, s.truncated = s.short[:0], interesting, false
}

func (s *Scanner) top() *frame {
	if len(s.frames) == 0 {
		return nil
	}
	return &s.frames[len(s.frames)-1]
}

// structure reads a byte outside of strings. A number or word ends with the byte behind
// it, so that byte is looked at twice: as the end of the value, and for what it is.
func (s *Scanner) structure(c byte, at int64) {
	switch c {
	case ' ', '\t', '\r', '\n', ',', ']', '}':
		if s.inScalar {
			s.inScalar = false
			s.endValue(at)
		}
	}
	switch c {
	case ' ', '\t', '\r', '\n', ':':
	case '"':
		s.inString = true
		if s.skip > 0 {
			s.begin(false)
		} else if f := s.top(); f != nil && f.wantKey {
			s.beginKey(f, at)
		} else {
			s.beginValue(at)
			s.keep([]byte{'"'})
		}
	case '{', '[':
		s.open(c == '{', at)
	case '}', ']':
		s.close(at)
	case ',':
		if f := s.top(); s.skip == 0 && f != nil {
			f.wantKey = f.object
		}
	default:
		if s.skip > 0 {
			return
		}
		if !s.inScalar {
			s.inScalar = true
			s.beginValue(at)
		}
		s.keep([]byte{c})
	}
}

// beginKey begins a member. It is appended to named before its name is known, and
// removed by endString if no rule names it. The member before it learns where this one
// begins, in case that it is dropped with the comma behind it.
func (s *Scanner) beginKey(f *frame, at int64) {
	if n := len(f.named); n > 0 && f.named[n-1].index == f.members-1 {
		f.named[n-1].after = at
	}
	f.named = append(f.named, member{index: f.members, keyStart: at, previousEnd: f.end})
	s.begin(true)
	s.keep([]byte{'"'})
}

// endString ends a string, which is a name or a value.
func (s *Scanner) endString(end int64) {
	if s.skip > 0 {
		return
	}
	f := s.top()
	if f == nil || !f.wantKey {
		s.endValue(end)
		return
	}
	f.wantKey, f.isNamed = false, false
	last := &f.named[len(f.named)-1]
	last.keyEnd = end
	if last.name = s.nameIn(f.node); last.name != "" {
		f.isNamed = true
		f.current = f.node.children[last.name]
		return
	}
	f.named, f.current = f.named[:len(f.named)-1], nil
}

// nameIn returns the name that was read if rules name it, else "".
func (s *Scanner) nameIn(n *node) string {
	if s.truncated {
		return ""
	}
	if bytes.IndexByte(s.short, '\\') < 0 {
		return n.names[string(s.short[1:len(s.short)-1])]
	}
	var name string
	_ = json.Unmarshal(s.short, &name) // the text is valid
	return n.names[name]
}

// beginValue begins a value, of which the text is kept if a rule names its field.
func (s *Scanner) beginValue(at int64) {
	s.started = true
	f := s.top()
	s.begin(f != nil && f.isNamed)
	if f != nil && f.isNamed {
		f.named[len(f.named)-1].start = at
	}
}

// endValue ends a value of any kind: f.end moves behind it, which is where the next
// member's comma and an addition to the object go.
func (s *Scanner) endValue(end int64) {
	f := s.top()
	if s.skip > 0 || f == nil {
		return
	}
	f.end = end
	f.members++
	if f.isNamed {
		last := &f.named[len(f.named)-1]
		last.end = end
		if s.shortens && !s.truncated {
			last.value = bytes.Clone(s.short)
		}
		f.isNamed = false
	}
}

// open begins a container. One that no rule leads into is skipped.
func (s *Scanner) open(object bool, at int64) {
	if s.skip > 0 {
		s.skip++
		return
	}
	isRoot := !s.started
	s.beginValue(at)
	s.begin(false)
	var next *node
	switch f := s.top(); {
	case isRoot:
		next = s.root
	case f == nil:
	case f.object:
		next = f.current
	default:
		next = f.node.children[each]
	}
	if next != nil && !object {
		if next.children[each] == nil {
			next = nil
		}
	}
	if next == nil {
		s.skip = 1
		return
	}
	s.push(frame{node: next, object: object, wantKey: object, end: at + 1})
}

// push adds a frame. Its list of members is one that was used before, if there
// is one.
func (s *Scanner) push(f frame) {
	if n := len(s.frames); n < cap(s.frames) {
		f.named = s.frames[:n+1][n].named[:0]
	}
	s.frames = append(s.frames, f)
}

// close ends a container.
func (s *Scanner) close(at int64) {
	if s.skip > 1 {
		s.skip--
		return
	}
	if s.skip == 1 {
		s.skip = 0
	} else if f := s.top(); f != nil {
		if f.object {
			s.resolve(f)
		}
		s.frames = s.frames[:len(s.frames)-1]
	}
	s.begin(false)
	s.endValue(at + 1)
}
