package ledger

import (
	"slices"
	"time"
)

// Unit is what a counter counts.
type Unit string

// The units. Awake time is counted in whole seconds.
const (
	Requests Unit = "requests"
	Tokens   Unit = "tokens"
	Queries  Unit = "queries"
	Seconds  Unit = "seconds"
)

// Period is a stretch of the calendar after which a count begins anew.
type Period string

// The periods. Seconds and minutes are too short to be worth writing: they are
// counted in memory, by each process for itself.
const (
	Second Period = "second"
	Minute Period = "minute"
	Hour   Period = "hour"
	Day    Period = "day"
	Month  Period = "month"
)

// Valid reports whether p is one of the five periods.
func (p Period) Valid() bool { return p.rank() >= 0 }

// LongerThan reports whether p lasts longer than another period.
func (p Period) LongerThan(other Period) bool { return p.rank() > other.rank() }

func (p Period) rank() int { return slices.Index(periods[:], p) }

// periods are all of them, the shortest first.
var periods = [...]Period{Second, Minute, Hour, Day, Month}

// short reports whether the period is counted in memory only.
func (p Period) short() bool { return p == Second || p == Minute }

// keep is how long the counts of a period are kept after its beginning. It is
// generous because clocks jump, and what was thrown away does not come back.
func (p Period) keep() time.Duration {
	const day = 24 * time.Hour
	switch p {
	case Hour:
		return 3 * day
	case Day:
		return 62 * day
	default:
		return 400 * day
	}
}

// recent is how long after its beginning a period can matter to a quota, with
// plenty of time for clocks that differ.
func (p Period) recent() time.Duration {
	const day = 24 * time.Hour
	switch p {
	case Hour:
		return 6 * time.Hour
	case Day:
		return 4 * day
	default:
		return 64 * day
	}
}

// Bounds returns the period of t's time zone in which t lies: its first moment
// and the first moment after it. When clocks are put back, the hour that comes
// twice is two periods. Days and months are whole, however long they last.
func (p Period) Bounds(t time.Time) (from, until time.Time) {
	switch p {
	case Second:
		from = time.Unix(t.Unix(), 0).In(t.Location())
		return from, from.Add(time.Second)
	case Minute:
		from = t.Truncate(time.Minute)
		return from, from.Add(time.Minute)
	}
	return p.start(t), p.end(t)
}

// start and end reckon with the time as a clock on the wall shows it, which
// runs evenly between two changes of the zone's offset. Beyond a change they
// go on from there, if the same day or month does.
func (p Period) start(t time.Time) time.Time {
	first, _ := p.label(t)
	from := onWall(t, first)
	changed, _ := t.ZoneBounds()
	if changed.IsZero() || from.After(changed) {
		return from
	}
	before := changed.Add(-1)
	if p == Hour || !p.same(before, t) {
		return changed
	}
	return p.start(before)
}

func (p Period) end(t time.Time) time.Time {
	_, next := p.label(t)
	until := onWall(t, next)
	_, changes := t.ZoneBounds()
	if changes.IsZero() || until.Before(changes) {
		return until
	}
	if p == Hour || !p.same(changes, t) {
		return changes
	}
	return p.end(changes)
}

// label returns what a clock on the wall shows at the beginning of the period
// of t and of the next one, written as if it were UTC.
func (p Period) label(t time.Time) (first, next time.Time) {
	year, month, day := t.Date()
	switch p {
	case Hour:
		first = time.Date(year, month, day, t.Hour(), 0, 0, 0, time.UTC)
		return first, first.Add(time.Hour)
	case Day:
		return time.Date(year, month, day, 0, 0, 0, 0, time.UTC), time.Date(year, month, day+1, 0, 0, 0, 0, time.UTC)
	default:
		return time.Date(year, month, 1, 0, 0, 0, 0, time.UTC), time.Date(year, month+1, 1, 0, 0, 0, 0, time.UTC)
	}
}

func (p Period) same(a, b time.Time) bool {
	x, _ := p.label(a)
	y, _ := p.label(b)
	return x.Equal(y)
}

// onWall returns when a clock with t's offset shows what shown says in UTC.
func onWall(t, shown time.Time) time.Time {
	_, offset := t.Zone()
	return shown.Add(-time.Duration(offset) * time.Second).In(t.Location())
}
