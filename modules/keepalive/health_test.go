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

const onHealth = "\n\t}\n\tevents {\n\t\ton keepalive.down keepalive_test\n\t\ton keepalive.up keepalive_test"

// statuses answers with one status after the other, and the last for ever.
func statuses(codes ...int) http.HandlerFunc {
	handlers := make([]http.HandlerFunc, len(codes))
	for i, code := range codes {
		handlers[i] = caddytest.Answer(code, "", "")
	}
	return caddytest.Sequence(handlers...)
}

// advanceTo turns the clock to the next ping of a target, a tick's or not, and
// returns when that was.
func (b *bench) advanceTo(name string) time.Duration {
	b.t.Helper()
	s := b.state(name)
	s.mu.Lock()
	next, pings := s.next(), s.health.pings
	s.mu.Unlock()
	b.clock.Advance(next.Sub(b.clock.Now()))
	return b.since(b.settled(name, pings+1).at)
}

// A target that fails now and then is not down, whatever the interval.
func TestOneFailureIsNotDown(t *testing.T) {
	turns := make([]int, 0, 40)
	for i := range cap(turns) {
		turns = append(turns, []int{200, 502}[i%2])
	}
	up := caddytest.NewUpstream(t, statuses(turns...))
	forgetEvents()
	b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+up.URL+onHealth)
	b.settled("a", 1)
	for i := range len(turns) - 1 {
		b.advanceTo("a")
		now := b.target("a")
		if now.Down {
			t.Fatalf("ping %d: it is down", i+2)
		}
		if failed := turns[i+1] != 200; *now.Healthy == failed {
			t.Fatalf("ping %d: healthy %v", i+2, *now.Healthy)
		}
	}
	if seen := seenEvents(); seen != "" {
		t.Errorf("events:\n%s", seen)
	}
	if n := b.Logs.Count("target is"); n != 0 {
		t.Errorf("%d transitions are logged", n)
	}
}

// As many failures in a row as the option says are reported once.
func TestFailures(t *testing.T) {
	for _, test := range []struct {
		options string
		want    int
	}{{"", 2}, {"failures 1", 1}, {"failures 3", 3}, {"failures 3\n\t\t\tfailures_of_the_app 1", 3}, {"failures_of_the_app 4", 4}} {
		t.Run(test.options, func(t *testing.T) {
			option, global, isGlobal := strings.Cut(test.options, "failures_of_the_app")
			if isGlobal {
				global = "\t\tfailures" + global + "\n"
			}
			up := caddytest.NewUpstream(t, statuses(200, 500, 500, 500, 500, 500, 500, 200, 500, 200))
			forgetEvents()
			b := startAt(t, "\t\tjitter 0%\n"+global+"\t\ttarget a "+up.URL+" {\n\t\t\t"+option+"\n\t\t}"+onHealth)
			b.settled("a", 1)
			for i := range 9 {
				b.advanceTo("a")
				if down := b.target("a").Down; i < 6 && down != (i+1 >= test.want) {
					t.Errorf("after %d failures: down %v", i+1, down)
				}
			}
			want := fmt.Sprintf("keepalive.down a 500 %d status 500, expected 2xx\nkeepalive.up a 200 6 ", test.want)
			if test.want == 1 {
				want += "\nkeepalive.down a 500 1 status 500, expected 2xx\nkeepalive.up a 200 1 "
			}
			if got := seenEvents(); got != want {
				t.Errorf("events:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// A failed ping is tried again soon, then less often, and the ticks stay where
// they are. So no platform's instance sleeps because of one failure.
func TestRetries(t *testing.T) {
	for interval, want := range map[string]string{
		"112h": "[0s 30s 1m30s 3m30s 7m30s 15m30s 31m30s 1h3m30s 2h7m30s 4h15m30s 8h31m30s 17h3m30s 34h7m30s 68h15m30s 112h0m0s 224h0m0s]",
		"10m":  "[0s 30s 1m30s 3m30s 7m30s 10m0s 20m0s 30m0s]",
		"1m":   "[0s 30s 1m0s 2m0s 3m0s]",
		"20s":  "[0s 20s 40s 1m0s]",
	} {
		t.Run(interval, func(t *testing.T) {
			up := caddytest.NewUpstream(t, statuses(502))
			b := startAt(t, "\t\tjitter 0%\n\t\tinterval "+interval+"\n\t\ttarget a "+up.URL)
			at := []time.Duration{b.since(b.settled("a", 1).at)}
			for range strings.Count(want, " ") {
				at = append(at, b.advanceTo("a"))
			}
			if got := fmt.Sprint(at); got != want {
				t.Errorf("pinged after\n%s, want\n%s", got, want)
			}
			// It recovers, and is left alone until the next tick.
			up.Handle(caddytest.Answer(http.StatusOK, "", ""))
			b.advanceTo("a")
			every, _ := time.ParseDuration(interval)
			last := b.since(*b.target("a").LastPing)
			if next := b.since(*b.target("a").NextPing); next != last.Truncate(every)+every {
				t.Errorf("after the recovery at %v the next ping comes at %v", last, next)
			}
		})
	}
}

// Trying again keeps to the window, to the hours and to the requests of the
// account, and to the times of a cron.
func TestRetriesKeepToLimits(t *testing.T) {
	for name, test := range map[string]struct {
		options string
		pings   int // within two hours
	}{
		"window":   {"interval 10h\n\t\t\twindow 23:50-00:01", 2},
		"requests": {"interval 10h\n\t\t\tquota 3/day", 3},
		"cron":     {"cron \"1 0 * * *\"", 8},
	} {
		t.Run(name, func(t *testing.T) {
			up := caddytest.NewUpstream(t, statuses(500))
			b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+up.URL+" {\n\t\t\t"+test.options+"\n\t\t}")
			b.quiet()
			for range 4 * 120 {
				b.advance(15 * time.Second)
				b.quiet()
				b.until("no retry is due", func() bool {
					s := b.state("a")
					s.mu.Lock()
					defer s.mu.Unlock()
					return s.running == nil && (s.retry.IsZero() || s.retry.After(b.clock.Now()))
				})
			}
			if n := len(up.Requests()); n != test.pings {
				t.Errorf("%d pings, want %d", n, test.pings)
			}
		})
	}
}

// What was reported is known after a restart: a target that is still down is
// not reported again, and one that is up again is.
func TestDownOutlivesRestart(t *testing.T) {
	up := caddytest.NewUpstream(t, statuses(500))
	options := "\t\tjitter 0%\n\t\ttarget a " + up.URL + onHealth
	forgetEvents()
	b := startAt(t, options)
	b.settled("a", 1)
	b.advanceTo("a")
	restart := func() {
		b.Stop()
		b.clock.Advance(time.Hour)
		b.Caddy = caddytest.Start(t, keepaliveFile(options), caddytest.WithFakeClock(b.clock), caddytest.WithStorage(b.Storage))
		b.settled("a", 1)
	}
	restart()
	if now := b.target("a"); !now.Down || now.ConsecutiveFailures != 3 {
		t.Errorf("after a restart: %+v", now)
	}
	up.Handle(caddytest.Answer(http.StatusOK, "", ""))
	restart()
	restart()
	want := "keepalive.down a 500 2 status 500, expected 2xx\nkeepalive.up a 200 3 "
	if got := seenEvents(); got != want {
		t.Errorf("events:\n%s\nwant:\n%s", got, want)
	}
}

// The same by a first ping that comes of no tick.
func TestUpByHandAfterRestart(t *testing.T) {
	up := caddytest.NewUpstream(t, statuses(500, 200))
	options := "\t\tfailures 1\n\t\ttarget a " + up.URL + " {\n\t\t\tcron \"0 12 * * *\"\n\t\t}" + onHealth
	forgetEvents()
	b := startAt(t, options)
	b.Admin(http.MethodPost, "/keepalive/targets/a/ping")
	b.Stop()
	b.Caddy = caddytest.Start(t, keepaliveFile(options), caddytest.WithFakeClock(b.clock), caddytest.WithStorage(b.Storage))
	b.Admin(http.MethodPost, "/keepalive/targets/a/ping")
	want := "keepalive.down a 500 1 status 500, expected 2xx\nkeepalive.up a 200 1 "
	if got := seenEvents(); got != want {
		t.Errorf("events:\n%s\nwant:\n%s", got, want)
	}
}

// Targets on one host check different things: the ping of one makes that of
// another needless for no platform.
func TestTargetsOnOneHost(t *testing.T) {
	up := counting(t)
	options := " {\n\t\t\tsleeps_after 15m\n\t\t}\n"
	b := startAt(t, "\t\tjitter 0%\n\t\tinterval 3m\n\t\ttarget health "+up.URL+"/health"+options+"\t\ttarget db "+up.URL+"/db {\n\t\t\tsleeps_after 15m\n\t\t\tinterval 1m\n\t\t}")
	for i := range 30 {
		if r := b.settled("db", i+1); b.since(r.at) != time.Duration(i)*time.Minute {
			t.Fatalf("ping %d of db came after %v", i+1, b.since(r.at))
		}
		if r := b.settled("health", i/3+1); b.since(r.at) != time.Duration(i/3)*3*time.Minute {
			t.Fatalf("ping %d of health came after %v", i/3+1, b.since(r.at))
		}
		b.tick("db")
	}
}

// The first ping comes within a minute of the start, whatever the platform.
func TestFirstPingComesSoon(t *testing.T) {
	var options strings.Builder
	for _, p := range platforms {
		for i := range 10 {
			fmt.Fprintf(&options, "\t\ttarget %s-%d http://127.0.0.1:1/%[2]d {\n\t\t\tplatform %[1]s\n\t\t\tupstream %[1]s-%[2]d.example:443\n\t\t}\n", p.name, i)
		}
	}
	b := startAt(t, options.String())
	spread := make(map[time.Duration]bool)
	for _, now := range b.targets() {
		next := now.NextPing
		if now.LastPing != nil { // it was due at once, or is tried again
			next = now.LastPing
		}
		if wait := b.since(*next); wait > time.Minute {
			t.Errorf("%s: the first ping comes after %v", now.Name, wait)
		}
		spread[b.since(*next)] = true
	}
	if len(spread) < 30 {
		t.Errorf("%d targets are pinged at %d times", 10*len(platforms), len(spread))
	}
}

// A ping that a user waits for does not queue behind others, also when it was
// queued before the user came.
func TestWakeDoesNotQueue(t *testing.T) {
	hung, up := caddytest.NewUpstream(t, caddytest.Hang), counting(t)
	queued := counting(t)
	b := startAt(t, "\t\tjitter 0%\n\t\tconcurrency 1\n\t\ttarget hung "+hung.URL+"\n\t\ttarget a "+up.URL+
		" {\n\t\t\tcron \"0 12 * * *\"\n\t\t\tsleeps_after 15m\n\t\t}")
	hung.Next(t)
	if caddytest.Awake(t).Wake(up.Addr()) == nil {
		t.Fatal("it is not woken up")
	}
	up.Next(t)
	b.settled("a", 1)

	b.reload("\t\tjitter 0%\n\t\tconcurrency 1\n\t\ttarget hung " + hung.URL + "\n\t\ttarget b " + queued.URL + " {\n\t\t\tsleeps_after 15m\n\t\t}")
	b.until("the ping of b waits", func() bool {
		return caddytest.Awake(t).State(queued.Addr()) == awake.Waking
	})
	if caddytest.Awake(t).Wake(queued.Addr()) == nil {
		t.Fatal("it is not waking up")
	}
	queued.Next(t)
	b.settled("b", 1)
	if n := len(hung.Requests()); n != 1 {
		t.Errorf("%d pings of the hung target", n)
	}
}

// Hours count once a request has reached the instance.
func TestHoursCountWhatArrived(t *testing.T) {
	refused := "http://" + caddytest.Addr(t)
	for name, test := range map[string]struct {
		url     string
		handler http.HandlerFunc
		hours   float64
	}{
		"no name":             {"http://nobody.invalid/", nil, 0},
		"refused":             {refused, nil, 0},
		"TLS to a plain port": {"https", caddytest.Answer(200, "", ""), 0},
		"the platform has none": {"", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Render-Routing", "no-server")
			w.WriteHeader(404)
		}, 0},
		"suspended": {"", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Render-Routing", "suspend-by-user")
			w.WriteHeader(503)
		}, 0},
		"an error of the app":     {"", caddytest.Answer(500, "", ""), .25},
		"healthy":                 {"", caddytest.Answer(200, "", ""), .25},
		"closed without response": {"", caddytest.Reset, .25},
		"no response in time":     {"", caddytest.Hang, .25},
	} {
		t.Run(name, func(t *testing.T) {
			address := test.url
			var up *caddytest.Upstream
			if test.handler != nil {
				up = caddytest.NewUpstream(t, test.handler)
				address = up.URL
				if test.url == "https" {
					address = strings.Replace(up.URL, "http:", "https:", 1)
				}
			}
			b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+address+" {\n\t\t\tplatform render\n\t\t\tinterval 20h\n\t\t}")
			if name == "no response in time" {
				b.boot(up, "a", 1)
			}
			b.until("it has been pinged", func() bool { return b.target("a").LastPing != nil })
			hours := b.target("a").AwakeHours
			if *hours != test.hours {
				t.Errorf("%v hours, want %v", *hours, test.hours)
			}
		})
	}
}
