// Package caddyfileutil parses the blocks of Caddyfile directives by tables of
// options:
//
//	caddyfileutil.ParseBlock(d, "doh", []caddyfileutil.Option{
//		{Name: "timeout", Parse: caddyfileutil.Duration(&h.Timeout, time.Millisecond)},
//		{Name: "json", Parse: caddyfileutil.Flag(&h.JSON)},
//	})
//
// A mistake has the same text in every directive: what is wrong, what would be
// right, and the file and line. Mistakes that look right, such as a full-width
// colon or a comma between values, are named (signs.go).
package caddyfileutil

import (
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Option is a line of a block.
type Option struct {
	// Name is the first word of the line.
	Name string

	// Repeats allows the option more than once. Default: an error.
	Repeats bool

	// Block allows the option to have a block, which Parse reads. Default: an
	// error.
	Block bool

	// Excludes is the name of an option that must not be in the same block. It is
	// enough if one of the two options has it.
	Excludes string

	// Parse reads the line and its block.
	Parse Parser

	// Instead is the error for an option that people may expect here: what to
	// write in its place. Such an option has no Parse.
	Instead string
}

// Parser parses an option. The dispenser is at the option's name, and must be left
// at the end of the line or block. An error must contain the file and line.
type Parser func(d *caddyfile.Dispenser) error

// ParseBlock parses the block that follows, if there is one. owner is the name in
// errors of the directive or option that has the block.
func ParseBlock(d *caddyfile.Dispenser, owner string, options []Option) error {
	lines := make(map[string]int, len(options)) // of each option's first occurrence
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		at := *d // the beginning of the option, to look for full-width signs
		option, ok := find(options, d.Val())
		if !ok {
			return explainSigns(&at, d.Errf("unknown option %s of %s; there %s", word(d.Val()), owner, are(options)))
		}
		if option.Instead != "" {
			return d.Errf("%s has no option %s: %s", owner, option.Name, option.Instead)
		}
		if line := lines[option.Name]; line > 0 && !option.Repeats {
			return d.Errf("%s is given twice, first in line %d; keep one of the two", option.Name, line)
		}
		if other, line := excluded(option, options, lines); line > 0 {
			return d.Errf("%s excludes %s in line %d; keep one of the two", option.Name, other, line)
		}
		if lines[option.Name] == 0 {
			lines[option.Name] = d.Line()
		}
		if err := option.parse(d); err != nil {
			return explainSigns(&at, err)
		}
	}
	return nil
}

// parse parses the option, and then checks its line for mistakes that Parse has
// accepted.
func (o Option) parse(d *caddyfile.Dispenser) error {
	at := *d
	if err := o.Parse(d); err != nil {
		return err
	}
	// After Parse: an option with a syntax of its own has a better error.
	if err := checkQuotes(&at); err != nil {
		return err
	}
	if err := checkSeparators(&at); err != nil {
		return err
	}
	if !o.Block {
		return NoBlock(d, o.Name)
	}
	return nil
}

// NoBlock returns an error if a block follows. what is the name in the error of the
// option that has none.
func NoBlock(d *caddyfile.Dispenser, what string) error {
	if blockFollows(d) {
		return d.Errf("%s takes no block; remove the braces and what is in them", what)
	}
	return nil
}

// blockFollows reports whether an opening brace follows. NextBlock cannot be used,
// since it skips an empty block.
func blockFollows(d *caddyfile.Dispenser) bool {
	ahead := *d
	return !ahead.NextArg() && !ahead.NextLine() && ahead.Next()
}

// find returns the option of a name.
func find(options []Option, name string) (Option, bool) {
	for _, o := range options {
		if o.Name == name {
			return o, true
		}
	}
	return Option{}, false
}

// excluded returns the name and line of an option that is given already and
// excludes this one or is excluded by it. line is 0 if there is none.
func excluded(option Option, options []Option, lines map[string]int) (name string, line int) {
	for _, o := range options {
		if o.Name == option.Excludes || o.Excludes == option.Name {
			if line := lines[o.Name]; line > 0 {
				return o.Name, line
			}
		}
	}
	return "", 0
}

// are returns the options of a block for an error: "are a, b and c".
func are(options []Option) string {
	var names []string
	for _, o := range options {
		if o.Instead == "" {
			names = append(names, o.Name)
		}
	}
	if len(names) == 1 {
		return "is " + names[0]
	}
	return "are " + list(names)
}

// list returns names as "a, b and c".
func list(names []string) string {
	last := len(names) - 1
	if last < 1 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// maxWord is longer than any name of an option.
const maxWord = 24

// word returns an unknown option for an error, if it looks like the name of one.
// Anything else may be a secret, for example an API key of a list whose backslash
// at the end of the line is missing.
func word(s string) string {
	if len(s) > maxWord || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_-{}") != "" {
		return "(not shown, since it may be a secret)"
	}
	return s
}
