package strictprovider

import (
	"fmt"
	"slices"
)

// object is a JSON object that was parsed. The helpers below take any value, and give a
// zero value for one of another type: checks read as the rule does, and what is missing
// and what has the wrong type is refused by the same line.
type object = map[string]any

// text returns a string, "" for all else.
func text(v any) string {
	s, _ := v.(string)
	return s
}

// list returns an array, nil for all else, so that a content that is a string has no
// parts.
func list(v any) []any {
	l, _ := v.([]any)
	return l
}

// member returns a member of a member, nil if one of them is not there.
func member(v any, names ...string) any {
	for _, name := range names {
		o, _ := v.(object)
		v = o[name]
	}
	return v
}

func isObject(v any) bool {
	_, ok := v.(object)
	return ok
}

// onlyFields refuses an object with other fields than these, in the words of Anthropic's
// API. Which of several unknown fields is named depends on the order of a map: tests look
// for one unknown field only.
func onlyFields(v any, where string, names ...string) error {
	o, ok := v.(object)
	if !ok {
		return fmt.Errorf("%s: must be an object", where)
	}
	for name := range o {
		if !slices.Contains(names, name) {
			return fmt.Errorf("%s.%s: Extra inputs are not permitted", where, name)
		}
	}
	return nil
}

// oneOf refuses any other value than these texts.
func oneOf(v any, where string, values ...string) error {
	if !slices.Contains(values, text(v)) {
		return fmt.Errorf("%s: %v is none of %v", where, v, values)
	}
	return nil
}

// isName reports whether a tool may have the name: letters, digits, _ and -, and the
// characters of also. OpenAI takes 64 of them, Anthropic and Google 128.
func isName(name string, most int, also string) bool {
	if name == "" || len(name) > most {
		return false
	}
	for _, r := range name {
		isLetter := (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z') || (r >= '0' && r <= '9') || r == '_' || r == '-'
		if !isLetter && !slices.Contains([]rune(also), r) {
			return false
		}
	}
	return true
}

// paired checks that each call has one result, before anything else is said. The order of
// results is free among the calls of a turn, as in all dialects: agents answer the call
// first that was done first. open are the ids of calls that have no result yet.
type paired struct{ open []string }

// call records a call. An id that is open already would make its result ambiguous.
func (p *paired) call(id string) error {
	if id == "" {
		return fmt.Errorf("a call has no id")
	}
	if slices.Contains(p.open, id) {
		return fmt.Errorf("two calls have the id %s", id)
	}
	p.open = append(p.open, id)
	return nil
}

// result records the result of a call that was made before it and has none yet.
func (p *paired) result(id string) error {
	i := slices.Index(p.open, id)
	if i < 0 {
		return fmt.Errorf("no call has the id %q of a result", id)
	}
	p.open = slices.Delete(p.open, i, i+1)
	return nil
}

// none returns an error if a call has no result. It is asked before a turn that is no
// result, and at the end: a conversation that ends with a call cannot be continued.
func (p *paired) none() error {
	if len(p.open) > 0 {
		return fmt.Errorf("no result for the calls %v", p.open)
	}
	return nil
}
