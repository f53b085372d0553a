package caddyfileutil

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"golang.org/x/net/http/httpguts"
)

// Arguments reads the arguments of the option or directive at which the dispenser
// is. usage is the syntax after its name, from which their number follows:
// `<a> [<b>]` is one or two, `<a>...` and `<a...>` one or more. example is an
// example of them. Both are for errors.
func Arguments(d *caddyfile.Dispenser, usage, example string) ([]string, error) {
	at, name := *d, d.Val()
	args := d.RemainingArgs()
	write := write(name, usage, example)
	least, most := count(usage)
	switch {
	case most == 0 && len(args) > 0:
		return nil, d.Errf("%s takes no value; remove the rest of the line", name)
	case len(args) < least:
		return nil, d.Err(write)
	case len(args) > most:
		if err := checkQuotes(&at); err != nil {
			return nil, err
		}
		return nil, d.Errf("too many values for %s; %s (put a value with spaces into quotes or backticks)", name, write)
	}
	return args, nil
}

// NoArguments returns an error if a directive or option that has only a block is
// followed by arguments.
func NoArguments(d *caddyfile.Dispenser) error {
	at := *d
	if name := d.Val(); d.NextArg() {
		return explainSigns(&at, d.Errf("%s takes no value; write its options into a block", name))
	}
	return nil
}

// write returns what to write in place of wrong arguments.
func write(name, usage, example string) string {
	return fmt.Sprintf("write: %s %s, such as %s %s", name, usage, name, example)
}

// count returns the smallest and the largest number of arguments of a usage. The
// words in brackets are optional, and so is each after an opening bracket until
// the closing one: `[<a> <b>]` is none to two.
func count(usage string) (least, most int) {
	optional := false
	for word := range strings.FieldsSeq(spaces.ReplaceAllLiteralString(usage, "<>")) {
		optional = optional || strings.HasPrefix(word, "[")
		if !optional {
			least++
		}
		most++
		optional = optional && !strings.Contains(word, "]")
	}
	if strings.Contains(usage, "...") {
		most = math.MaxInt
	}
	return least, most
}

// spaces matches the name of an argument, such as <host name>.
var spaces = regexp.MustCompile(`<[^>]*>`)

// ErrUsage is the error of a function for [Args] whose arguments do not match the
// usage although their number does.
var ErrUsage = errors.New("the arguments do not match the usage")

// Args parses an option with the arguments that Arguments reads. An error of set
// gets the option's name in front, unless it begins with it, and the file and line.
// For ErrUsage the error contains the usage and the example.
func Args(usage, example string, set func(args []string) error) Parser {
	return func(d *caddyfile.Dispenser) error {
		name := d.Val()
		args, err := Arguments(d, usage, example)
		if err != nil {
			return err
		}
		switch err := set(args); {
		case errors.Is(err, ErrUsage):
			return d.Err(write(name, usage, example))
		case err != nil:
			return d.WrapErr(named(name, err))
		}
		return nil
	}
}

// One parses an option with one argument, as Args does.
func One(usage, example string, set func(arg string) error) Parser {
	return Args(usage, example, func(args []string) error { return set(args[0]) })
}

// named puts a name in front of an error that does not begin with it. Errors of
// checks that are also made for JSON begin with it already.
func named(name string, err error) error {
	if after, ok := strings.CutPrefix(err.Error(), name); ok && strings.IndexAny(after, " :") == 0 {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}

// Flag parses an option without arguments, which sets the field.
func Flag(field *bool) Parser {
	return Args("", "", func([]string) error {
		*field = true
		return nil
	})
}

// Text parses an option whose value is a text. An empty one is an error: most often
// it is an environment variable that is not set.
func Text(field *string, usage, example string) Parser {
	return One(usage, example, func(arg string) error {
		if arg == "" {
			return errors.New("the value is empty; write one such as " + example)
		}
		*field = arg
		return nil
	})
}

// OneOf parses an option whose value is one of the words.
func OneOf(field *string, words ...string) Parser {
	return One(strings.Join(words, "|"), words[0], func(arg string) error {
		if !slices.Contains(words, arg) {
			return fmt.Errorf("%q is not one of %s", arg, list(words))
		}
		*field = arg
		return nil
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

// Header parses an option that adds a header field. Errors do not contain the
// value, which may be a secret.
func Header(field *http.Header) Parser {
	return Args("<name> <value>", `X-Title "my pool"`, func(args []string) error {
		name := strings.TrimSuffix(args[0], ":")
		if !httpguts.ValidHeaderFieldName(name) {
			return notA(args[0], "the name of a header field", "X-Title")
		}
		if !httpguts.ValidHeaderFieldValue(args[1]) {
			return fmt.Errorf("the value of %s has a line break or another control character; remove it", name)
		}
		switch strings.ToLower(strings.TrimSpace(args[1])) {
		case "bearer", "basic", "token":
			return fmt.Errorf("the value of %s has no key after its scheme; is an environment variable unset?", name)
		}
		if *field == nil {
			*field = make(http.Header)
		}
		field.Add(name, args[1])
		return nil
	})
}

// notA is the error for a value that is not of the kind what.
func notA(value, what, example string) error {
	return fmt.Errorf("%q is not %s; write one such as %s", value, what, example)
}
