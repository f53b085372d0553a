package keepalive

import (
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// A user wakes a target whatever its schedule says, but not when the requests
// of its account are used up, and not twice in a minute.
func TestWakeKeepsToQuotaAndRate(t *testing.T) {
	up := counting(t)
	b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+up.URL+" {\n\t\t\tcron \"1 3 1 1 *\"\n\t\t\tsleeps_after 15m\n\t\t\twindow 03:00-03:05\n\t\t\tquota 2/day\n\t\t}")
	tracker := caddytest.Awake(t)
	wakes := func(want bool) {
		t.Helper()
		done := tracker.Wake(up.Addr())
		if (done != nil) != want {
			t.Errorf("after %v: it wakes up: %v, want %v", b.clock.Since(b.began), done != nil, want)
		}
		if done != nil {
			<-done
		}
	}
	wakes(true)
	wakes(false) // it is awake
	b.clock.Advance(16 * time.Minute)
	up.Handle(caddytest.Reset)
	wakes(true)
	b.clock.Advance(16 * time.Minute)
	if tracker.State(up.Addr()) != awake.Asleep {
		t.Fatal("it does not sleep")
	}
	wakes(false) // two requests a day
	b.clock.Advance(24 * time.Hour)
	wakes(true)
}
