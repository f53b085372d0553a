package hours

import (
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
)

const (
	// slots is the number of hours of a week. Slot 0 is Sunday from 00:00.
	slots = 7 * 24

	// keepsWeekly is the weight of an observation after a week, relative to a new
	// one. 0.84⁴ is a half-life of four weeks.
	keepsWeekly = 0.84

	// The expectation of an hour before anything has been observed.
	priorStarts = 0.2
	priorBusy   = 0.05
)

// Demand is the traffic of each hour of the week, as observed. It does not depend on
// pings: a request counts the same whether the instance was awake or asleep.
type Demand struct {
	// How often the hour was observed; older observations have less weight.
	Observed [slots]float64 `json:"observed"`

	// How often traffic came in it after a silence in which the instance falls
	// asleep: the cold starts that the hour would have without pings.
	Starts [slots]float64 `json:"starts"`

	// In which share of it traffic alone would keep the instance awake.
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

// expectation is the expected traffic of an hour of the week.
type expectation struct {
	starts float64 // cold starts without pings
	busy   float64 // the share in which traffic alone keeps the instance awake
}

// expect returns the expectation of each hour of the week. Observations of the hour
// itself have the most weight, then those of the same hour on other days, then all.
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

// blend returns the mean of the observations and another expectation, which has the
// weight of half an observation.
func (t tally) blend(other expectation) expectation {
	const weight = 0.5
	return expectation{
		starts: (t.starts + weight*other.starts) / (t.observed + weight),
		busy:   min(1, (t.busy+weight*other.busy)/(t.observed+weight)),
	}
}
