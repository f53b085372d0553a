package hours

import (
	"math"
	"reflect"
	"testing"
	"time"
)

// Monday, 2 March 2026.
var monday = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

func hour(n int) time.Time { return monday.Add(time.Duration(n) * time.Hour) }

func spans(hours ...int) (s Spans) {
	for i := 0; i < len(hours); i += 2 {
		s = s.Add(hour(hours[i]), hour(hours[i+1]))
	}
	return s
}

func TestSpans(t *testing.T) {
	for _, test := range []struct{ a, b, want Spans }{
		{nil, nil, nil},
		{spans(1, 2), nil, spans(1, 2)},
		{nil, spans(1, 2), spans(1, 2)},
		{spans(1, 2), spans(3, 4), spans(1, 2, 3, 4)},
		{spans(3, 4), spans(1, 2), spans(1, 2, 3, 4)},
		{spans(1, 3), spans(2, 4), spans(1, 4)},
		{spans(1, 2), spans(2, 3), spans(1, 3)},
		{spans(1, 9), spans(2, 3, 4, 5, 8, 10), spans(1, 10)},
		{spans(1, 2, 5, 6), spans(0, 1, 2, 5), spans(0, 6)},
	} {
		a, b := append(Spans(nil), test.a...), append(Spans(nil), test.b...)
		if got := test.a.Union(test.b); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%v and %v: got %v, want %v", test.a, test.b, got, test.want)
		}
		if !reflect.DeepEqual(a, test.a) || !reflect.DeepEqual(b, test.b) {
			t.Error("the operands were changed")
		}
	}
	s := spans(1, 3, 5, 8)
	if d := s.Within(hour(2), hour(6)); d != 2*time.Hour {
		t.Errorf("within: %v", d)
	}
	if n := s.Starts(hour(1), hour(5)); n != 1 {
		t.Errorf("%d start", n)
	}
	if !s.Covers(hour(1)) || s.Covers(hour(3)) || s.Covers(hour(4)) {
		t.Error("covers")
	}
	if got := s.Since(hour(4)); !reflect.DeepEqual(got, spans(5, 8)) || !s.End().Equal(hour(8)) {
		t.Errorf("since: %v", got)
	}
}

// What has not been observed is like the same hour of other days, or like any.
func TestDemandExpect(t *testing.T) {
	var d Demand
	if e := d.expect()[9]; e.starts != priorStarts || e.busy != priorBusy {
		t.Errorf("without observations: %+v", e)
	}
	for day := 1; day <= 5; day++ {
		for h := range 24 {
			starts, busy := 0, 0.
			if h == 9 {
				starts, busy = 2, .5
			}
			d.learn(day*24+h, starts, busy)
		}
	}
	week := d.expect()
	if e := week[24+9]; e.starts < 1.9 || e.starts > 2.1 || e.busy < .4 {
		t.Errorf("observed: %+v", e)
	}
	if e := week[9]; e.starts < 1.5 { // Sunday
		t.Errorf("not observed, but the same hour of the day: %+v", e)
	}
	if e := week[24+10]; e.starts > .1 {
		t.Errorf("observed to be empty: %+v", e)
	}
	for range 12 { // a change of habit is believed within weeks
		d.learn(24+9, 0, 0)
	}
	if e := d.expect()[24+9]; e.starts > .4 {
		t.Errorf("after 12 empty weeks: %+v", e)
	}
}

// busyAt is a demand that knows the whole week, with traffic in some hours of
// each day.
func busyAt(starts int, busy float64, hours ...int) *Demand {
	d := new(Demand)
	for slot := range slots {
		n, share := 0, 0.
		for _, h := range hours {
			if slot%24 == h {
				n, share = starts, busy
			}
		}
		for range 10 {
			d.learn(slot, n, share)
		}
	}
	return d
}

func TestPlan(t *testing.T) {
	day := func(h int) bool { return h >= 8 && h < 20 }
	for _, test := range []struct {
		name   string
		left   time.Duration
		needs  []need
		fits   bool
		keeps  []int // hours of the first day that the first target must be awake
		sleeps []int
	}{
		{
			"enough for all", 7 * 24 * time.Hour,
			[]need{{demand: new(Demand)}},
			true,
			[]int{0, 5, 12, 23},
			nil,
		},
		{
			"the busy hours first", 7 * 4 * time.Hour,
			[]need{{demand: busyAt(3, .3, 9, 10, 21)}},
			false,
			[]int{9, 10, 21},
			nil,
		},
		{
			"a window makes it fit", 7 * 13 * time.Hour,
			[]need{{demand: new(Demand), open: func(t time.Time) bool { return day(t.Hour()) }}},
			true,
			[]int{8, 19},
			[]int{7, 20},
		},
		{
			"two targets share, the busier one gets more", 7 * 5 * time.Hour,
			[]need{{demand: busyAt(3, .2, 9, 10, 11)}, {demand: busyAt(1, .2, 9, 10, 11)}},
			false,
			[]int{9, 10, 11},
			nil,
		},
		{
			"where traffic does most of the work an hour is cheap", 7 * 24 * time.Hour * 9 / 10,
			[]need{{demand: busyAt(3, .75, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)}},
			false,
			[]int{0, 5, 11},
			nil,
		},
		{
			"nothing is left", 0,
			[]need{{demand: busyAt(3, .2, 9)}},
			false, nil,
			[]int{9},
		},
		{
			"traffic alone takes more than there is", 24 * time.Hour,
			[]need{{demand: busyAt(3, .75, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23)}},
			false,
			[]int{0, 12, 23},
			nil,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			for i := range test.needs {
				test.needs[i].zone = time.UTC
			}
			p := makePlan(monday, hour(7*24), test.left, test.needs)
			if p.fits != test.fits {
				t.Errorf("fits: %v", p.fits)
			}
			for _, h := range test.keeps {
				if !p.keeps(0, hour(h)) {
					t.Errorf("%d o'clock is not kept", h)
				}
			}
			for _, h := range test.sleeps {
				if p.keeps(0, hour(h)) {
					t.Errorf("%d o'clock is kept", h)
				}
			}
		})
	}
}

// A plan never spends more than there is, and leaves some of it for hours of
// which nothing is expected.
func TestPlanBudget(t *testing.T) {
	demand := busyAt(2, .5, 9, 10, 11, 12, 13, 14, 15, 16)
	for left := 5 * time.Hour; left < 200*time.Hour; left += 7 * time.Hour {
		p := makePlan(monday, hour(14*24), left, []need{{demand: demand, zone: time.UTC}})
		week := demand.expect()
		var spent time.Duration
		quiet := 0
		for h := range 14 * 24 {
			busy := week[slotOf(hour(h))].busy
			if p.keeps(0, hour(h)) {
				spent += time.Hour
				if busy < .1 {
					quiet++
				}
			} else {
				spent += time.Duration(busy * float64(time.Hour))
			}
		}
		alone := time.Duration(.5 * 8 * 14 * float64(time.Hour))
		if spent > max(left, alone) && float64(alone) < hopeless*float64(left) {
			t.Errorf("%v are left, the plan takes %v", left, spent)
		}
		if left > 80*time.Hour && quiet == 0 {
			t.Errorf("%v are left, and none are for finding out", left)
		}
	}
}

// On the day on which an hour comes twice each is planned by itself.
func TestPlanOverChangeOfClocks(t *testing.T) {
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	from := time.Date(2026, 11, 1, 0, 0, 0, 0, zone)
	p := makePlan(from, from.AddDate(0, 0, 1), 100*time.Hour, []need{{demand: new(Demand), zone: zone}})
	if n := len(p.kept[0]); n != 25 {
		t.Errorf("%d hours of 25", n)
	}
	if math.Round(p.wanted.Hours()) != 25 {
		t.Errorf("%v are wanted, want 25h", p.wanted)
	}
}

// fakeMeter is a meter of a month.
type fakeMeter struct{ used, limit int64 }

func (m *fakeMeter) Add(n int64)  { m.used += n }
func (m *fakeMeter) Used() int64  { return m.used }
func (m *fakeMeter) Limit() int64 { return m.limit }
func (m *fakeMeter) Window() (from, until time.Time) {
	return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
}

func newMember(limit time.Duration) (*Member, *fakeMeter) {
	meter := &fakeMeter{limit: int64(limit / time.Second)}
	return NewAccount(meter).Join(NewTracker(15*time.Minute), time.UTC, nil), meter
}

// Overlapping requests are counted once, by whichever process they came.
func TestCounting(t *testing.T) {
	mine, meter := newMember(750 * time.Hour)
	theirs := NewAccount(meter).Join(NewTracker(15*time.Minute), time.UTC, nil)
	at := func(minute int) time.Time { return monday.Add(time.Duration(minute) * time.Minute) }
	var stored Memory
	sync := func(m *Member, minute int) { stored = m.Sync(stored, at(minute)) }
	wantUsed := func(minute int, want time.Duration) {
		t.Helper()
		if got := mine.account.Used(at(minute)); got != want {
			t.Errorf("after %d minutes: used %v, want %v", minute, got, want)
		}
	}

	mine.Ping(at(0))
	wantUsed(0, 15*time.Minute) // it will be awake until then
	mine.Traffic(at(5))
	wantUsed(10, 20*time.Minute)
	sync(mine, 10)
	sync(mine, 10)
	wantUsed(10, 20*time.Minute)
	theirs.Traffic(at(8)) // told late
	sync(theirs, 11)
	sync(mine, 11)
	wantUsed(11, 23*time.Minute)
	sync(mine, 60)
	sync(theirs, 61)
	wantUsed(61, 23*time.Minute)
	if meter.used != 23*60 {
		t.Errorf("counted %d seconds", meter.used)
	}

	// After a restart the end of what was counted before is counted, once.
	mine.Ping(at(100))
	sync(mine, 101)
	again := NewAccount(meter).Join(NewTracker(15*time.Minute), time.UTC, nil)
	again.Ping(at(110))
	sync(again, 130)
	if meter.used != (23+25)*60 {
		t.Errorf("counted %d seconds, want %d", meter.used, 48*60)
	}

	// A storage that has lost everything changes nothing.
	stored = Memory{}
	sync(again, 131)
	if meter.used != (23+25)*60 {
		t.Errorf("without the storage: counted %d seconds, want %d", meter.used, 48*60)
	}
}

// What lies before the beginning of a month is not counted in it.
func TestCountingOverMonthEnd(t *testing.T) {
	m, meter := newMember(750 * time.Hour)
	m.Ping(time.Date(2026, 2, 28, 23, 55, 0, 0, time.UTC))
	m.Sync(Memory{}, time.Date(2026, 3, 1, 1, 0, 0, 0, time.UTC))
	if meter.used != 10*60 {
		t.Errorf("counted %d seconds, want 600", meter.used)
	}
}

func TestTrafficThatMeetsItAsleep(t *testing.T) {
	m, _ := newMember(750 * time.Hour)
	for minute, cold := range map[int]bool{0: false} { // nothing is known before
		if m.Traffic(monday.Add(time.Duration(minute)*time.Minute)) != cold {
			t.Error("the first request")
		}
	}
	if m.Traffic(monday.Add(14 * time.Minute)) {
		t.Error("it was awake")
	}
	if !m.Traffic(monday.Add(29*time.Minute)) || m.Met() != 1 {
		t.Error("it was asleep")
	}
}

// Demand is learned from each hour once, asleep or awake.
func TestLearning(t *testing.T) {
	m, _ := newMember(750 * time.Hour)
	var stored Memory
	for minute := 0; minute < 7*24*60; minute += 10 {
		now := monday.Add(time.Duration(minute) * time.Minute)
		if now.Hour() == 9 && now.Minute()%20 == 0 {
			m.Traffic(now)
		}
		if now.Hour() == 15 {
			m.Ping(now)
		}
		stored = m.Sync(stored, now)
	}
	slot := slotOf(hour(24 + 9))
	if d := stored.Demand; d.Observed[slot] != 1 || d.Starts[slot] != 3 || d.Busy[slot] != .75 {
		t.Errorf("Tuesday at 9: %v %v %v", d.Observed[slot], d.Starts[slot], d.Busy[slot])
	}
	if slot += 6; stored.Demand.Observed[slot] != 1 || stored.Demand.Starts[slot] != 0 {
		t.Error("pings are taken for traffic")
	}
	// A day on which nobody looked is no day without traffic.
	before := stored.Demand
	stored = m.Sync(stored, hour(8*24))
	if stored.Demand != before {
		t.Error("learned from hours that nobody has seen")
	}
}

func TestVerdict(t *testing.T) {
	m, meter := newMember(750 * time.Hour)
	if v := m.Verdict(hour(0)); !v.Keep {
		t.Errorf("at the beginning of the month: %+v", v)
	}
	meter.used = meter.limit - 3*3600
	v := m.Verdict(hour(1))
	if want := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC); v.Keep || !v.Until.Equal(want) {
		t.Errorf("with all hours used: %+v", v)
	}

	// Of few hours a quiet one gets none.
	m, _ = newMember(30 * time.Hour)
	*m.Tracker = Tracker{sleeps: 15 * time.Minute, memory: Memory{Demand: *busyAt(2, .3, 9)}}
	if v := m.Verdict(hour(8)); v.Keep || !v.Until.Equal(hour(9).Add(-lead)) {
		t.Errorf("in a quiet hour: %+v", v)
	}
	for _, now := range []time.Time{hour(9).Add(-lead), hour(9).Add(57 * time.Minute)} {
		if v := m.Verdict(now); !v.Keep {
			t.Errorf("at %v: %+v", now, v)
		}
	}
	m.Ping(hour(9).Add(50 * time.Minute))
	if v := m.Verdict(hour(9).Add(57 * time.Minute)); v.Keep || !v.Until.Equal(hour(10).Add(-lead)) {
		t.Errorf("awake until the hour ends: %+v", v)
	}
}
