package rawjson

import (
	"bytes"
	"encoding/json"
)

// Compact returns a value without the space between its parts, the value itself
// if it has none.
func Compact(v Value) Value {
	if !hasSpace(v) {
		return v
	}
	var compact bytes.Buffer
	if json.Compact(&compact, v) != nil {
		return v
	}
	return compact.Bytes()
}

// hasSpace reports whether there is space outside of strings.
func hasSpace(v Value) bool {
	for at := 0; at < len(v); at++ {
		switch v[at] {
		case '"':
			at = stringEnd(v, at) - 1
		case ' ', '\t', '\r', '\n':
			return true
		}
	}
	return false
}
