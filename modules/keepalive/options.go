package keepalive

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// option is a line of a block.
type option struct {
	name     string
	repeats  bool
	excludes string
	parse    func(*caddyfile.Dispenser) error
}

// parseBlock parses the options of the block that follows, if one does.
func parseBlock(d *caddyfile.Dispenser, options []option) error {
	given := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		o := find(options, d.Val())
		if o == nil {
			return d.Errf("unknown option %q; there are %s", d.Val(), names(options))
		}
		if given[o.name] && !o.repeats {
			return d.Errf("%s is given twice", o.name)
		}
		if given[o.excludes] {
			return d.Errf("%s and %s are given; one of them is right", o.excludes, o.name)
		}
		given[o.name] = true
		if err := o.parse(d); err != nil {
			return err
		}
	}
	return nil
}

func find(options []option, name string) *option {
	for i := range options {
		if options[i].name == name {
			return &options[i]
		}
	}
	return nil
}

func names(options []option) string {
	all := make([]string, len(options))
	for i, o := range options {
		all[i] = o.name
	}
	last := len(all) - 1
	return strings.Join(all[:last], ", ") + " and " + all[last]
}

// wrap adds the file and line to an error.
func wrap(d *caddyfile.Dispenser, err error) error {
	if err == nil {
		return nil
	}
	return d.WrapErr(err)
}

// one parses an option with one argument.
func one(what string, set func(*caddyfile.Dispenser, string) error) func(*caddyfile.Dispenser) error {
	return func(d *caddyfile.Dispenser) error {
		name, args := d.Val(), d.RemainingArgs()
		if len(args) != 1 {
			return d.Errf("write: %s %s", name, what)
		}
		return set(d, args[0])
	}
}

// into parses an option with one argument into a field.
func into[T any](field *T, parse func(string) (T, error)) func(*caddyfile.Dispenser) error {
	return one("<value>", func(d *caddyfile.Dispenser, s string) (err error) {
		*field, err = parse(s)
		return wrap(d, err)
	})
}

func parseText(s string) (string, error) { return s, nil }

func parseDuration(s string) (caddy.Duration, error) {
	d, err := caddy.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration; write one like 3m, 90s or 1h30m", s)
	}
	if d < minDuration {
		return 0, fmt.Errorf("the duration %s is too short; at least %v", s, time.Duration(minDuration))
	}
	return caddy.Duration(d), nil
}

func parsePercent(s string) (*float64, error) {
	number, isPercent := strings.CutSuffix(s, "%")
	share, err := strconv.ParseFloat(number, 64)
	if err != nil || !isPercent || !(share >= 0 && share <= 100) {
		return nil, fmt.Errorf("%q is not a share of the wait; write one from 0%% to 100%%, like 10%%", s)
	}
	share /= 100
	return &share, nil
}

func parseCount(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q is not a number of pings; write one like 8", s)
	}
	return n, nil
}

// hasPlaceholder tells whether a text can be checked only when the
// configuration is loaded.
func hasPlaceholder(s string) bool { return strings.Contains(s, "{") }
