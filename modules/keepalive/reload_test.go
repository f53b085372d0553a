package keepalive

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// A reload between two ticks leaves the schedule as it is, whatever else
// changes, and the state with it.
func TestReloadBetweenTicks(t *testing.T) {
	up := counting(t)
	config := "\t\tjitter 0%%\n\t\ttarget a " + up.URL + " {\n%s\n\t\t}"
	b := startAt(t, fmt.Sprintf(config, ""))
	b.settled("a", 1)
	b.advance(time.Minute)
	for i, change := range []string{"jitter 50%", "timeout 10s", "expect 2xx 404", "cold_start 1s", "sleeps_after 1h\ninterval 3m", ""} {
		b.reload(fmt.Sprintf(config, change))
		if next := b.since(*b.target("a").NextPing); next != 3*time.Minute {
			t.Fatalf("reload %d (%s): the next ping comes after %v, want 3m", i, change, next)
		}
	}
	b.settled("a", 1)
	b.advance(2 * time.Minute)
	b.settled("a", 2)
	if n := len(up.Requests()); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

// A reload before the first ping neither sends it early nor twice.
func TestReloadBeforeFirstPing(t *testing.T) {
	up := counting(t)
	config := "\t\tinterval 1h\n\t\tjitter 100%%\n\t\tconcurrency %d\n\t\ttarget a " + up.URL
	b := startAt(t, fmt.Sprintf(config, 1))
	due := *b.target("a").NextPing
	for i := range 3 {
		b.reload(fmt.Sprintf(config, i+2))
		if next := *b.target("a").NextPing; !next.Equal(due) {
			t.Fatalf("the first ping was moved from %v to %v", due, next)
		}
	}
	b.tick("a")
	b.settled("a", 1)
}

// A ping under way at a reload is finished by it, counts, and is not repeated.
func TestReloadDuringPing(t *testing.T) {
	gate := make(chan struct{})
	up := caddytest.NewUpstream(t, gated(gate))
	config := "\t\tjitter 0%%\n\t\tconcurrency %d\n\t\ttarget a " + up.URL
	b := startAt(t, fmt.Sprintf(config, 1))
	up.Next(t)
	for i := range 3 {
		b.reload(fmt.Sprintf(config, i+2))
	}
	close(gate)
	if r := b.settled("a", 1); r.err != nil {
		t.Errorf("the ping was cut short: %v", r.err)
	}
	b.tick("a")
	b.settled("a", 2)
	if n := len(up.Requests()); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

// Another interval goes on from the last ping; another URL is another target.
func TestReloadThatChangesTheTarget(t *testing.T) {
	up := counting(t)
	b := startAt(t, "\t\tjitter 0%\n\t\tinterval 10m\n\t\ttarget a "+up.URL)
	b.settled("a", 1)
	b.advance(4 * time.Minute)
	b.reload("\t\tjitter 0%\n\t\tinterval 6m\n\t\ttarget a " + up.URL)
	if next := b.since(*b.target("a").NextPing); next != 6*time.Minute {
		t.Errorf("with 6m the next ping comes after %v", next)
	}
	b.reload("\t\tjitter 0%\n\t\tinterval 1m\n\t\ttarget a " + up.URL)
	b.settled("a", 2) // it has waited longer than a minute
	if next := b.since(*b.target("a").NextPing); next != 5*time.Minute {
		t.Errorf("with 1m the next ping comes after %v", next)
	}
	b.reload("\t\tjitter 0%\n\t\ttarget a " + up.URL + "/other")
	b.settled("a", 1)
	if r := up.Requests(); r[len(r)-1].URI != "/other" {
		t.Errorf("the new URL was not pinged: %v", r)
	}
}

func TestReloadWithoutTheTarget(t *testing.T) {
	hung := caddytest.NewUpstream(t, caddytest.Hang)
	up := counting(t)
	b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+hung.URL+"\n\t\ttarget b "+up.URL)
	hung.Next(t)
	b.settled("b", 1)
	b.reload("\t\tjitter 0%\n\t\ttarget b " + up.URL)
	hung.WaitLeft(t)
	b.advance(time.Hour)
	b.settled("b", 2)
	if n := len(hung.Requests()); n != 1 {
		t.Errorf("the target that is gone was pinged %d times, want once", n)
	}
	if v := b.Metric(`caddy_keepalive_healthy{target="a"}`); v != 0 || b.Logs.Count("target is down") != 0 {
		t.Error("the ping of the target that is gone was reported")
	}
}

func TestReloadForgetsMetrics(t *testing.T) {
	up := counting(t)
	b := startAt(t, "\t\tjitter 0%\n\t\ttarget gone "+up.URL+"\n\t\ttarget moved "+up.URL)
	b.settled("gone", 1)
	b.settled("moved", 1)
	b.reload("\t\tjitter 0%\n\t\ttarget moved " + up.URL + "/elsewhere")
	b.settled("moved", 1)
	_, metrics := b.Admin(http.MethodGet, "/metrics")
	if strings.Contains(string(metrics), `target="gone"`) {
		t.Error("the metrics of a target that is gone are left")
	}
	if v := b.Metric(`caddy_keepalive_pings_total{result="healthy",target="moved"}`); v != 2 {
		t.Errorf("the metric counts %v pings of the target that moved, want 2", v)
	}
}

// When a new configuration fails to start, the old one goes on.
func TestReloadThatFails(t *testing.T) {
	up := counting(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	options := "\t\tjitter 0%\n\t\ttarget a " + up.URL
	b := startAt(t, options)
	b.settled("a", 1)
	// Apps start in random order: ours has started in some of these and not in others.
	for range 10 {
		err := b.TryReload(keepaliveFile(options+" {\n\t\t\tinterval 1m\n\t\t}") + "http://" + taken.Addr().String() + " {\n}")
		if err == nil {
			t.Fatal("the configuration was accepted")
		}
	}
	if next := b.since(*b.target("a").NextPing); next != 3*time.Minute {
		t.Errorf("the next ping comes after %v, want 3m", next)
	}
	for i := range 5 {
		b.tick("a")
		b.settled("a", i+2)
	}
	if at := b.since(b.clock.Now()); at != 15*time.Minute {
		t.Errorf("five ticks took %v, want 15m", at)
	}
}

// Fifty reloads while time goes on and requests are served: every tick brings
// one ping, no goroutine stays behind.
func TestFiftyReloads(t *testing.T) {
	const ticks = 200
	up := counting(t)
	addr := caddytest.Addr(t)
	before := caddytest.Goroutines()
	config := func(i int) string {
		return keepaliveFile(fmt.Sprintf("\t\tinterval 1m\n\t\tjitter 0%%\n\t\tconcurrency %d\n\t\ttarget a %s", i%3+1, up.URL)) +
			"http://" + addr + " {\n\trespond ok\n}"
	}
	b := startAt(t, "\t\tinterval 1m\n\t\tjitter 0%\n\t\ttarget a "+up.URL)
	b.settled("a", 1)

	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		for i := range 50 {
			if err := b.TryReload(config(i)); err != nil {
				t.Errorf("reload %d: %v", i, err)
				return
			}
		}
	})
	wg.Go(func() {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
		for {
			select {
			case <-done:
				return
			default:
				if resp, err := client.Get("http://" + addr); err == nil {
					resp.Body.Close()
				}
			}
		}
	})
	for i := range ticks {
		b.advance(time.Minute)
		b.settled("a", i+2)
	}
	wg.Wait()
	if n := len(up.Requests()); n != ticks+1 {
		t.Errorf("%d pings for %d ticks", n, ticks+1)
	}
	if next := b.since(*b.target("a").NextPing); next != (ticks+1)*time.Minute {
		t.Errorf("the next ping comes after %v, want %dm", next, ticks+1)
	}
	b.Stop()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	caddytest.NoLeak(t, before)
	states.Range(func(any, any) bool { t.Error("a state is left"); return true })
	slots.Range(func(any, any) bool { t.Error("slots are left"); return true })
}
