package caddyfileutil

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"golang.org/x/net/http/httpguts"
)

// Arguments reads the arguments of the option or directive at which the
// dispenser stands. usage is what to write after its name, and says how many
// there are: `<a> [<b>]` is one or two, `<a>...` and `<a...>` any number from
// one. example is what one could write.
func Arguments(d *caddyfile.Dispenser, usage, example string) ([]string, error) {
	at, name := *d, d.Val()
	args := d.RemainingArgs()
	write := write(name, usage, example)
	least, most := count(usage)
	switch {
	case most == 0 && len(args) > 0:
		return nil, d.Errf("%s takes no value; remove what follows it in the line", name)
	case len(args) < least:
		return nil, d.Err(write)
	case len(args) > most:
		if err := checkQuotes(&at); err != nil {
			return nil, err
		}
		return nil, d.Errf("too many values for %s; %s (a value with spaces stands in quotes or backticks)", name, write)
	}
	return args, nil
}

// NoArguments refuses arguments of a directive or option that has a block only.
func NoArguments(d *caddyfile.Dispenser) error {
	at := *d
	if name := d.Val(); d.NextArg() {
		return explainSigns(&at, d.Errf("%s takes no value; write its options into a block", name))
	}
	return nil
}

func write(name, usage, example string) string {
	return fmt.Sprintf("write: %s %s, such as %s %s", name, usage, name, example)
}

// count returns the least and the greatest number of arguments.
func count(usage string) (least, most int) {
	optional := false
	for _, word := range strings.Fields(spaces.ReplaceAllLiteralString(usage, "<>")) {
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

// spaces matches the names of arguments, which may have spaces.
var spaces = regexp.MustCompile(`<[^>]*>`)

// ErrUsage says that arguments are not as the usage has them, where their number
// does not show it.
var ErrUsage = errors.New("the arguments are not in their usual form")

// Args parses an option with arguments as Arguments reads them. An error of set
// is given the option's name, unless it begins with it, the file and the line.
// For ErrUsage the error says what to write.
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
	return Args("", "", func([]string) error {
		*field = true
		return nil
	})
}

// Text parses an option whose value is a text that is not empty.
func Text(field *string, usage, example string) Parser {
	return One(usage, example, func(arg string) error {
		if arg == "" {
			return errors.New("the value is empty; write one such as " + example)
		}
		*field = arg
		return nil
	})
}

// OneOf parses an option whose value is one of some words.
func OneOf(field *string, words ...string) Parser {
	return One(strings.Join(words, "|"), words[0], func(arg string) error {
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
			return fmt.Errorf("the value of %s has no key behind its scheme; is an environment variable unset?", name)
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
