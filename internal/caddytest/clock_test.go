package caddytest

import (
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
)

// The clock that goes begins where no quota begins anew soon, in any time zone.
func TestMidMonth(t *testing.T) {
	// The minutes by which zones of today are ahead of UTC, where they are not whole hours.
	offsets := []int{-9*60 - 30, -3*60 - 30, 3*60 + 30, 4*60 + 30, 5*60 + 30, 5*60 + 45, 6*60 + 30, 8*60 + 45, 9*60 + 30, 10*60 + 30, 12*60 + 45, 13*60 + 45}
	for hours := -12; hours <= 14; hours++ {
		offsets = append(offsets, hours*60)
	}
	for _, minutes := range offsets {
		now := midMonth.In(time.FixedZone("", minutes*60))
		for period, want := range map[ledger.Period]time.Duration{ledger.Hour: 10 * time.Minute, ledger.Day: 50 * time.Minute, ledger.Month: 24 * time.Hour} {
			from, until := period.Bounds(now)
			if until.Sub(now) < want || !from.Before(now) {
				t.Errorf("%v: the %s lasts from %v until %v, want %v at least", now, period, from, until, want)
			}
		}
	}
}

// What tells the time in Caddy, in a process of its own, and in the test agrees.
func TestRunningClock(t *testing.T) {
	root := make(map[string]any)
	setClock(root, nil)
	set := root["apps"].(map[string]any)["freetier"].(map[string]any)["clock"].(map[string]any)
	clock := clockModule{Shift: set["shift"].(time.Duration)}.Clock()
	before := RunningClock().Now()
	now := clock.Now()
	if after := RunningClock().Now(); now.Before(before) || now.After(after) {
		t.Errorf("Caddy's clock shows %v, want %v to %v", now, before, after)
	}
	later := now.Add(time.Hour)
	if until := clock.Until(later); until > time.Hour || until < -clock.Since(later) {
		t.Errorf("it is %v until %v", until, later)
	}
}
