package hours

import (
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
)

const (
	slots = 7 * 24

	// keepsWeekly is what is left of an observation a week later: half of it
	// after four weeks.
	keepsWeekly = 0.84

	// What an hour is expected to bring before anything has been observed.
	priorStarts = 0.2
	priorBusy   = 0.05
)

// Demand is what has been learned of the traffic in each hour of the week.
// Whether the instance was awake makes no difference to it: a request that
// met it asleep counts like one that did not.
type Demand struct {
	// How often the hour was observed; older observations weigh less.
	Observed [slots]float64 `json:"observed"`

	// How often in it traffic came after a silence that is long enough to fall
	// asleep: the cold starts of an hour without pings.
	Starts [slots]float64 `json:"starts"`

	// Which share of it traffic alone kept the instance awake.
	Busy [slots]float64 `json:"busy"`
}

// slotOf returns the hour of the week.
func slotOf(t time.Time) int { return int(t.Weekday())*24 + t.Hour() }

// hourOf returns the bounds of the hour of t in its time zone.
func hourOf(t time.Time) (from, until time.Time) { return ledger.Hour.Bounds(t) }

// learn adds an observation of an hour.
func (d *Demand) learn(slot, starts int, busy float64) {
	d.Observed[slot] = d.Observed[slot]*keepsWeekly + 1
	d.Starts[slot] = d.Starts[slot]*keepsWeekly + float64(starts)
	d.Busy[slot] = d.Busy[slot]*keepsWeekly + busy
}

// expectation is what an hour of the week is expected to bring.
type expectation struct {
	starts float64 // cold starts without pings
	busy   float64 // the share in which traffic alone keeps the instance awake
}

// expect returns what to expect of each hour of the week. What was seen of it
// counts most, then what was seen of that hour on other days, then of ever.
func (d *Demand) expect() (week [slots]expectation) {
	var ofDay [24]tally
	var ever tally
	for slot := range slots {
		seen := tally{d.Observed[slot], d.Starts[slot], d.Busy[slot]}
		ofDay[slot%24].add(seen)
		ever.add(seen)
	}
	usual := ever.blend(expectation{priorStarts, priorBusy})
	for slot := range slots {
		seen := tally{d.Observed[slot], d.Starts[slot], d.Busy[slot]}
		week[slot] = seen.blend(ofDay[slot%24].blend(usual))
	}
	return week
}

// tally is the sum of some observations.
type tally struct{ observed, starts, busy float64 }

func (t *tally) add(o tally) {
	t.observed += o.observed
	t.starts += o.starts
	t.busy += o.busy
}

// blend returns the mean of the observations, to which what else is known is
// added as if it were half an observation.
func (t tally) blend(other expectation) expectation {
	const weight = 0.5
	return expectation{
		starts: (t.starts + weight*other.starts) / (t.observed + weight),
		busy:   min(1, (t.busy+weight*other.busy)/(t.observed+weight)),
	}
}
