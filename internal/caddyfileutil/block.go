// Package caddyfileutil parses the blocks of Caddyfile directives by tables of
// options. A mistake has the same text in every directive: what is wrong, what
// would be right, and the file and line.
package caddyfileutil

import (
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Option is a line that a block may have.
type Option struct {
	// Name is the first word of the line.
	Name string

	// Repeats allows the option several times. Default: an error.
	Repeats bool

	// Block allows the option a block, which Parse reads. Default: an error.
	Block bool

	// Excludes is the name of an option of which the block may have this one
	// or the other. It holds for both if one of them has it.
	Excludes string

	// Parse reads the line, and its block.
	Parse Parser

	// Instead is what to write in place of an option that people may look for
	// here. The option is then always an error, and has no Parse.
	Instead string
}

// Parser parses an option. The dispenser stands at the option's name and is
// left at the end of the line or block. An error has its file and line.
type Parser func(d *caddyfile.Dispenser) error

// ParseBlock parses the block that follows, if one does. owner is the directive
// or option that has it, as errors name it.
func ParseBlock(d *caddyfile.Dispenser, owner string, options []Option) error {
	lines := make(map[string]int, len(options)) // where each option was given first
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		at := *d // where the option begins, for errors that its line explains
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

func (o Option) parse(d *caddyfile.Dispenser) error {
	at := *d
	if err := o.Parse(d); err != nil {
		return err
	}
	// Options with a syntax of their own have better words for these mistakes.
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

// NoBlock refuses a block that follows. what is what the error says has none.
func NoBlock(d *caddyfile.Dispenser, what string) error {
	if blockFollows(d) {
		return d.Errf("%s takes no block; remove the braces and what is in them", what)
	}
	return nil
}

// blockFollows reports whether an opening brace follows, of an empty block too.
func blockFollows(d *caddyfile.Dispenser) bool {
	ahead := *d
	return !ahead.NextArg() && !ahead.NextLine() && ahead.Next()
}

func find(options []Option, name string) (Option, bool) {
	for _, o := range options {
		if o.Name == name {
			return o, true
		}
	}
	return Option{}, false
}

// excluded returns the option among those given that excludes this one or is
// excluded by it, and its line.
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

// are lists the options that a block may have.
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

// list writes names as "a, b and c".
func list(names []string) string {
	last := len(names) - 1
	if last < 1 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// maxWord is longer than the names of options.
const maxWord = 24

// word shows an unknown option if it looks like one. Anything else can be a
// secret: a list of keys with line breaks in it, say.
func word(s string) string {
	if len(s) > maxWord || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_-{}") != "" {
		return "(not shown, since it may be a secret)"
	}
	return s
}
