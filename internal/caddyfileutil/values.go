package caddyfileutil

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/dustin/go-humanize"
)

// durations are the examples in errors about durations.
const durations = "400ms or 30s"

// Duration parses an option whose value is a duration of at least least.
func Duration(field *caddy.Duration, least time.Duration) Parser {
	return One("<duration>", durations, func(arg string) (err error) {
		*field, err = parseDuration(arg, least)
		return err
	})
}

// Off is the value of a field for `off`. Zero stands for the option's default.
const Off = -1

// DurationOrOff parses an option whose value is a duration of at least least, or
// `off`, which sets the field to Off.
func DurationOrOff(field *caddy.Duration, least time.Duration) Parser {
	return One("<duration>|off", durations, func(arg string) (err error) {
		if arg == "off" {
			*field = Off
			return nil
		}
		*field, err = parseDuration(arg, least)
		return err
	})
}

// parseDuration parses a duration in Caddy's form, which has days as well.
func parseDuration(arg string, least time.Duration) (caddy.Duration, error) {
	d, err := caddy.ParseDuration(arg)
	if err != nil {
		return 0, notA(arg, "a duration", durations)
	}
	if d < least {
		return 0, fmt.Errorf("%s is too short; the least is %v", arg, least)
	}
	return caddy.Duration(d), nil
}

// Number parses an option whose value is a whole number from least to most. A most
// of math.MaxInt means no upper bound.
func Number(field *int, least, most int) Parser {
	bounds := fmt.Sprintf("a whole number from %d to %d", least, most)
	if most == math.MaxInt {
		bounds = fmt.Sprintf("a whole number from %d", least)
	}
	example := strconv.Itoa(max(least, min(8, most)))
	return One("<number>", example, func(arg string) error {
		n, err := strconv.Atoi(arg)
		if err != nil || n < least || n > most {
			return notA(arg, bounds, example)
		}
		*field = n
		return nil
	})
}

// Percent parses an option whose value is a percentage, and sets the field to the
// fraction: 0.1 for 10%. below excludes 100%. The percent sign is required, since
// 0.1 and 10 would both be plausible for ten percent.
func Percent(field **float64, below bool) Parser {
	bounds := "a percentage from 0% to 100%"
	if below {
		bounds = "a percentage from 0% to below 100%"
	}
	return One("<percent>", "10%", func(arg string) error {
		number, isPercent := strings.CutSuffix(arg, "%")
		percent, err := strconv.ParseFloat(number, 64)
		inBounds := percent >= 0 && percent <= 100 // false for NaN
		if !isPercent || err != nil || !inBounds || (below && percent == 100) {
			return notA(arg, bounds, "10%")
		}
		share := percent / 100
		*field = &share
		return nil
	})
}

const (
	// maxSize is the largest size, in bytes. It keeps sums from overflowing.
	maxSize = 1 << 40

	// minSize is the smallest size, in bytes. A smaller one has lost its unit:
	// nobody limits a body to 64 bytes.
	minSize = 100
)

// Size parses an option whose value is a size in bytes. As everywhere in
// Caddyfiles, 1MB is 1,000,000 bytes and 1MiB 1,048,576.
func Size(field *int64) Parser {
	return One("<size>", "64MB", func(arg string) error {
		size, err := humanize.ParseBytes(arg)
		if err != nil || size < minSize || size > maxSize {
			return notA(arg, "a size with its unit", "64MB")
		}
		*field = int64(size)
		return nil
	})
}

// Statuses parses an option whose values are HTTP statuses, such as 429, or classes
// of statuses, such as 5xx. A class is appended as its first digit, as in Caddy's
// matchers. first and last are the classes that are allowed.
func Statuses(field *[]int, first, last int, example string) Parser {
	return Args("<status...>", example, func(args []string) error {
		for _, arg := range args {
			digits, isClass := strings.CutSuffix(strings.ToLower(arg), "xx")
			n, err := strconv.Atoi(digits)
			class := n
			if !isClass {
				class = n / 100
			}
			if err != nil || len(arg) != 3 || class < first || class > last {
				return fmt.Errorf("%q is not a status from %d00 to %d99; write some such as %s", arg, first, last, example)
			}
			*field = append(*field, n)
		}
		return nil
	})
}

const policyNamespace = "http.reverse_proxy.selection_policies."

// Policy parses an option whose value is a selection policy of reverse_proxy, and
// the policy's block. It sets the field to the policy's JSON, with its name in the
// inline key `policy`.
func Policy(field *json.RawMessage) Parser {
	const example = "random, first, round_robin or least_conn"
	return func(d *caddyfile.Dispenser) error {
		option := d.Val()
		if !d.NextArg() {
			return d.Errf("write: %s <policy>, such as %s %s", option, option, example)
		}
		name := d.Val()
		id := policyNamespace + name
		if _, err := caddy.GetModule(id); err != nil {
			return d.WrapErr(named(option, notA(name, "a policy of reverse_proxy", example)))
		}
		module, err := caddyfile.UnmarshalModule(d, id)
		if err != nil {
			return err
		}
		policy, ok := module.(reverseproxy.Selector)
		if !ok {
			return d.WrapErr(named(option, notA(name, "a policy of reverse_proxy", example)))
		}
		*field = caddyconfig.JSONModuleObject(policy, "policy", name, nil)
		return nil
	}
}
