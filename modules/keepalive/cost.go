package keepalive

import (
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
)

const (
	day   = 24 * time.Hour
	month = 30 * day

	// manyPings is the number of pings a month from which a ping that asks a
	// model is warned of where no quota is known: more than free keys give for
	// anything else.
	manyPings = 1000
)

// lengthOf returns how long a period lasts.
func lengthOf(period ledger.Period) time.Duration {
	return map[ledger.Period]time.Duration{
		ledger.Second: time.Second,
		ledger.Minute: time.Minute,
		ledger.Hour:   time.Hour,
		ledger.Day:    day,
		ledger.Month:  month,
	}[period]
}

// pingsIn returns about how many pings are sent in a time.
func (s *schedule) pingsIn(length time.Duration, now time.Time) int64 {
	if s.cron == nil {
		return int64(float64(length) / float64(s.every) * s.window.share())
	}
	const sample = 1000
	first := s.next(time.Time{}, now)
	at := first
	for range sample {
		next := s.next(at, at)
		if next.IsZero() {
			return 0
		}
		at = next
	}
	return int64(sample * float64(length) / float64(at.Sub(first)))
}

// share returns for which part of a day the window is open.
func (w *Window) share() float64 {
	if w == nil {
		return 1
	}
	open := w.to - w.from
	if open < 0 {
		open += 24 * 60
	}
	return float64(open) / (24 * 60)
}
