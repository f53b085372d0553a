package strictprovider

import (
	"fmt"
	"slices"
)

// valid checks a value against a JSON Schema, as far as agents' tools need it: types,
// enum, required, properties, additionalProperties and items. Keywords that only narrow a
// value (minimum, pattern) and alternatives (anyOf) are not looked at: a channel may have
// lost them. The error names the place as in Read.file_path.
func valid(schema, value any, where string) error {
	if kind := member(schema, "type"); kind != nil && !hasType(kind, value) {
		return fmt.Errorf("%s: %v is no %v", where, value, kind)
	}
	if allowed := list(member(schema, "enum")); len(allowed) > 0 && !slices.Contains(allowed, value) {
		return fmt.Errorf("%s: %v is none of %v", where, value, allowed)
	}
	for i, element := range list(value) {
		if err := valid(member(schema, "items"), element, fmt.Sprintf("%s[%d]", where, i)); err != nil {
			return err
		}
	}
	o, ok := value.(object)
	if !ok {
		return nil
	}
	for _, name := range list(member(schema, "required")) {
		if _, ok := o[text(name)]; !ok {
			return fmt.Errorf("%s: %v is missing", where, name)
		}
	}
	properties, _ := member(schema, "properties").(object)
	for name, v := range o {
		property, ok := properties[name]
		if !ok && member(schema, "additionalProperties") == false {
			return fmt.Errorf("%s: there is no parameter %s", where, name)
		}
		if err := valid(property, v, where+"."+name); err != nil {
			return err
		}
	}
	return nil
}

// hasType reports whether a value has a type, or one of a list of types. Google's types in
// upper case are none: the gateway writes them in lower case everywhere.
func hasType(kind, value any) bool {
	if kinds, ok := kind.([]any); ok {
		return slices.ContainsFunc(kinds, func(k any) bool { return hasType(k, value) })
	}
	var ok bool
	switch kind {
	case "object":
		_, ok = value.(object)
	case "array":
		_, ok = value.([]any)
	case "string":
		_, ok = value.(string)
	case "boolean":
		_, ok = value.(bool)
	case "number":
		_, ok = value.(float64)
	case "integer":
		var n float64
		n, ok = value.(float64)
		ok = ok && n == float64(int64(n))
	case "null":
		ok = value == nil
	}
	return ok
}

// eachSchema calls a function with a schema and all that are in it. The keys of
// properties are names: a parameter may be called "format" or "not", which is no keyword
// there. It stops at the first error.
func eachSchema(schema any, each func(object) error) error {
	o, ok := schema.(object)
	if !ok {
		return nil
	}
	if err := each(o); err != nil {
		return err
	}
	for keyword, value := range o {
		var inner []any
		switch keyword {
		case "properties", "$defs", "definitions":
			for _, property := range value.(object) {
				inner = append(inner, property)
			}
		case "items", "additionalProperties":
			inner = append(inner, value)
		case "anyOf", "oneOf", "allOf", "prefixItems":
			inner = list(value)
		}
		for _, s := range inner {
			if err := eachSchema(s, each); err != nil {
				return err
			}
		}
	}
	return nil
}
