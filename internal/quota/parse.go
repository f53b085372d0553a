package quota

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
)

const (
	periods = "second, minute, hour, day or month"
	quotaAs = "write it like 300000/month, 1M tokens/month account Asia/Shanghai or 750h/month"
	limitAs = "write it like 1000/day or 1M tokens/month"

	// maxAmount is the largest amount. Sums of a few thousand do not overflow, and
	// a float64 represents each exactly.
	maxAmount = 1e15
)

// Parse reads the arguments of the option `quota`:
//
//	quota <n> [<unit>]/<period> [<account>] [<zone>]
//
// The unit is `requests` (the default) or `tokens`; or n is a duration such as 750h.
// A word with a slash, or `UTC`, is a time zone, and any other an account. Numbers
// may have the suffixes k and M.
func Parse(args []string) (*Quota, error) {
	q, rest, err := parseAmount(args, quotaAs)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", strings.Join(args, " "), err)
	}
	for _, word := range rest {
		if err := q.parseWord(word); err != nil {
			return nil, fmt.Errorf("%q: %w", strings.Join(args, " "), err)
		}
	}
	return q, nil
}

// ParseLimit reads the arguments of the option `limit`:
//
//	limit <n> [<unit>]/<period>
//
// A limit is a quota of requests or tokens without an account, in UTC.
func ParseLimit(args []string) (*Quota, error) {
	q, rest, err := parseAmount(args, limitAs)
	switch {
	case err != nil:
	case q.Unit == ledger.Seconds:
		err = fmt.Errorf("a limit counts requests or tokens: %s", limitAs)
	case len(rest) > 0:
		err = fmt.Errorf("a limit has neither an account nor a time zone: %s", limitAs)
	default:
		return q, nil
	}
	return nil, fmt.Errorf("%q: %w", strings.Join(args, " "), err)
}

// parseAmount reads `<n> [<unit>]/<period>` and returns the words after it.
func parseAmount(args []string, example string) (q *Quota, rest []string, err error) {
	if len(args) == 0 {
		return nil, nil, errors.New(example)
	}
	amount, period, attached := strings.Cut(args[0], "/")
	unit, rest := "", args[1:]
	if !attached {
		if len(rest) == 0 || !strings.Contains(rest[0], "/") {
			return nil, nil, fmt.Errorf("the period is missing: %s", example)
		}
		unit, period, _ = strings.Cut(rest[0], "/")
		rest = rest[1:]
	}
	if period == "" && len(rest) > 0 {
		return nil, nil, fmt.Errorf("write it without white space around the slash, as %s/%s", strings.Trim(args[0], "/"), rest[0])
	}
	q = &Quota{Period: ledger.Period(period)}
	if !q.Period.Valid() {
		return nil, nil, fmt.Errorf("unknown period %q: it is %s", period, periods)
	}
	if q.Amount, q.Unit, err = parseNumber(amount); err != nil {
		return nil, nil, fmt.Errorf("%w; %s", err, example)
	}
	switch unit {
	case "":
		if !attached && q.Unit == "" {
			return nil, nil, fmt.Errorf("the unit is missing before /%s: %s", period, example)
		}
	case "requests", "request":
		unit = ""
	case "tokens", "token":
		unit = string(ledger.Tokens)
	default:
		return nil, nil, fmt.Errorf("unknown unit %q: it is requests or tokens, or the amount is a duration like 750h", unit)
	}
	if q.Unit == ledger.Seconds {
		if !attached {
			return nil, nil, fmt.Errorf("a duration has no unit: write %s/%s", amount, period)
		}
		return q, rest, nil
	}
	q.Unit = ledger.Unit(unit)
	return q, rest, nil
}

// parseNumber reads a whole number, for example 300000, 20k or 1.5M, or a duration,
// whose unit is seconds.
func parseNumber(word string) (int64, ledger.Unit, error) {
	digits, factor := word, 1.0
	switch {
	case strings.HasSuffix(word, "k"), strings.HasSuffix(word, "K"):
		digits, factor = word[:len(word)-1], 1e3
	case strings.HasSuffix(word, "M"):
		digits, factor = word[:len(word)-1], 1e6
	}
	// ParseFloat would also accept 1e5, 0x1p4, inf and 1_000.
	if strings.Trim(digits, "0123456789.") == "" {
		if n, err := strconv.ParseFloat(digits, 64); err == nil {
			return whole(word, math.Round(n*factor*1e6)/1e6)
		}
	}
	length, err := caddy.ParseDuration(word)
	if err != nil {
		return 0, "", fmt.Errorf("%q is neither a number like 300000, 20k or 1.5M nor a duration like 750h", word)
	}
	if length < time.Second || length%time.Second != 0 {
		return 0, "", fmt.Errorf("%s is not a number of whole seconds above zero", word)
	}
	return int64(length / time.Second), ledger.Seconds, nil
}

// whole returns a number as an amount. word is the number as it was written.
func whole(word string, n float64) (int64, ledger.Unit, error) {
	switch {
	case n != math.Trunc(n):
		return 0, "", fmt.Errorf("%s is not a whole number", word)
	case n < 1:
		return 0, "", fmt.Errorf("%s is too small: the least is 1", word)
	case n > maxAmount:
		return 0, "", fmt.Errorf("%s is too large", word)
	}
	return int64(n), "", nil
}

// parseWord reads an account or a time zone.
func (q *Quota) parseWord(word string) error {
	switch word {
	case "requests", "request", "tokens", "token":
		return fmt.Errorf("the unit belongs before the period: %s", quotaAs)
	}
	if word != "UTC" && !strings.Contains(word, "/") {
		if err := checkAccount(word); err != nil {
			return err
		}
		if q.Account != "" {
			return fmt.Errorf("there are two accounts, %s and %s: %s", q.Account, word, quotaAs)
		}
		q.Account = word
		return nil
	}
	if q.Zone != "" {
		return fmt.Errorf("there are two time zones, %s and %s: %s", q.Zone, word, quotaAs)
	}
	q.Zone = word
	_, err := q.location()
	return err
}
