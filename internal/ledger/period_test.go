package ledger

import (
	"testing"
	"time"
	_ "time/tzdata"
)

// zones have their clocks changed by an hour at night, by an hour at midnight
// (days without 00:00, with 23:00 twice, with 00:00 twice), by half an hour,
// and not at all.
var zones = []string{
	"America/New_York", "Africa/Cairo", "America/Havana", "Australia/Lord_Howe", "Asia/Shanghai", "UTC",
}

// Each period begins where what time.Time says of the date changes, over two
// years of which one is a leap year.
func TestBounds(t *testing.T) {
	const step = 30 * time.Minute
	from := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	until := from.AddDate(2, 0, 0)
	label := map[Period]func(time.Time) [5]int{
		Hour: func(t time.Time) [5]int {
			_, offset := t.Zone()
			return [5]int{t.Year(), int(t.Month()), t.Day(), t.Hour(), offset}
		},
		Day:   func(t time.Time) [5]int { return [5]int{t.Year(), int(t.Month()), t.Day()} },
		Month: func(t time.Time) [5]int { return [5]int{t.Year(), int(t.Month())} },
	}
	for _, name := range zones {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for period, label := range label {
			var begins []time.Time // of each period, found by looking
			last := label(from.Add(-step).In(zone))
			for at := from; at.Before(until); at = at.Add(step) {
				if now := label(at.In(zone)); now != last {
					begins, last = append(begins, at), now
				}
			}
			i := -1
			for at := from; at.Before(until); at = at.Add(step) {
				if i+1 < len(begins) && !at.Before(begins[i+1]) {
					i++
				}
				if i < 0 || i+1 == len(begins) {
					continue // at the edges of the two years
				}
				for _, at := range []time.Time{at, at.Add(step - 1)} {
					first, next := period.Bounds(at.In(zone))
					if !first.Equal(begins[i]) || !next.Equal(begins[i+1]) {
						t.Fatalf("%s, the %s of %v: got %v to %v, want %v to %v", name, period, at.In(zone),
							first, next, begins[i].In(zone), begins[i+1].In(zone))
					}
				}
			}
			if i < 20 {
				t.Fatalf("%s: only %d %ss were checked", name, i, period)
			}
		}
	}
}

func TestShortBounds(t *testing.T) {
	at := time.Date(2028, 2, 29, 23, 59, 59, 999_999_999, time.FixedZone("", 5*3600+2700))
	for period, want := range map[Period][2]string{
		Second: {"23:59:59", "00:00:00"},
		Minute: {"23:59:00", "00:00:00"},
	} {
		from, until := period.Bounds(at)
		if got := [2]string{from.Format(time.TimeOnly), until.Format(time.TimeOnly)}; got != want || from.Nanosecond() != 0 {
			t.Errorf("%s: got %v, want %v", period, got, want)
		}
	}
}

// Days of which one would get it wrong by adding 24 hours.
func TestDaysByHand(t *testing.T) {
	for _, test := range []struct {
		zone, at string
		period   Period
		lasts    time.Duration
	}{
		{"America/New_York", "2028-03-12T12:00:00", Day, 23 * time.Hour},
		{"America/New_York", "2028-11-05T12:00:00", Day, 25 * time.Hour},
		{"Australia/Lord_Howe", "2028-04-02T12:00:00", Day, 24*time.Hour + 30*time.Minute},
		{"Australia/Lord_Howe", "2028-10-01T12:00:00", Day, 23*time.Hour + 30*time.Minute},
		{"Africa/Cairo", "2028-04-28T12:00:00", Day, 23 * time.Hour},
		{"Africa/Cairo", "2028-10-26T12:00:00", Day, 25 * time.Hour},
		{"America/Havana", "2028-11-05T12:00:00", Day, 25 * time.Hour},
		{"Asia/Shanghai", "2028-02-29T12:00:00", Day, 24 * time.Hour},
		{"Asia/Shanghai", "2028-02-29T12:00:00", Month, 29 * 24 * time.Hour},
		{"Asia/Shanghai", "2027-02-28T12:00:00", Month, 28 * 24 * time.Hour},
		{"America/New_York", "2028-03-31T12:00:00", Month, 31*24*time.Hour - time.Hour},
	} {
		zone, err := time.LoadLocation(test.zone)
		if err != nil {
			t.Fatal(err)
		}
		at, err := time.ParseInLocation("2006-01-02T15:04:05", test.at, zone)
		if err != nil {
			t.Fatal(err)
		}
		from, until := test.period.Bounds(at)
		if lasts := until.Sub(from); lasts != test.lasts {
			t.Errorf("the %s of %s in %s lasts %v, want %v", test.period, test.at, test.zone, lasts, test.lasts)
		}
	}
}
