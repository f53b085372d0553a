package keepalive

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

func TestNoDrift(t *testing.T) {
	up := counting(t)
	b := startAt(t, "\t\tjitter 0%\n\t\tinterval 7m\n\t\ttarget a "+up.URL)
	for i := range 300 {
		r := b.settled("a", i+1)
		if want := time.Duration(i) * 7 * time.Minute; b.since(r.at) != want {
			t.Fatalf("ping %d came after %v, want %v", i+1, b.since(r.at), want)
		}
		b.tick("a")
	}
}

func TestJitterDoesNotAccumulate(t *testing.T) {
	up := counting(t)
	b := startAt(t, "\t\tinterval 10m\n\t\ttarget a "+up.URL)
	var least, most time.Duration = time.Hour, 0
	for i := range 300 {
		b.tick("a")
		late := b.since(b.settled("a", i+1).at) - time.Duration(i)*10*time.Minute
		least, most = min(least, late), max(most, late)
	}
	if least < 0 || least > 10*time.Second || most > time.Minute || most < 50*time.Second {
		t.Errorf("pings came %v to %v after their time, want 0 to 1m", least, most)
	}
}

// Late ticks are not made up for, and the grid stays.
func TestMissedTicks(t *testing.T) {
	up := counting(t)
	b := startAt(t, "\t\tjitter 0%\n\t\tinterval 1m\n\t\ttarget a "+up.URL)
	b.settled("a", 1)
	b.advance(10*time.Minute + 20*time.Second)
	b.settled("a", 2)
	if next := b.since(*b.target("a").NextPing); next != 11*time.Minute {
		t.Errorf("the next ping comes after %v, want 11m", next)
	}
}

func TestHangDelaysNobody(t *testing.T) {
	hung, up := caddytest.NewUpstream(t, caddytest.Hang), counting(t)
	b := startAt(t, "\t\tjitter 0%\n\t\tinterval 1m\n\t\ttarget hung "+hung.URL+"\n\t\ttarget a "+up.URL+" {\n\t\t\tinterval 20s\n\t\t}")
	hung.Next(t)
	for i := range 4 {
		b.settled("a", i+1)
		b.tick("a")
	}
	// At 80 s the second tick of the hung one has found its first ping under way.
	b.until("the tick is skipped", func() bool { return b.target("hung").SkippedBecause == skippedUnderWay })
	if n := len(hung.Requests()); n != 1 {
		t.Errorf("%d pings of the hung target overlap", n)
	}
	b.clock.Advance(10 * time.Second)
	hung.WaitLeft(t)
	if r := b.settled("hung", 1); fmt.Sprint(r.err) != "no complete response in time (1m30s)" {
		t.Errorf("got %v", r.err)
	}
	if next := b.since(*b.target("hung").NextPing); next != 2*time.Minute {
		t.Errorf("the next ping comes after %v, want 2m", next)
	}
}

func TestConcurrency(t *testing.T) {
	gate := make(chan struct{})
	up := caddytest.NewUpstream(t, gated(gate))
	options := "\t\tjitter 0%\n\t\tconcurrency 2"
	for i := range 6 {
		options += fmt.Sprintf("\n\t\ttarget t%d %s/%[1]d", i, up.URL)
	}
	b := startAt(t, options)
	up.Next(t)
	up.Next(t)
	// The cap holds over a reload, for what that adds too.
	b.reload(options + "\n\t\ttarget t6 " + up.URL + "/6\n\t\ttarget t7 " + up.URL + "/7")
	for range 4 {
		if n := len(up.Requests()); n != 2 {
			t.Fatalf("%d pings are under way, want 2", n)
		}
		time.Sleep(10 * time.Millisecond) // there is no event for what must not come
	}
	gate <- struct{}{}
	up.Next(t)
	close(gate)
	for range 5 {
		up.Next(t)
	}
	for i := range 8 {
		b.settled(fmt.Sprint("t", i), 1)
	}
}

func TestTransitions(t *testing.T) {
	status := func(code int) http.HandlerFunc { return caddytest.Answer(code, "", "") }
	up := caddytest.NewUpstream(t, caddytest.Sequence(
		status(200), status(204), status(503), status(500), caddytest.Reset, status(200), status(200), status(302), status(404)))
	forgetEvents()
	b := startAt(t, "\t\tjitter 0%\n\t\tfailures 1\n\t\ttarget turns "+up.URL+"/s3cret?key=s3cret\n\t}\n\tevents {\n\t\ton keepalive.down keepalive_test\n\t\ton keepalive.up keepalive_test")
	want := []bool{true, true, false, false, false, true, true, false, false}
	for i, healthy := range want {
		r := b.settled("turns", i+1)
		if (r.err == nil) != healthy {
			t.Fatalf("ping %d: got %v, want healthy %v", i+1, r.err, healthy)
		}
		now := b.target("turns")
		if *now.Healthy != healthy || *now.Awake != (i != 4) {
			t.Fatalf("ping %d: the admin API says %+v", i+1, now)
		}
		if b.Metric(`caddy_keepalive_healthy{target="turns"}`) != map[bool]float64{true: 1}[healthy] {
			t.Fatalf("ping %d: the metric is not %v", i+1, healthy)
		}
		if i < len(want)-1 {
			b.tick("turns")
		}
	}
	if n := b.target("turns").ConsecutiveFailures; n != 2 {
		t.Errorf("%d failures in a row, want 2", n)
	}
	if down, up := b.Logs.Count(`"target is down"`, `"level":"info"`), b.Logs.Count(`"target is up again"`, `"level":"info"`); down != 2 || up != 1 {
		t.Errorf("logged %d times down and %d times up, want 2 and 1", down, up)
	}
	b.Logs.Wait(t, "target is down", "status 503, expected 2xx")
	if got, want := seenEvents(), `keepalive.down turns 503 1 status 503, expected 2xx
keepalive.up turns 200 3 
keepalive.down turns 302 1 status 302, expected 2xx`; got != want {
		t.Errorf("events:\n%s\nwant:\n%s", got, want)
	}
	for series, want := range map[string]float64{"healthy": 4, "unhealthy": 4, "failed": 1} {
		if got := b.Metric(`caddy_keepalive_pings_total{result="` + series + `",target="turns"}`); got != want {
			t.Errorf("%s pings: the metric is %v, want %v", series, got, want)
		}
	}
	if b.Metric(`caddy_keepalive_ping_duration_seconds_count{target="turns"}`) != 8 {
		t.Error("durations are missing")
	}
	if strings.Contains(b.Logs.String(), "s3cret") {
		t.Error("the log holds the path or query")
	}
}

func TestFirstFailureIsReported(t *testing.T) {
	b := startAt(t, "\t\ttarget nobody http://"+caddytest.Addr(t)+"/s3cret\n\t\tjitter 0%\n\t\tfailures 1")
	r := b.settled("nobody", 1)
	if r.err == nil || !strings.Contains(r.err.Error(), "connection refused") || strings.Contains(r.err.Error(), "s3cret") {
		t.Errorf("got %v", r.err)
	}
	for i := range 3 {
		b.tick("nobody")
		b.settled("nobody", i+2)
	}
	b.reload("\t\ttarget nobody http://" + caddytest.Addr(t) + "/s3cret\n\t\tjitter 0%\n\t\tfailures 1")
	b.settled("nobody", 1)
	if n := b.Logs.Count("target is down"); n != 2 {
		t.Errorf("two targets went down, logged %d times", n)
	}
}

func TestColdStart(t *testing.T) {
	gate := make(chan struct{})
	up := caddytest.NewUpstream(t, gated(gate))
	b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+up.URL)
	up.Next(t)
	b.advance(30 * time.Second)
	gate <- struct{}{}
	b.settled("a", 1)
	if now := b.target("a"); now.ColdStarts != 1 || now.LastLatencyMS != 30_000 || !*now.Healthy {
		t.Errorf("got %+v", now)
	}
	close(gate)
	b.tick("a")
	b.settled("a", 2)
	if now := b.target("a"); now.ColdStarts != 1 {
		t.Errorf("%d cold starts, want 1", now.ColdStarts)
	}
}

// Traffic spares pings as long as it keeps the upstream awake until the next.
func TestTrafficSparesPings(t *testing.T) {
	up := counting(t)
	b := startAt(t, "\t\tjitter 0%\n\t\tinterval 3m\n\t\ttarget a "+up.URL+" {\n\t\t\tsleeps_after 15m\n\t\t}\n\t\ttarget b "+up.URL+"/b {\n\t\t\tupstream other.example:443\n\t\t}")
	traffic := func() { caddytest.Awake(t).Touch(up.Addr(), b.clock.Now()) }
	b.settled("a", 1)
	b.settled("b", 1)
	b.advance(3 * time.Minute) // our own ping spares nothing
	b.settled("a", 2)
	b.settled("b", 2)
	b.advance(time.Minute)
	traffic() // at 4m: awake until 19m, less the reserve 17.5m
	for tick := 6; tick <= 12; tick += 3 {
		b.tick("a")
		now := b.target("a")
		if now.SkippedBecause != "traffic keeps it awake until 2026-03-01T00:19:00Z" || !*now.Awake {
			t.Fatalf("at %v: %+v", b.since(b.clock.Now()), now)
		}
		b.settled("a", 2)
		b.settled("b", tick/3+1) // nothing is known of its sleep, so nothing is spared
	}
	b.tick("a") // at 15m: the next one, at 18m, would be too late
	if r := b.settled("a", 3); b.since(r.at) != 15*time.Minute {
		t.Errorf("pings resumed after %v, want 15m", b.since(r.at))
	}
	if now := b.target("a"); now.SkippedBecause != "" {
		t.Errorf("skipped because %s", now.SkippedBecause)
	}
	if v := b.Metric(`caddy_keepalive_pings_total{result="skipped",target="a"}`); v != 3 {
		t.Errorf("the metric counts %v skipped pings, want 3", v)
	}
	b.settled("b", 6)

	// A target that is down is not spared.
	up.Handle(caddytest.Answer(http.StatusBadGateway, "", ""))
	b.tick("a")
	b.settled("a", 4)
	traffic()
	b.tick("a")
	b.settled("a", 5)
}

func TestSleepsAfterSetsTheInterval(t *testing.T) {
	up := counting(t)
	b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+up.URL+" {\n\t\t\tsleeps_after 15m\n\t\t}\n\t\ttarget b "+up.URL+" {\n\t\t\tsleeps_after 2m\n\t\t\tinterval 2m\n\t\t}")
	b.settled("a", 1)
	if next := b.since(*b.target("a").NextPing); next != 10*time.Minute {
		t.Errorf("the next ping comes after %v, want 10m", next)
	}
	if b.Logs.Count(`"level":"warn"`, "falls asleep between two pings") != 1 || b.Logs.Count("falls asleep", `"target":"b"`) != 1 {
		t.Error("want one warning, for b")
	}
}

func TestCronInZone(t *testing.T) {
	up := counting(t)
	b := startAt(t, "\t\ttarget a "+up.URL+" {\n\t\t\tcron \"30 8 * * *\" Asia/Shanghai\n\t\t}")
	for i, want := range []time.Duration{30 * time.Minute, 24*time.Hour + 30*time.Minute} {
		if next := b.since(*b.target("a").NextPing); next != want {
			t.Fatalf("the next ping comes after %v, want %v", next, want)
		}
		b.tick("a")
		b.settled("a", i+1)
	}
}

func TestClosedWindow(t *testing.T) {
	up := counting(t)
	b := startAt(t, "\t\tjitter 0%\n\t\tinterval 30m\n\t\ttarget a "+up.URL+" {\n\t\t\twindow 09:00-10:00 Asia/Shanghai\n\t\t}")
	if now := b.target("a"); now.SkippedBecause != "its window is closed" || b.since(*now.NextPing) != time.Hour {
		t.Errorf("got %+v", now)
	}
	var at []time.Duration
	for i := range 4 {
		b.tick("a")
		at = append(at, b.since(b.settled("a", i+1).at))
	}
	if got, want := fmt.Sprint(at), "[1h0m0s 1h30m0s 25h0m0s 25h30m0s]"; got != want {
		t.Errorf("pings came after %s, want %s", got, want)
	}
}

// With the system's clock, in case the fake one tells a tale.
func TestRealClock(t *testing.T) {
	up := counting(t)
	c := caddytest.Start(t, keepaliveFile("\t\tinterval 20ms\n\t\ttarget a "+up.URL+"\n\t\ttarget b "+up.URL+"/b {\n\t\t\tcron \"* * * * * *\"\n\t\t}"))
	for seen := make(map[string]int); seen["/"] < 5 || seen["/b"] < 1; {
		seen[up.Next(t).URI]++
	}
	if status, body := c.Admin(http.MethodGet, "/keepalive/targets"); status != http.StatusOK || !strings.Contains(string(body), `"healthy":true`) {
		t.Errorf("%d %s", status, body)
	}
}
