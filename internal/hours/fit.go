package hours

import "time"

// low is the remaining share of a quota below which it is reported as low.
const low = 0.1

// Fit compares an account's quota with the time that it would take to keep all its
// targets awake whenever they may be pinged.
type Fit struct {
	From, Until time.Time     // the period
	Wanted      time.Duration // what all targets need
	Left        time.Duration // what the quota has
	Low         bool          // less than a tenth is left, and it is not enough
	Targets     int           // how many targets it is enough for, in their order
	Daily       time.Duration // how long each target can be awake per day
}

// Fit returns the comparison for the whole current period.
func (a *Account) Fit() Fit {
	a.mu.Lock()
	defer a.mu.Unlock()
	from, until := a.meter.Window()
	return a.fit(from, from, until, a.Limit())
}

// FitIn returns the comparison for another period, such as the longest month.
func (a *Account) FitIn(from, until time.Time) Fit {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.fit(from, from, until, a.Limit())
}

// Rest returns the comparison for the remainder of the current period.
func (a *Account) Rest(now time.Time) Fit {
	a.mu.Lock()
	defer a.mu.Unlock()
	from, until := a.meter.Window()
	fit := a.fit(from, now, until, max(0, a.Limit()-a.used(now)))
	near := time.Duration(low * float64(a.Limit()))
	for _, m := range a.members {
		near = max(near, 2*m.sleepsAfter()) // pings end when less than one of these is left
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
