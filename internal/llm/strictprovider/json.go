package strictprovider

import (
	"fmt"
	"slices"
)

// object is a JSON object that was parsed.
type object = map[string]any

func text(v any) string {
	s, _ := v.(string)
	return s
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

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

// onlyFields refuses an object with other fields than these.
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

// isName reports whether a tool may have the name.
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

// paired checks that each call has one result, before anything else is said.
type paired struct{ open []string }

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

func (p *paired) result(id string) error {
	i := slices.Index(p.open, id)
	if i < 0 {
		return fmt.Errorf("no call has the id %q of a result", id)
	}
	p.open = slices.Delete(p.open, i, i+1)
	return nil
}

func (p *paired) none() error {
	if len(p.open) > 0 {
		return fmt.Errorf("no result for the calls %v", p.open)
	}
	return nil
}
