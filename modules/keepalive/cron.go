package keepalive

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/adhocore/gronx"
)

// Cron is a schedule by the clock on the wall.
//
// On the days on which clocks are changed it does as cron does: a fixed time
// that is skipped comes right after the change, and one that happens twice
// counts once. An expression whose minute or hour begins with `*` keeps its
// pace through the change.
type Cron struct {
	// The cron expression: minute, hour, day of the month, month and day of
	// the week. With six fields the first is the second.
	Expression string `json:"expression"`

	// The time zone, by its name in the IANA database. Default: UTC.
	Zone string `json:"zone,omitempty"`

	zone  *time.Location
	fixed bool // neither minute nor hour begins with `*`
}

const cronHint = `write five fields (minute, hour, day, month, weekday), like "*/3 * * * *"`

// The fields of an expression as gronx counts them, seconds first.
const (
	cronMinute = 1
	cronHour   = 2
)

// provision checks the expression and loads the zone.
func (c *Cron) provision() (err error) {
	if c.zone, err = loadZone(c.Zone); err != nil {
		return err
	}
	fields, err := gronx.Segments(c.Expression)
	if err == nil {
		err = checkFields(fields)
	}
	if err != nil {
		return fmt.Errorf("cron expression %q: %w; %s", c.Expression, err, cronHint)
	}
	if !gronx.IsValid(c.Expression) {
		return fmt.Errorf("%q is not a cron expression; %s", c.Expression, cronHint)
	}
	c.fixed = !strings.HasPrefix(fields[cronMinute], "*") && !strings.HasPrefix(fields[cronHour], "*")
	if _, err := c.next(time.Now()); err != nil {
		return fmt.Errorf("cron expression %q never comes; %s", c.Expression, cronHint)
	}
	return nil
}

// checkFields looks at every value of a list. The parser stops at the first
// that matches the present time, so that `5,99` would be sound at five past.
func checkFields(fields []string) error {
	checker := new(gronx.SegmentChecker)
	checker.SetRef(time.Unix(0, 0))
	for i, field := range fields {
		for value := range strings.SplitSeq(field, ",") {
			if strings.Count(value, "-") > 1 {
				return fmt.Errorf("%q is not a range", value)
			}
			if _, err := checker.CheckDue(value, i); err != nil {
				return fmt.Errorf("%q is not possible", value)
			}
		}
	}
	return nil
}

// maxChanges bounds the search over changes of a zone's clock, two a year. No
// expression is rarer than 29 February on a given weekday.
const maxChanges = 100

var errNever = errors.New("it never comes")

// next returns the first time after a given one.
//
// The parser computes in UTC, which has no gaps, with what the clock on the
// wall shows. That is right until the zone's offset changes; there the search
// goes on with the new offset.
func (c *Cron) next(after time.Time) (time.Time, error) {
	t, inclusive := after.Round(0).In(c.zone), false // by the wall, not the monotonic clock
	for range maxChanges {
		wall := wallClock(t)
		begin, end := t.ZoneBounds()
		if c.fixed && !begin.IsZero() {
			// What the wall showed before a change back is not shown again.
			if before := wallClockBefore(begin); wall.Before(before) {
				wall, inclusive = before, true
			}
		}
		hit, err := gronx.NextTickAfter(c.Expression, wall, inclusive)
		if err != nil {
			return time.Time{}, errNever
		}
		at := t.Add(hit.Sub(wallClock(t)))
		if end.IsZero() || at.Before(end) {
			return at, nil
		}
		t, inclusive = end.In(c.zone), true
		if c.fixed && hit.Before(wallClock(t)) {
			return t, nil // skipped by a change forward
		}
	}
	return time.Time{}, errNever
}

// wallClock returns what the clock on t's wall shows, as a time in UTC.
func wallClock(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// wallClockBefore is wallClock at t if the change at t had not come.
func wallClockBefore(change time.Time) time.Time {
	return wallClock(change.Add(-time.Nanosecond)).Add(time.Nanosecond)
}
