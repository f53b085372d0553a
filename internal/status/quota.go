package status

import (
	"math"
	"time"
)

// Meter is what counts a quota.
type Meter interface {
	Limit() int64
	Used() int64
	Window() (from, until time.Time)
}

// NewQuota describes a meter.
func NewQuota(m Meter, unit, period string, now time.Time) Quota {
	from, until := m.Window()
	q := Quota{Unit: unit, Period: period, Limit: m.Limit(), Used: m.Used(), Renews: until.UTC()}
	q.ExhaustedOn = ExhaustedOn(float64(q.Used), float64(q.Limit), from, until, now)
	return q
}

// ExhaustedOn returns when nothing is left if it goes on as since the beginning of
// the period, the zero time if that is not before its end. While less than a
// hundredth of the period is over nothing can be said.
func ExhaustedOn(used, limit float64, from, until, now time.Time) time.Time {
	gone := now.Sub(from)
	if used <= 0 || gone < until.Sub(from)/100 {
		return time.Time{}
	}
	if used >= limit {
		return now.UTC().Truncate(time.Second)
	}
	seconds := (limit - used) / used * gone.Seconds()
	if seconds > math.MaxInt32 {
		return time.Time{}
	}
	if at := now.Add(time.Duration(seconds * float64(time.Second))); at.Before(until) {
		return at.UTC().Truncate(time.Second)
	}
	return time.Time{}
}
