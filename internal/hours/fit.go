package hours

import "time"

// low is the share of a quota at which its end is near.
const low = 0.1

// Fit compares what an account gives with what it would take to keep all its
// targets awake as long as they may be pinged.
type Fit struct {
	From, Until time.Time     // the period
	Wanted      time.Duration // what it takes
	Left        time.Duration // what there is
	Low         bool          // less than a tenth is left, and it is not enough
	Targets     int           // how many of the targets it is enough for
	Daily       time.Duration // for how long each day it is enough for each
}

// Fit looks at the whole of the present period.
func (a *Account) Fit() Fit {
	a.mu.Lock()
	defer a.mu.Unlock()
	from, until := a.meter.Window()
	return a.fit(from, from, until, a.Limit())
}

// FitIn looks at another period of the same kind.
func (a *Account) FitIn(from, until time.Time) Fit {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.fit(from, from, until, a.Limit())
}

// Rest looks at what remains of the present period.
func (a *Account) Rest(now time.Time) Fit {
	a.mu.Lock()
	defer a.mu.Unlock()
	from, until := a.meter.Window()
	fit := a.fit(from, now, until, max(0, a.Limit()-a.used(now)))
	near := time.Duration(low * float64(a.Limit()))
	for _, m := range a.members {
		near = max(near, 2*m.sleepsAfter()) // pings end when less than one is left
	}
	fit.Low = fit.Left < near && fit.Left < fit.Wanted
	return fit
}

func (a *Account) fit(from, now, until time.Time, left time.Duration) Fit {
	fit := Fit{From: from, Until: until, Left: left}
	for _, n := range a.needs() {
		var wanted time.Duration
		for at := now.In(n.zone); at.Before(until); {
			_, next := hourOf(at)
			next = minTime(next, until)
			wanted += time.Duration(n.share(at, next) * float64(next.Sub(at)))
			at = next
		}
		if fit.Wanted += wanted; fit.Wanted <= left {
			fit.Targets++
		}
	}
	days := until.Sub(now).Hours() / 24
	if n := float64(len(a.members)) * days; n > 0 {
		fit.Daily = min(24*time.Hour, time.Duration(float64(left)/n))
	}
	return fit
}
