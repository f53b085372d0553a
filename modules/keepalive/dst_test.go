package keepalive

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The second implementation of schedules: it knows nothing of offsets and
// bounds, and looks at what a clock on the wall shows at every minute.

// minute is a minute and what a clock on the wall shows at it.
type minute struct {
	at      time.Time
	shown   time.Time // written as if in UTC
	skipped []time.Time
	again   bool // it was shown before
}

// minutesOf returns the minutes of a stretch of time. A day before it is looked
// at as well, for what was shown then.
func minutesOf(zone *time.Location, from, until time.Time) (all []minute) {
	var latest time.Time
	for t := from.Add(-24 * time.Hour); t.Before(until); t = t.Add(time.Minute) {
		local := t.In(zone)
		year, month, day := local.Date()
		hour, min, _ := local.Clock()
		m := minute{at: t, shown: time.Date(year, month, day, hour, min, 0, 0, time.UTC)}
		m.again = !m.shown.After(latest)
		if !latest.IsZero() {
			for skipped := latest.Add(time.Minute); skipped.Before(m.shown); skipped = skipped.Add(time.Minute) {
				m.skipped = append(m.skipped, skipped)
			}
		}
		if !m.again {
			latest = m.shown
		}
		if t.After(from) {
			all = append(all, m)
		}
	}
	return all
}

// valuesOf returns the values that a field of a cron expression has.
func valuesOf(field string) (has [100]bool) {
	for part := range strings.SplitSeq(field, ",") {
		span, step, stepped := strings.Cut(part, "/")
		n, from, to := 1, 0, len(has)-1
		if stepped {
			n, _ = strconv.Atoi(step)
		}
		if span != "*" {
			low, high, isRange := strings.Cut(span, "-")
			from, _ = strconv.Atoi(low)
			if to = from; isRange {
				to, _ = strconv.Atoi(high)
			}
		}
		for value := from; value <= to; value += n {
			has[value] = true
		}
	}
	return has
}

// slowCron returns the ticks of a cron expression minute by minute.
func slowCron(expression string, minutes []minute, open func(time.Time) bool) (ticks []time.Time) {
	f := strings.Fields(expression)
	var has [5][100]bool
	for i := range has {
		has[i] = valuesOf(f[i])
	}
	matches := func(shown time.Time) bool {
		day, weekday := has[2][shown.Day()], has[4][shown.Weekday()]
		if f[2] != "*" && f[4] != "*" {
			day, weekday = day || weekday, true
		}
		return has[0][shown.Minute()] && has[1][shown.Hour()] && has[3][shown.Month()] && day && weekday
	}
	fixed := f[0][0] != '*' && f[1][0] != '*'
	for _, m := range minutes {
		hit := matches(m.shown)
		if fixed {
			hit = hit && !m.again || slices.ContainsFunc(m.skipped, matches)
		}
		if hit && open(m.at) {
			ticks = append(ticks, m.at)
		}
	}
	return ticks
}

// slowInterval returns the ticks of an interval: from tick to tick, and from
// the end of a window to the first minute of the next.
func slowInterval(every time.Duration, from, until time.Time, open func(time.Time) bool) (ticks []time.Time) {
	for t := from; t.Before(until); t = t.Add(every) {
		for !open(t) {
			t = t.Truncate(time.Minute).Add(time.Minute)
		}
		if t.Before(until) && t.After(from) {
			ticks = append(ticks, t)
		}
	}
	return ticks
}

// slowWindow tells whether a window is open by comparing texts.
func slowWindow(w *Window) func(time.Time) bool {
	return func(t time.Time) bool {
		if w == nil {
			return true
		}
		hour, min, _ := t.In(w.zone).Clock()
		shown := string([]byte{byte('0' + hour/10), byte('0' + hour%10), ':', byte('0' + min/10), byte('0' + min%10)})
		if w.From < w.To {
			return w.From <= shown && shown < w.To
		}
		return w.From <= shown || shown < w.To
	}
}

// A month of ticks around each change of the clocks, one by one.
func TestMonthsOfTicksOverChangesOfClocks(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"America/New_York", "Europe/Berlin", "Australia/Lord_Howe"} {
		location, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		windows := []*Window{nil, newWindow(t, "07:00", "23:30", zone), newWindow(t, "22:30", "02:15", zone), newWindow(t, "01:30", "03:10", "Asia/Shanghai")}
		change := at(t, "2026-01-01T00:00:00Z")
		for range 2 {
			_, change = change.In(location).ZoneBounds()
			from, until := change.Add(-17*day).UTC(), change.Add(14*day).UTC()
			minutes := minutesOf(location, from, until)
			if len(minutes) != 31*24*60-1 {
				t.Fatalf("%d minutes", len(minutes))
			}
			for i, w := range windows {
				open := slowWindow(w)
				name := fmt.Sprintf("%s, %s, window %d", zone, change.Format(time.DateOnly), i)
				expressions := []string{"7 * * * *", "*/20 1-3 * * *", "30 2 * * *", "15,45 1,2 * * *", "5-50/15 2-4 * * *"}
				if i == 0 {
					expressions = append(expressions, "*/20 * * * *", "0 0 * * *", "59 23 * * 1-5", "10 2 1 * 0")
				}
				for _, expression := range expressions {
					compareTicks(t, name+", "+expression, &schedule{cron: newCron(t, expression, zone), window: w}, from, until, slowCron(expression, minutes, open))
				}
				for _, every := range []time.Duration{3 * time.Minute, 10 * time.Minute, 50 * time.Minute, 5 * time.Hour} {
					compareTicks(t, name+", every "+every.String(), &schedule{every: every, window: w}, from, until, slowInterval(every, from, until, open))
				}
			}
		}
	}
}

func compareTicks(t *testing.T, name string, s *schedule, from, until time.Time, want []time.Time) {
	t.Helper()
	tick, n := from, 0
	if s.cron == nil {
		if tick = s.first(from); tick.After(from) {
			tick = tick.Add(-s.every)
		}
	}
	for {
		if tick = s.next(tick, tick); tick.IsZero() || !tick.Before(until) {
			break
		}
		if n >= len(want) || !tick.Equal(want[n]) {
			var expected any = "none"
			if n < len(want) {
				expected = want[n].UTC()
			}
			t.Errorf("%s: tick %d is at %v, want %v", name, n, tick.UTC(), expected)
			return
		}
		n++
	}
	if n != len(want) {
		t.Errorf("%s: %d ticks, want %d", name, n, len(want))
	}
}
