package keepalive

import (
	"testing"
	"time"
	_ "time/tzdata"
)

func newCron(t *testing.T, expression, zone string) *Cron {
	t.Helper()
	c := &Cron{Expression: expression, Zone: zone}
	if err := c.provision(); err != nil {
		t.Fatal(err)
	}
	return c
}

func newWindow(t *testing.T, from, to, zone string) *Window {
	t.Helper()
	w := &Window{From: from, To: to, Zone: zone}
	if err := w.provision(); err != nil {
		t.Fatal(err)
	}
	return w
}

func at(t *testing.T, s string) time.Time {
	t.Helper()
	parsed, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// cronTimes are the times after one at which a schedule is due.
var cronTimes = []struct {
	name, expression, zone, after string
	want                          []string
}{
	{
		"every three minutes", "*/3 * * * *", "Asia/Shanghai", "2026-03-01T00:00:00Z",
		[]string{"2026-03-01T00:03:00Z", "2026-03-01T00:06:00Z"},
	},
	{
		"within a second", "*/3 * * * *", "Asia/Shanghai", "2026-03-01T00:02:59.999Z",
		[]string{"2026-03-01T00:03:00Z"},
	},
	{
		"just after", "*/3 * * * *", "", "2026-03-01T00:03:00.5Z",
		[]string{"2026-03-01T00:06:00Z"},
	},
	{
		"seconds", "*/20 * * * * *", "", "2026-03-01T00:03:50Z",
		[]string{"2026-03-01T00:04:00Z", "2026-03-01T00:04:20Z"},
	},
	{
		"a time of day in Shanghai", "30 7 * * *", "Asia/Shanghai", "2026-03-01T00:00:00Z",
		[]string{"2026-03-01T23:30:00Z", "2026-03-02T23:30:00Z"},
	},
	{
		"a day of the week in the zone", "0 1 * * MON", "Asia/Shanghai", "2026-03-01T00:00:00Z",
		[]string{"2026-03-01T17:00:00Z", "2026-03-08T17:00:00Z"},
	},
	{
		"the 31st", "0 0 31 * *", "", "2026-01-31T00:00:00Z",
		[]string{"2026-03-31T00:00:00Z", "2026-05-31T00:00:00Z"},
	},
	{
		"29 February", "0 0 29 2 *", "America/New_York", "2026-01-01T00:00:00Z",
		[]string{"2028-02-29T05:00:00Z", "2032-02-29T05:00:00Z"},
	},
	{
		"a day of the month or of the week", "0 0 10 * 1", "", "2026-03-01T00:00:00Z",
		[]string{"2026-03-02T00:00:00Z", "2026-03-09T00:00:00Z", "2026-03-10T00:00:00Z"},
	},
	// New York: at 2026-03-08 02:00 EST it becomes 03:00 EDT, at 07:00 UTC.
	{
		"a skipped time comes after the gap", "30 2 * * *", "America/New_York", "2026-03-07T08:00:00Z",
		[]string{"2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"},
	},
	{
		"the hours around the gap", "0 1,2,3 * * *", "America/New_York", "2026-03-08T05:00:00Z",
		[]string{"2026-03-08T06:00:00Z", "2026-03-08T07:00:00Z", "2026-03-09T05:00:00Z"},
	},
	{
		"every half hour over the gap", "*/30 * * * *", "America/New_York", "2026-03-08T06:00:00Z",
		[]string{"2026-03-08T06:30:00Z", "2026-03-08T07:00:00Z", "2026-03-08T07:30:00Z"},
	},
	{
		"every hour over the gap", "15 * * * *", "America/New_York", "2026-03-08T06:00:00Z",
		[]string{"2026-03-08T06:15:00Z", "2026-03-08T07:15:00Z"},
	},
	// At 2026-11-01 02:00 EDT it becomes 01:00 EST, at 06:00 UTC.
	{
		"a time that comes twice counts once", "30 1 * * *", "America/New_York", "2026-11-01T04:00:00Z",
		[]string{"2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"},
	},
	{
		"asked in the hour that comes again", "30 1,2 * * *", "America/New_York", "2026-11-01T06:10:00Z",
		[]string{"2026-11-01T07:30:00Z", "2026-11-02T06:30:00Z"},
	},
	{
		"the end of the hour that comes again", "0 2 * * *", "America/New_York", "2026-11-01T05:30:00Z",
		[]string{"2026-11-01T07:00:00Z", "2026-11-02T07:00:00Z"},
	},
	{
		"every half hour through the hour that comes again", "*/30 * * * *", "America/New_York", "2026-11-01T05:00:00Z",
		[]string{"2026-11-01T05:30:00Z", "2026-11-01T06:00:00Z", "2026-11-01T06:30:00Z", "2026-11-01T07:00:00Z"},
	},
	// Cairo skips midnight itself: 2026-04-24 00:00 becomes 01:00, at 22:00 UTC.
	{
		"midnight that is skipped", "0 0 * * *", "Africa/Cairo", "2026-04-23T00:00:00Z",
		[]string{"2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"},
	},
	// Lord Howe moves its clocks by half an hour: 2026-04-05 02:00 becomes 01:30, at 15:00 UTC.
	{
		"a change by half an hour", "*/15 * * * *", "Australia/Lord_Howe", "2026-04-04T14:45:00Z",
		[]string{"2026-04-04T15:00:00Z", "2026-04-04T15:15:00Z", "2026-04-04T15:30:00Z"},
	},
	{
		"a change by half an hour, once", "45 1 * * *", "Australia/Lord_Howe", "2026-04-04T14:00:00Z",
		[]string{"2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"},
	},
	{
		"an offset of 45 minutes", "0 12 * * *", "Asia/Kathmandu", "2026-01-01T00:00:00Z",
		[]string{"2026-01-01T06:15:00Z", "2026-01-02T06:15:00Z"},
	},
}

func TestCronNext(t *testing.T) {
	for _, test := range cronTimes {
		t.Run(test.name, func(t *testing.T) {
			c, now := newCron(t, test.expression, test.zone), at(t, test.after)
			for _, want := range test.want {
				next, err := c.next(now)
				if err != nil {
					t.Fatal(err)
				}
				if !next.Equal(at(t, want)) {
					t.Fatalf("after %v: got %v, want %s", now, next.UTC(), want)
				}
				now = next
			}
		})
	}
}

// Through every change of a year's clocks, and through quiet days, a wildcard
// keeps its pace and a fixed time comes once each day.
func TestCronChanges(t *testing.T) {
	for _, zone := range []string{"Asia/Shanghai", "Europe/Berlin", "America/New_York", "Africa/Cairo", "Australia/Lord_Howe"} {
		pace, daily := newCron(t, "*/15 * * * *", zone), newCron(t, "10 2 * * *", zone)
		begin := at(t, "2026-01-01T12:00:00Z")
		days, now := 0, begin
		for {
			next, err := daily.next(now)
			if err != nil {
				t.Fatal(err)
			}
			if next.After(begin.AddDate(1, 0, 0)) {
				break
			}
			now = next
			days++
		}
		if days != 365 {
			t.Errorf("%s: %d times a year, want 365", zone, days)
		}
		for range 2 {
			change := begin.AddDate(0, 6, 0)
			if _, end := begin.In(pace.zone).ZoneBounds(); !end.IsZero() {
				change = end
			}
			for now := change.Add(-6 * time.Hour); now.Before(change.Add(6 * time.Hour)); {
				next, err := pace.next(now)
				if err != nil || next.Sub(now) != 15*time.Minute {
					t.Fatalf("%s: after %v comes %v (%v)", zone, now, next, err)
				}
				now = next
			}
			begin = change
		}
	}
}

func TestCronMistakes(t *testing.T) {
	for _, expression := range []string{
		"", "* * * *", "60 * * * *", "*/0 * * * *", "5,99 * * * *", "0,61 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *",
		"* * * * 8", "1-2-3 * * * *", "9-5 * * * *", "0 0 30 2 *", "@every 3m", "a b c d e", "*/ * * * *", ",1 * * * *",
		"0 0 0 1 1 * 1999",
	} {
		if err := (&Cron{Expression: expression}).provision(); err == nil {
			t.Errorf("%q was accepted", expression)
		}
	}
	for _, expression := range []string{"@daily", "*/3 7-23 * * MON-FRI", "0,30 8,20 1,15 JAN *", "0 0 L * *", "*/5 * * * * *"} {
		if err := (&Cron{Expression: expression}).provision(); err != nil {
			t.Errorf("%q: %v", expression, err)
		}
	}
}

func TestWindow(t *testing.T) {
	for _, test := range []struct {
		from, to, zone, at string
		open               bool
		opening            string
	}{
		{"07:00", "23:30", "Asia/Shanghai", "2026-03-01T00:00:00Z", true, ""},
		{"07:00", "23:30", "Asia/Shanghai", "2026-03-01T15:29:59Z", true, ""},
		{"07:00", "23:30", "Asia/Shanghai", "2026-03-01T15:30:00Z", false, "2026-03-01T23:00:00Z"},
		{"07:00", "23:30", "Asia/Shanghai", "2026-02-28T22:59:59Z", false, "2026-02-28T23:00:00Z"},
		{"22:00", "06:00", "", "2026-03-01T23:00:00Z", true, ""},
		{"22:00", "06:00", "", "2026-03-02T05:59:00Z", true, ""},
		{"22:00", "06:00", "", "2026-03-02T06:00:00Z", false, "2026-03-02T22:00:00Z"},
		{"00:00", "24:00", "", "2026-03-02T23:59:59Z", true, ""},
		{"20:00", "24:00", "", "2026-03-03T00:00:00Z", false, "2026-03-03T20:00:00Z"},
		// The clocks skip from 02:00 to 03:00 on this day.
		{"02:30", "05:00", "America/New_York", "2026-03-08T06:59:00Z", false, "2026-03-08T07:00:00Z"},
		{"02:15", "02:45", "America/New_York", "2026-03-08T06:59:00Z", false, "2026-03-09T06:15:00Z"},
	} {
		w, now := newWindow(t, test.from, test.to, test.zone), at(t, test.at)
		if w.contains(now) != test.open {
			t.Errorf("%s-%s %s at %v: open %v", test.from, test.to, test.zone, now, !test.open)
		}
		if !test.open && !w.opening(now).Equal(at(t, test.opening)) {
			t.Errorf("%s-%s %s at %v opens %v, want %s", test.from, test.to, test.zone, now, w.opening(now).UTC(), test.opening)
		}
	}
}

func TestScheduleTicks(t *testing.T) {
	night := newWindow(t, "22:00", "06:00", "")
	day := newWindow(t, "07:00", "19:00", "")
	for _, test := range []struct {
		name  string
		s     *schedule
		now   string
		ticks []string
	}{
		{
			"an interval", &schedule{every: time.Hour}, "2026-03-01T00:00:07Z",
			[]string{"2026-03-01T00:00:07Z", "2026-03-01T01:00:07Z", "2026-03-01T02:00:07Z"},
		},
		{
			"a window across midnight", &schedule{every: 5 * time.Hour, window: night}, "2026-03-01T21:00:00Z",
			[]string{"2026-03-01T22:00:00Z", "2026-03-02T03:00:00Z", "2026-03-02T22:00:00Z"},
		},
		{
			"an interval that would always miss the window", &schedule{every: 12 * time.Hour, window: day}, "2026-03-01T07:30:00Z",
			[]string{"2026-03-01T07:30:00Z", "2026-03-02T07:00:00Z", "2026-03-03T07:00:00Z"},
		},
		{
			"cron in a window", &schedule{cron: newCron(t, "0 */6 * * *", ""), window: day}, "2026-03-01T06:00:00Z",
			[]string{"2026-03-01T12:00:00Z", "2026-03-01T18:00:00Z", "2026-03-02T12:00:00Z"},
		},
		{
			"cron at the opening", &schedule{cron: newCron(t, "0 * * * *", ""), window: day}, "2026-03-01T18:30:00Z",
			[]string{"2026-03-02T07:00:00Z", "2026-03-02T08:00:00Z"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			now := at(t, test.now)
			tick := test.s.first(now)
			for i, want := range test.ticks {
				if i > 0 {
					tick = test.s.next(tick, tick)
				}
				if !tick.Equal(at(t, want)) {
					t.Fatalf("tick %d: got %v, want %s", i, tick, want)
				}
			}
		})
	}
}

func TestScheduleAfterDelay(t *testing.T) {
	s := &schedule{every: time.Minute}
	tick := at(t, "2026-03-01T00:00:00Z")
	for late, want := range map[time.Duration]time.Duration{
		0: time.Minute, 59 * time.Second: time.Minute, time.Minute: 2 * time.Minute, 150 * time.Second: 3 * time.Minute,
	} {
		if got := s.next(tick, tick.Add(late)).Sub(tick); got != want {
			t.Errorf("%v late: the next tick comes %v after the last, want %v", late, got, want)
		}
	}
}

func TestScheduleResume(t *testing.T) {
	last := at(t, "2026-03-01T00:00:00Z")
	now := last.Add(10 * time.Minute)
	for every, want := range map[time.Duration]time.Time{
		time.Hour: last.Add(time.Hour), 10 * time.Minute: now, time.Minute: now,
	} {
		if got := (&schedule{every: every}).resume(last, now); !got.Equal(want) {
			t.Errorf("every %v: got %v, want %v", every, got, want)
		}
	}
}

func TestScheduleSpread(t *testing.T) {
	tick := at(t, "2026-03-01T00:00:00Z")
	for name, s := range map[string]*schedule{
		"interval": {every: time.Hour, jitter: .5},
		"cron":     {cron: newCron(t, "0 * * * *", ""), jitter: .5},
	} {
		var least, most time.Duration = time.Hour, 0
		for range 2000 {
			d := s.spread(tick).Sub(tick)
			least, most = min(least, d), max(most, d)
		}
		if least < 0 || least > time.Minute || most > 30*time.Minute || most < 29*time.Minute {
			t.Errorf("%s: spread from %v to %v, want 0 to 30m", name, least, most)
		}
	}
	s := &schedule{every: time.Hour, jitter: 1, window: newWindow(t, "23:00", "00:01", "")}
	for range 100 {
		if !s.window.contains(s.spread(tick)) {
			t.Fatal("spread out of the window")
		}
	}
}
