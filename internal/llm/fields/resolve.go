package fields

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// field is a field of an object while rules change it.
//
// value is nil for an object, a list, and what is longer than maxShort: such a value
// can be removed or replaced but not compared.
type field struct {
	*member // where it stands, unset for one that a rule has added

	name    string
	value   []byte // as far as it is known
	changed bool   // value is not what stands there
	dropped bool
}

// object is an object while rules change it. Without adds nothing is added to it, see
// NewScanner.
type object struct {
	fields []field
	adds   bool
}

// resolve applies the rules of an object that has been read.
func (s *Scanner) resolve(f *frame) {
	if len(f.node.rules) == 0 && len(f.node.creates) == 0 || len(s.edits) >= maxEdits {
		return
	}
	o := object{adds: s.adds, fields: s.fields[:0]}
	for i := range f.named {
		m := &f.named[i]
		o.fields = append(o.fields, field{member: m, name: m.name, value: m.value})
	}
	o.apply(f.node)
	s.write(&o, f)
	s.fields = o.fields
}

// apply applies the rules of a node.
func (o *object) apply(n *node) {
	for i := range n.rules {
		o.applyStep(&n.rules[i])
	}
	for _, name := range n.creates {
		if text := create(n.children[name], o.adds); text != nil {
			o.setDefault(name, text)
		}
	}
}

func (o *object) applyStep(s *step) {
	switch s.op {
	case Drop:
		o.each(s.name, func(f *field) { f.dropped = true })
	case Rename:
		taken := o.has(s.to)
		o.each(s.name, func(f *field) { f.name, f.dropped = s.to, taken })
	case Default:
		o.setDefault(s.name, s.value)
	case Set:
		if !o.has(s.name) {
			o.add(s.name, s.value)
		}
		o.each(s.name, func(f *field) { f.set(s.value) })
	case AtMost:
		o.each(s.name, func(f *field) {
			if n, err := strconv.ParseFloat(string(f.value), 64); err == nil && n > s.most {
				f.set(s.value)
			}
		})
	case Role:
		o.each(s.name, func(f *field) {
			var role string
			if json.Unmarshal(f.value, &role) == nil && role == s.to {
				f.set(s.value)
			}
		})
	}
}

// setDefault adds a field that is missing, and sets one that is null.
//
// null is what SDKs send for an option that was not set, and means the provider's
// default.
func (o *object) setDefault(name string, value []byte) {
	if !o.has(name) {
		o.add(name, value)
	} else if o.adds {
		o.each(name, func(f *field) {
			if string(f.value) == "null" {
				f.set(value)
			}
		})
	}
}

func (f *field) set(value []byte) {
	if !bytes.Equal(f.value, value) {
		f.value, f.changed = value, true
	}
}

func (o *object) add(name string, value []byte) {
	if o.adds {
		o.fields = append(o.fields, field{name: name, value: value, changed: true})
	}
}

func (o *object) has(name string) (found bool) {
	o.each(name, func(*field) { found = true })
	return found
}

// each calls f with all fields of a name. More than one have it if the client
// has written it more than once.
func (o *object) each(name string, f func(*field)) {
	for i := range o.fields {
		if field := &o.fields[i]; field.name == name && !field.dropped {
			f(field)
		}
	}
}

// create returns the object that rules make where there is none, nil for none.
func create(n *node, adds bool) []byte {
	o := object{adds: adds}
	o.apply(n)
	var text []byte
	for _, f := range o.fields {
		if !f.dropped {
			text = appendField(append(text, ','), f.name, f.value)
		}
	}
	if text == nil {
		return nil
	}
	text[0] = '{'
	return append(text, '}')
}

func appendField(text []byte, name string, value []byte) []byte {
	quoted, _ := json.Marshal(name) // a string cannot fail
	return append(append(append(text, quoted...), ':'), value...)
}

// write turns the changes of an object into edits.
//
// Additions go to the end of the object, behind what the client has written: the
// beginning of the body, which prompt caches compare, stays the same.
func (s *Scanner) write(o *object, f *frame) {
	dropped := 0
	var added []byte
	for i := range o.fields {
		switch field := &o.fields[i]; {
		case field.member == nil:
			if !field.dropped {
				added = appendField(append(added, ','), field.name, field.value)
			}
		case field.dropped:
			s.edit(field.member.span(dropped), nil)
			dropped++
		default:
			if field.name != field.member.name {
				quoted, _ := json.Marshal(field.name)
				s.edit([2]int64{field.keyStart, field.keyEnd}, quoted)
			}
			if field.changed {
				s.edit([2]int64{field.start, field.end}, field.value)
			}
		}
	}
	if added == nil {
		return
	}
	if dropped == f.members {
		added = added[1:] // nothing stands before them
	}
	s.edit([2]int64{f.end, f.end}, added)
}

// span returns what is removed with the member, of which a number before it was
// dropped: with the comma before it if something stays before it, else with the
// one behind it.
//
//	{"a":1,"b":2,"c":3}    drop b: ,"b":2      drop a: "a":1,      drop a b c: all but the braces
func (m *member) span(dropped int) [2]int64 {
	switch {
	case dropped < m.index:
		return [2]int64{m.previousEnd, m.end}
	case m.after > 0:
		return [2]int64{m.keyStart, m.after}
	}
	return [2]int64{m.keyStart, m.end}
}

func (s *Scanner) edit(span [2]int64, with []byte) {
	s.edits = append(s.edits, reqbody.Edit{Start: span[0], End: span[1], With: with})
}
