package keepalive

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// boot waits until the first ping has reached its instance, lets the clock go on until it
// has an answer, and returns how long that took. It stops the clock at the time-out of the
// ping, whose end takes real time.
func (b *bench) boot(instance *caddytest.Upstream, name string, pings int) time.Duration {
	b.t.Helper()
	instance.Next(b.t) // its time-out counts from before that
	began := b.clock.Now()
	s := b.state(name)
	b.until("the instance has booted", func() bool {
		s.mu.Lock()
		done := s.health.pings >= pings && s.running == nil
		s.mu.Unlock()
		if !done && b.clock.Since(began) < 90*time.Second {
			time.Sleep(10 * time.Millisecond) // the request that is under way takes real time
			b.clock.Advance(time.Second)
		}
		return done
	})
	return b.clock.Since(began)
}

// What platforms answer while an instance wakes up, some of it with status
// 200, is waited out in one ping.
func TestWakePages(t *testing.T) {
	page := caddytest.Answer(http.StatusOK, "text/html; charset=utf-8", "<h1>SERVICE WAKING UP ...</h1>")
	ok := caddytest.Answer(http.StatusOK, "application/json", "{}")
	for name, test := range map[string]struct {
		answers  []http.HandlerFunc
		requests int
		cold     int
	}{
		"a page with status 200":  {[]http.HandlerFunc{page, page, ok}, 3, 1},
		"an error while it boots": {[]http.HandlerFunc{caddytest.Answer(http.StatusBadGateway, "", ""), ok}, 2, 1},
		"503 while it boots":      {[]http.HandlerFunc{caddytest.Answer(http.StatusServiceUnavailable, "", ""), page, ok}, 3, 1},
		"it is awake":             {[]http.HandlerFunc{ok}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			up := caddytest.NewUpstream(t, caddytest.Sequence(test.answers...))
			forgetEvents()
			b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+up.URL+" {\n\t\t\tsleeps_after 15m\n\t\t}\n\t}\n\tevents {\n\t\ton keepalive.cold_start keepalive_test")
			took := b.boot(up, "a", 1)
			now := b.target("a")
			if n := len(up.Requests()); n != test.requests || now.ColdStarts != test.cold || !*now.Healthy || now.LastStatus != http.StatusOK {
				t.Errorf("%d requests, %+v", n, now)
			}
			if test.cold > 0 && took < askAgain {
				t.Errorf("it was asked again after %v", took)
			}
			if n := strings.Count(seenEvents(), "keepalive.cold_start a 200"); n != test.cold {
				t.Errorf("events: %s", seenEvents())
			}
			if n := b.Logs.Count(`"target was asleep"`); n != test.cold {
				t.Errorf("logged %d times", n)
			}
			b.tick("a")
			if b.settled("a", 2); b.target("a").ColdStarts != test.cold {
				t.Error("the next ping is a cold start, too")
			}
		})
	}
}

// An instance that does not come up within the time-out is down.
func TestWakePageForEver(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.Answer(http.StatusOK, "text/html", "APPLICATION LOADING"))
	b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+up.URL)
	b.until("the first request arrives", func() bool { return len(up.Requests()) > 0 })
	if took := b.boot(up, "a", 1); took != 90*time.Second {
		t.Errorf("given up after %v, want 90s", took)
	}
	now := b.target("a")
	if *now.Healthy || now.LastError != "the instance is still waking up (after 1m30s)" {
		t.Errorf("got %+v", now)
	}
	if n := len(up.Requests()); n > 10 {
		t.Errorf("%d requests within 90 seconds", n)
	}
}

// An error of an instance that is awake is no cold start.
func TestErrorWhileAwake(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.Sequence(
		caddytest.Answer(http.StatusOK, "", ""), caddytest.Answer(http.StatusServiceUnavailable, "", "")))
	b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+up.URL+" {\n\t\t\tsleeps_after 15m\n\t\t}")
	b.settled("a", 1)
	b.tick("a")
	if r := b.settled("a", 2); fmt.Sprint(r.err) != "status 503, expected 2xx" || r.cold {
		t.Errorf("got %+v", r)
	}
}

// Whoever needs an upstream can ask for its condition and wake it up, once.
func TestWake(t *testing.T) {
	gate := make(chan struct{})
	up := caddytest.NewUpstream(t, gated(gate))
	upstream := up.Addr()
	b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+up.URL+" {\n\t\t\tcron \"0 12 * * *\"\n\t\t\tsleeps_after 15m\n\t\t}\n\t\ttarget b http://127.0.0.1:1/ {\n\t\t\tcron \"0 12 * * *\"\n\t\t}")
	tracker := caddytest.Awake(t)
	if got := tracker.State(up.Addr()); got != awake.Asleep {
		t.Fatalf("at the start: %v", got)
	}
	if tracker.State("127.0.0.1:1") != awake.Unknown || tracker.Wake("127.0.0.1:1") != nil {
		t.Error("when b sleeps is not known")
	}
	for range 5 {
		if tracker.Wake(up.Addr()) == nil {
			t.Error("it is not waking up")
		}
	}
	up.Next(t)
	if got := tracker.State(up.Addr()); got != awake.Waking {
		t.Errorf("while it is pinged: %v", got)
	}
	b.reload("\t\tjitter 0%\n\t\ttarget a " + up.URL + " {\n\t\t\tcron \"0 11 * * *\"\n\t\t\tsleeps_after 15m\n\t\t}")
	if caddytest.Awake(t) != tracker {
		t.Error("a reload has begun a new tracker")
	}
	if got := tracker.State(up.Addr()); got != awake.Waking {
		t.Errorf("after a reload: %v", got)
	}
	if n := testing.AllocsPerRun(100, func() { tracker.State(upstream) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	close(gate)
	b.settled("a", 1)
	if got := tracker.State(up.Addr()); got != awake.Awake || tracker.Wake(up.Addr()) != nil {
		t.Errorf("after the ping: %v", got)
	}
	if n := len(up.Requests()); n != 1 {
		t.Errorf("%d pings, want 1", n)
	}
	b.clock.Advance(16 * time.Minute)
	if got := tracker.State(up.Addr()); got != awake.Asleep {
		t.Errorf("after 16 minutes: %v", got)
	}

	// One that stays down is not hammered.
	up.Handle(caddytest.Reset)
	for range 5 {
		tracker.Wake(up.Addr())
		b.until("no ping is under way", func() bool { return tracker.State(up.Addr()) != awake.Waking })
		b.clock.Advance(16 * time.Minute)
		tracker.Wake(up.Addr())
		b.until("no ping is under way", func() bool { return tracker.State(up.Addr()) != awake.Waking })
		tracker.Wake(up.Addr())
	}
	b.Stop()
	if tracker.State(up.Addr()) != awake.Unknown || tracker.Wake(up.Addr()) != nil {
		t.Error("somebody still looks after it")
	}
}

// Whoever probes an upstream leaves it alone while it is to sleep.
func TestSpare(t *testing.T) {
	up := counting(t)
	b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+up.URL+" {\n\t\t\tsleeps_after 15m\n\t\t\twindow 00:00-01:00\n\t\t}\n\t\ttarget b http://127.0.0.1:1/ {\n\t\t\twindow 00:00-01:00\n\t\t}")
	open := b.clock.Now().UTC().Hour() == 0
	for range 24 {
		if spare := caddytest.Awake(t).Spare(up.Addr()); spare == open {
			t.Errorf("at %v: %v", b.clock.Now().UTC(), spare)
		}
		if caddytest.Awake(t).Spare("127.0.0.1:1") {
			t.Error("when b sleeps is not known")
		}
		b.clock.Advance(time.Hour)
		open = b.clock.Now().UTC().Hour() == 0
	}
}
