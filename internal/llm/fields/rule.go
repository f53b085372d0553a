package fields

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Op is what a rule does.
// It is a word of the Caddyfile and of the JSON.
type Op string

// The operations, as a Caddyfile has them. Rules apply in their order, each to
// what those before it have made of an object.
const (
	// Drop removes fields.
	Drop Op = "drop"
	// Rename gives a field another name. Where the object has a field of that
	// name already, that one stays and the other is dropped.
	Rename Op = "rename"
	// Default adds a field that is missing or null.
	Default Op = "default"
	// Set adds a field or replaces its value.
	Set Op = "set"
	// AtMost lowers a number that is larger.
	AtMost Op = "at_most"
	// Role renames the role of messages: in messages[].role and input[].role.
	Role Op = "role"
)

// Rule is one change. A path has the names of fields, with dots between them;
// `[]` behind a name stands for all elements of a list: messages[].name.
//
// The comments of the fields are the documentation of the JSON configuration.
type Rule struct {
	// What to do: `drop`, `rename`, `default`, `set`, `at_most` or `role`.
	Op Op `json:"op,omitempty"`

	// The fields to change. `drop` takes any number, the others one, `role` none.
	Paths []string `json:"paths,omitempty"`

	// For `rename` the new name of the field, for `role` the role to send.
	To string `json:"to,omitempty"`

	// For `role` the role to replace.
	From string `json:"from,omitempty"`

	// The value for `default` and `set`, or the largest number for `at_most`.
	Value json.RawMessage `json:"value,omitempty"`
}

// roles are where messages have their role: in OpenAI's and Anthropic's APIs, and in
// OpenAI's Responses. Gemini's contents have one too, but only user and model, which
// need no change. Most rules of this kind are `role developer system`, for servers that
// do not know the role with which OpenAI replaced system.
var roles = []string{"messages[].role", "input[].role"}

// usages are the forms of the rules, each with an example: they stand in the errors of
// a Caddyfile, behind "write: ".
var usages = map[Op]string{
	Drop:    "drop <field>..., such as drop logprobs messages[].name",
	Rename:  "rename <field> <name>, such as rename max_completion_tokens max_tokens",
	Default: "default <field> <value>, such as default max_tokens 4096",
	Set:     "set <field> <value>, such as set chat_template_kwargs.enable_thinking false",
	AtMost:  "at_most <field> <number>, such as at_most max_tokens 8192",
	Role:    "role <role> <role>, such as role developer system",
}

// Parse reads a rule from the words behind its operation. A value that is no
// JSON is a string.
//
// So `default stop null`, `set n 1` and `set user bot` do what they look like; the
// string "null" is written `"\"null\""`. args are not changed, but a drop keeps the
// slice.
func Parse(op Op, args []string) (Rule, error) {
	r := Rule{Op: op, Paths: args}
	if _, known := usages[op]; known && op != Drop {
		if len(args) != 2 {
			return Rule{}, errors.New("write: " + usages[op])
		}
		r.Paths = args[:1]
		switch op {
		case Rename:
			r.To = args[1]
		case Role:
			r.Paths, r.From, r.To = nil, args[0], args[1]
		default:
			r.Value = value(args[1])
		}
	}
	return r, r.Check()
}

// value returns a word as JSON.
func value(word string) json.RawMessage {
	if json.Valid([]byte(word)) {
		return json.RawMessage(word)
	}
	text, _ := json.Marshal(word) // a string cannot fail
	return text
}

// Check reports what is wrong with a rule.
//
// It is called for rules from a Caddyfile, which Parse has made, and for those from
// JSON, which nobody has checked before.
func (r Rule) Check() error {
	usage, known := usages[r.Op]
	one := len(r.Paths) == 1
	fits := false
	switch r.Op {
	case Drop:
		fits = len(r.Paths) > 0
	case Rename:
		fits = one && r.To != ""
	case Default, Set, AtMost:
		fits = one && json.Valid(r.Value)
	case Role:
		fits = len(r.Paths) == 0 && r.From != "" && r.To != ""
	}
	switch {
	case !known:
		return fmt.Errorf("unknown operation %q on fields: there are drop, rename, default, set, at_most and role", r.Op)
	case !fits:
		return errors.New("write: " + usage)
	case r.Op == Rename && strings.ContainsAny(r.To, ".[]"):
		return fmt.Errorf("%s is no name of a field: a field is renamed within its object; %s", r.To, usage)
	case r.Op == AtMost:
		if _, err := strconv.ParseFloat(string(r.Value), 64); err != nil {
			return fmt.Errorf("%s is not a number; write: %s", r.Value, usage)
		}
	}
	for _, path := range r.allPaths() {
		if _, err := parsePath(path); err != nil {
			return err
		}
	}
	return nil
}

// allPaths returns what the rule changes, the name that it gives included.
func (r Rule) allPaths() []string {
	switch r.Op {
	case Role:
		return roles
	case Rename:
		if path := r.Paths[0]; strings.Contains(path, ".") {
			return []string{path, path[:strings.LastIndexByte(path, '.')+1] + r.To}
		}
		return []string{r.Paths[0], r.To}
	}
	return r.Paths
}

// Touches reports whether the rule names a field of the top level, or what is in
// it.
//
// The gateway refuses rules that touch `model` or `stream`, which it decides by itself.
func (r Rule) Touches(field string) bool {
	for _, path := range r.allPaths() {
		if steps, _ := parsePath(path); len(steps) > 0 && steps[0] == field {
			return true
		}
	}
	return false
}

// each is the step of a path to all elements of a list. No field of an API has
// this name.
const each = "[]"

// parsePath takes a path apart: the names of fields, and each.
//
//	messages[].content[].text  ─▶  messages [] content [] text
func parsePath(path string) (steps []string, err error) {
	for part := range strings.SplitSeq(path, ".") {
		name := part
		for strings.HasSuffix(name, each) {
			name = strings.TrimSuffix(name, each)
		}
		if name == "" || strings.ContainsAny(name, "[]") {
			return nil, fmt.Errorf("%q is no path of a field: write names with dots between them, and [] behind a list: messages[].name", path)
		}
		steps = append(steps, name)
		for range (len(part) - len(name)) / len(each) {
			steps = append(steps, each)
		}
	}
	if steps[len(steps)-1] == each {
		return nil, fmt.Errorf("%q is no path of a field: it must end in a name", path)
	}
	return steps, nil
}
