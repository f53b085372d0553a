package caddyfileutil

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"golang.org/x/net/http/httpguts"
)

// Any is the number of arguments of an option that takes as many as you like.
const Any = -1

// Arguments reads the arguments of the option or directive at which the
// dispenser stands: at least least, and at most most. usage is what to write
// after the name, with an example.
func Arguments(d *caddyfile.Dispenser, least, most int, usage string) ([]string, error) {
	name, args := d.Val(), d.RemainingArgs()
	switch {
	case most == 0 && len(args) > 0:
		return nil, d.Errf("%s takes no value; remove what follows it in the line", name)
	case len(args) < least:
		return nil, d.Errf("write: %s %s", name, usage)
	case len(args) > most && most != Any:
		return nil, d.Errf("write: %s %s, and a value with spaces in quotes or backticks", name, usage)
	}
	return args, nil
}

// Args parses an option with as many arguments as Arguments takes. An error of
// set is given the option's name, unless it begins with it, the file and line.
func Args(least, most int, usage string, set func(args []string) error) Parser {
	return func(d *caddyfile.Dispenser) error {
		name := d.Val()
		args, err := Arguments(d, least, most, usage)
		if err != nil {
			return err
		}
		if err := set(args); err != nil {
			return d.WrapErr(named(name, err))
		}
		return nil
	}
}

// One parses an option with one argument, as Args does.
func One(usage string, set func(arg string) error) Parser {
	return Args(1, 1, usage, func(args []string) error { return set(args[0]) })
}

// named puts a name before an error that does not begin with it. Checks that
// configurations in JSON share begin with it.
func named(name string, err error) error {
	if after, ok := strings.CutPrefix(err.Error(), name); ok && strings.IndexAny(after, " :") == 0 {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}

// Flag parses an option that stands alone.
func Flag(field *bool) Parser {
	return Args(0, 0, "", func([]string) error {
		*field = true
		return nil
	})
}

// Text parses an option whose value is a text that is not empty.
func Text(field *string, usage string) Parser {
	return One(usage, func(arg string) error {
		if arg == "" {
			return errors.New("the value is empty; write " + usage)
		}
		*field = arg
		return nil
	})
}

// OneOf parses an option whose value is one of some words.
func OneOf(field *string, words ...string) Parser {
	return One(strings.Join(words, "|"), func(arg string) error {
		for _, w := range words {
			if arg == w {
				*field = arg
				return nil
			}
		}
		return fmt.Errorf("%q is not one of %s", arg, list(words))
	})
}

// OnOff parses an option whose value is `on` or `off`.
func OnOff(set func(on bool)) Parser {
	var value string
	parse := OneOf(&value, "on", "off")
	return func(d *caddyfile.Dispenser) error {
		if err := parse(d); err != nil {
			return err
		}
		set(value == "on")
		return nil
	}
}

// Header parses an option that adds a header field. The value, which may be a
// secret, is not shown.
func Header(field *http.Header) Parser {
	return Args(2, 2, `<name> <value>, such as X-Title "my pool"`, func(args []string) error {
		name := strings.TrimSuffix(args[0], ":")
		if !httpguts.ValidHeaderFieldName(name) {
			return notA(args[0], "the name of a header field", "X-Title")
		}
		if !httpguts.ValidHeaderFieldValue(args[1]) {
			return fmt.Errorf("the value of %s has a line break or another control character; remove it", name)
		}
		if *field == nil {
			*field = make(http.Header)
		}
		field.Add(name, args[1])
		return nil
	})
}

// notA says that a value is not what it must be.
func notA(value, what, example string) error {
	return fmt.Errorf("%q is not %s; write one such as %s", value, what, example)
}
