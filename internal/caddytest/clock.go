package caddytest

import (
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/jonboulle/clockwork"
)

// midMonth is what the clock of a test without WithFakeClock shows when the test binary
// starts. Quotas, limits and hours awake begin anew with an hour, a day or a month, and a
// test that counts must not see that happen because of when it is run: in no time zone
// does an hour end within the ten minutes after midMonth, a day within 50, or a month
// within a day.
var midMonth = time.Date(2026, time.March, 10, 12, 1, 0, 0, time.UTC)

// shift is how far the system's clock is behind midMonth.
var shift = time.Until(midMonth)

// RunningClock returns the clock of a Caddy without WithFakeClock.
func RunningClock() clockwork.Clock { return shiftedClock{clockwork.NewRealClock(), shift} }

// shiftedClock is a clock that shows another time.
type shiftedClock struct {
	clockwork.Clock
	by time.Duration
}

func (c shiftedClock) Now() time.Time                  { return c.Clock.Now().Add(c.by) }
func (c shiftedClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }
func (c shiftedClock) Until(t time.Time) time.Duration { return t.Sub(c.Now()) }

// setClock puts the fake clock in a configuration, or without one the clock that goes
// from midMonth on. There is nothing to do where no module of ours is linked.
func setClock(root map[string]any, fake *clockwork.FakeClock) {
	if _, err := caddy.GetModule("freetier"); err != nil {
		return
	}
	clock := map[string]any{"source": "caddytest"}
	if fake == nil {
		clock["shift"] = shift
	}
	setDefault(root, clock, "apps", "freetier", "clock")
}

// clockModule gives the test's clock to the app `freetier`.
type clockModule struct {
	// Shift is how far the system's clock is behind. It stands in the configuration so
	// that the processes of a test agree on the time. Zero: the fake clock of the Caddy.
	Shift time.Duration `json:"shift,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (clockModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "freetier.clocks.caddytest",
		New: func() caddy.Module { return new(clockModule) },
	}
}

// Clock implements the app's ClockSource.
func (c clockModule) Clock() clockwork.Clock {
	if c.Shift != 0 {
		return shiftedClock{clockwork.NewRealClock(), c.Shift}
	}
	return current.Load().Clock
}
