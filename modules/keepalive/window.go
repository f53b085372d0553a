package keepalive

import (
	"errors"
	"fmt"
	"time"
)

// Window is the part of each day in which a target is pinged. It may reach
// over midnight.
type Window struct {
	// When the window opens, as HH:MM.
	From string `json:"from"`

	// When the window closes, as HH:MM; 24:00 is the end of the day. A time
	// before `from` is one of the next day.
	To string `json:"to"`

	// The time zone, by its name in the IANA database. Default: UTC.
	Zone string `json:"zone,omitempty"`

	zone     *time.Location
	from, to int // minutes since midnight
}

var errWindow = errors.New("a window is written HH:MM-HH:MM, like 07:00-23:30 or 22:00-06:00")

// provision reads the texts.
func (w *Window) provision() (err error) {
	if w.zone, err = loadZone(w.Zone); err != nil {
		return err
	}
	if w.from, err = parseMinute(w.From); err != nil {
		return err
	}
	if w.to, err = parseMinute(w.To); err != nil {
		return err
	}
	if w.from == w.to || w.from == 24*60 {
		return fmt.Errorf("%w; without a window a target is pinged all day", errWindow)
	}
	return nil
}

// contains reports whether the window is open at t.
func (w *Window) contains(t time.Time) bool {
	if w == nil {
		return true
	}
	local := t.In(w.zone)
	minute := local.Hour()*60 + local.Minute()
	if w.from < w.to {
		return w.from <= minute && minute < w.to
	}
	return minute >= w.from || minute < w.to
}

// opening returns when the window, closed at t, opens next: when the clock on
// the wall shows `from`, or right after a change of it that skips that.
func (w *Window) opening(t time.Time) time.Time {
	t = t.Truncate(time.Minute)
	for !w.contains(t) {
		local := t.In(w.zone)
		wait := (w.from - local.Hour()*60 - local.Minute() + 24*60) % (24 * 60)
		next := t.Add(time.Duration(wait) * time.Minute)
		if _, change := local.ZoneBounds(); !change.IsZero() && change.Before(next) {
			next = change
		}
		t = next
	}
	return t
}

// parseMinute reads HH:MM as minutes since midnight.
func parseMinute(s string) (int, error) {
	if s == "24:00" {
		return 24 * 60, nil
	}
	t, err := time.Parse("15:04", s)
	if err != nil || len(s) != len("15:04") {
		return 0, errWindow
	}
	return t.Hour()*60 + t.Minute(), nil
}

// loadZone returns the zone of a name, UTC if it has none.
func loadZone(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%q is not a time zone; write one like Asia/Shanghai or UTC", name)
	}
	return zone, nil
}
