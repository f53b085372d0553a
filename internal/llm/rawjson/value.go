// Package rawjson reads JSON without decoding what nobody asks for, and writes
// it in a given order. A part of a text that is only passed on keeps its bytes.
//
//	v, err := rawjson.Parse(text)
//	for name, member := range v.Members {
//		…
//	}
//
// encoding/json loses the order of keys in maps and the way numbers are written,
// and needs about five times the time for a request that is mostly copied.
//
// Parse validates a text once, as a whole. All else relies on that and only looks for
// where values end, so a Value that was made in another way than by Parse, Get, Members
// or Elements must be valid JSON too. A Value is a slice of the text: it costs no memory,
// and the text must not be changed while it is in use.
//
// Each call walks through the text: a reader that needs many members of an object calls
// Members once and not Get many times.
package rawjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// Value is the text of one JSON value, without space around it. The value that a
// text does not have is empty.
type Value []byte

// ErrInvalid is the error of a text that is not one JSON value.
var ErrInvalid = errors.New("invalid JSON")

const space = " \t\r\n"

// Parse returns the value that a text consists of. The value shares the text's
// memory.
func Parse(text []byte) (Value, error) {
	if !json.Valid(text) {
		return nil, ErrInvalid
	}
	return bytes.Trim(text, space), nil
}

// Is reports whether the value is of a kind, given by the character with which
// its text begins: { [ " t f n, or 0 for a number.
func (v Value) Is(kind byte) bool {
	if len(v) == 0 {
		return false
	}
	if kind == 0 {
		return v[0] == '-' || (v[0] >= '0' && v[0] <= '9')
	}
	return v[0] == kind
}

// IsSet reports whether there is a value other than null.
func (v Value) IsSet() bool { return len(v) > 0 && v[0] != 'n' }

// Members calls yield for each member of an object, in order, until it returns
// false. Other values have none.
//
// It is an iterator, for range loops. A name that is given twice comes twice.
func (v Value) Members(yield func(name string, member Value) bool) {
	for at := v.firstMember(); at > 0; {
		var key, member Value
		key, member, at = v.member(at)
		if len(key) == 0 || !yield(nameOf(key), member) {
			return
		}
	}
}

// firstMember returns where the first key of an object begins, 0 for none.
func (v Value) firstMember() int {
	if !v.Is('{') {
		return 0
	}
	return skip(v, 1)
}

// member returns the member whose key, in quotes, begins at a place, and where the
// next one does, 0 for none. The key is empty if there is no member.
func (v Value) member(at int) (key, member Value, next int) {
	if at >= len(v) || v[at] != '"' {
		return nil, nil, 0
	}
	end := valueEnd(v, at)
	key = v[at:end:end]
	if at = skip(v, end); at >= len(v) || v[at] != ':' {
		return nil, nil, 0
	}
	at = skip(v, at+1)
	end = valueEnd(v, at)
	member = v[at:end:end]
	if at = skip(v, end); at < len(v) && v[at] == ',' {
		return key, member, skip(v, at+1)
	}
	return key, member, 0
}

// Elements calls yield for each element of an array, in order, until it returns
// false. Other values have none.
func (v Value) Elements(yield func(Value) bool) {
	if !v.Is('[') {
		return
	}
	for at := skip(v, 1); at < len(v) && v[at] != ']'; {
		end := valueEnd(v, at)
		if end <= at || !yield(v[at:end:end]) {
			return
		}
		if at = skip(v, end); at < len(v) && v[at] == ',' {
			at = skip(v, at+1)
		}
	}
}

// Get returns the member of an object with a name. Of several, the last counts,
// as it does for encoding/json and in JavaScript.
func (v Value) Get(name string) (found Value) {
	for at := v.firstMember(); at > 0; {
		var key, member Value
		key, member, at = v.member(at)
		if key.says(name) {
			found = member
		}
	}
	return found
}

// says reports whether a key, in quotes, is a name.
func (v Value) says(name string) bool {
	if len(v) < 2 {
		return false
	}
	if len(v) == len(name)+2 && string(v[1:len(v)-1]) == name {
		return true
	}
	return bytes.IndexByte(v, '\\') >= 0 && v.Text() == name
}

// Len returns the number of an array's elements or an object's members.
func (v Value) Len() (n int) {
	for range v.Elements {
		n++
	}
	for range v.Members {
		n++
	}
	return n
}

// Text returns what a string says, and "" for every other value.
func (v Value) Text() string {
	if len(v) < 2 || v[0] != '"' {
		return ""
	}
	return unquote(v[1 : len(v)-1])
}

// Int returns a whole number. Protocol Buffers write large ones as strings.
//
// 7.0 and 1e3 are whole numbers too; a fraction, and what lies beyond 2^53 and is not
// written as an integer, is none.
func (v Value) Int() (n int64, ok bool) {
	text := string(v)
	if v.Is('"') {
		text = v.Text()
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != float64(int64(f)) || f > 1<<53 || f < -(1<<53) {
		return 0, false
	}
	return int64(f), true
}

// Float returns a number.
func (v Value) Float() (f float64, ok bool) {
	if !v.Is(0) {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(v), 64)
	return f, err == nil
}

// Bool reports whether the value is true.
func (v Value) Bool() bool { return v.Is('t') }

// skip returns where the space that begins at a place ends.
func skip(text []byte, at int) int {
	for at < len(text) && (text[at] == ' ' || text[at] == '\n' || text[at] == '\r' || text[at] == '\t') {
		at++
	}
	return at
}

// valueEnd returns where the value ends that begins at a place of a valid text.
func valueEnd(text []byte, at int) int {
	if at >= len(text) {
		return len(text)
	}
	switch text[at] {
	case '"':
		return stringEnd(text, at)
	case '{', '[':
		return compositeEnd(text, at)
	}
	for at < len(text) {
		switch text[at] {
		case ',', '}', ']', ':', ' ', '\t', '\r', '\n':
			return at
		}
		at++
	}
	return at
}

func stringEnd(text []byte, at int) int {
	end, _ := reqbody.StringEnd(text, at)
	return end
}

func compositeEnd(text []byte, at int) int {
	depth := 0
	for at < len(text) {
		switch text[at] {
		case '"':
			at = stringEnd(text, at)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return at + 1
			}
		}
		at++
	}
	return len(text)
}
