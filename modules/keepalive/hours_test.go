package keepalive

import (
	"fmt"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// pass lets time go by in steps in which traffic is noticed.
func (b *bench) pass(d time.Duration) {
	b.t.Helper()
	for until := b.clock.Now().Add(d); b.clock.Now().Before(until); {
		b.advance(min(time.Minute, until.Sub(b.clock.Now())))
		b.quiet()
		for _, t := range activeApp().Targets {
			if t.pinger.hours.counts {
				t.pinger.hours.follow(b.t.Context()) // not to wait for the ticker
			}
		}
	}
}

// quiet waits until no ping is under way and none is due.
func (b *bench) quiet() {
	b.t.Helper()
	began := time.Now()
	b.until("nothing is due", func() bool {
		for _, t := range activeApp().Targets {
			s := t.pinger.state
			s.mu.Lock()
			running, due := s.running != nil, !s.due.IsZero() && !s.due.After(b.clock.Now())
			s.mu.Unlock()
			if due && !running && time.Since(began) > 50*time.Millisecond {
				// The clock was turned while the timer was being set, which then is late.
				began = time.Now()
				b.clock.Advance(time.Second)
			}
			if running || due {
				return false
			}
		}
		return true
	})
}

func (b *bench) wantHours(name string, awake, quota float64) {
	b.t.Helper()
	now := b.target(name)
	if now.AwakeHours == nil || math.Abs(*now.AwakeHours-awake) > .01 || *now.QuotaHours != quota {
		b.t.Errorf("%s: awake %v of %v hours, want %v of %v", name, deref(now.AwakeHours), deref(now.QuotaHours), awake, quota)
	}
}

func deref(f *float64) float64 {
	if f == nil {
		return math.NaN()
	}
	return *f
}

// Pings and traffic keep the instance awake, and what they have in common
// counts once.
func TestAwakeHours(t *testing.T) {
	up := counting(t)
	options := "\t\tjitter 0%\n\t\ttarget a " + up.URL + " {\n\t\t\tcron \"0 * * * *\"\n\t\t\tplatform render\n\t\t}"
	b := startAt(t, options)
	b.wantHours("a", 0, 750)
	b.tick("a") // at 1:00, awake until 1:15
	b.settled("a", 1)
	b.wantHours("a", .25, 750)
	b.pass(5 * time.Minute)
	caddytest.Awake(t).Touch(up.Addr(), b.clock.Now()) // until 1:20
	b.wantHours("a", 1./3, 750)
	b.pass(25 * time.Minute)
	caddytest.Awake(t).Touch(up.Addr(), b.clock.Now()) // from 1:30 to 1:45
	b.wantHours("a", 35./60, 750)
	b.pass(20 * time.Minute)
	b.wantHours("a", 35./60, 750)
	if met := b.target("a").ColdStartsMet; *met != 1 {
		t.Errorf("users met %d cold starts, want 1", *met)
	}
	if v := b.Metric(`caddy_keepalive_cold_starts_met_total{target="a"}`); v != 1 {
		t.Errorf("the metric counts %v cold starts that were met", v)
	}
	if v := b.Metric(`caddy_keepalive_awake_seconds{target="a"}`); v != 35*60 {
		t.Errorf("the metric counts %v seconds", v)
	}
	if v := b.Metric(`caddy_keepalive_quota_seconds{target="a"}`); v != 750*3600 {
		t.Errorf("the metric allows %v seconds", v)
	}

	// They outlive a reload and a restart.
	b.reload(options + "\n\t\ttarget b " + counting(t).URL)
	b.wantHours("a", 35./60, 750)
	b.Stop()
	b.Caddy = caddytest.Start(t, keepaliveFile(options), caddytest.WithFakeClock(b.clock), caddytest.WithStorage(b.Storage))
	b.wantHours("a", 35./60, 750)

	// A new month begins at zero.
	b.advance(time.Date(2026, 4, 1, 0, 30, 0, 0, time.UTC).Sub(b.clock.Now()))
	b.quiet()
	b.wantHours("a", .25, 750) // by the ping of the tick that was missed
}

func TestAccountShared(t *testing.T) {
	up, other := counting(t), counting(t)
	account := " {\n\t\t\tcron \"0 * * * *\"\n\t\t\tsleeps_after 15m\n\t\t\tquota 750h/month workspace\n\t\t}\n"
	b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+up.URL+account+"\t\ttarget b "+other.URL+account+
		"\t\ttarget same "+other.URL+"/elsewhere"+account)
	b.tick("a")
	b.settled("b", 1)
	b.settled("same", 1)
	for _, name := range []string{"a", "b", "same"} {
		b.wantHours(name, .5, 750) // b and same are one instance
	}
}

func TestPlanIsChecked(t *testing.T) {
	up := counting(t)
	target := func(name, options string) string {
		return "\t\ttarget " + name + " http://" + caddytest.Addr(t) + " {\n" + options + "\n\t\t}\n"
	}
	for name, test := range map[string]struct{ config, says string }{
		"one service": {target("a", "platform render"), ""},
		"two services": {
			target("a", "platform render\nquota 750h/month ws") + target("b", "platform render\nquota 750h/month ws"),
			`"account":"ws","targets":["a","b"],"needed":"1488h","allowed":"750h","short_by":"738h","until":"2026-04-01T00:00:00Z","would_fit":"1 of the 2 targets, or a window of 12h05m a day for each target"`,
		},
		"two services without an account": {
			target("a", "platform render") + target("b", "platform render"),
			`"account":"render","targets":["a","b"],"needed":"1488h","allowed":"750h"`,
		},
		"two services of two accounts": {
			target("a", "platform render") + target("b", "platform render\nquota 750h/month mine"), "",
		},
		"two services with windows": {
			target("a", "platform render\nquota 750h/month ws\nwindow 07:00-19:00") + target("b", "platform render\nquota 750h/month ws\nwindow 20:00-08:00"), "",
		},
		"a small quota": {
			target("a", "sleeps_after 15m\nquota 100h/month"),
			`"account":"a","targets":["a"],"needed":"744h","allowed":"100h","short_by":"644h","until":"2026-04-01T00:00:00Z","would_fit":"a window of 3h10m a day"`,
		},
		"a quota of a day in Shanghai": {
			target("a", "sleeps_after 15m\nquota 20h/day Asia/Shanghai"),
			`"needed":"24h","allowed":"20h","short_by":"4h","until":"2026-03-02T00:00:00+08:00","would_fit":"a window of 20h00m a day"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := startAt(t, test.config+"\t\ttarget other "+up.URL)
			n := b.Logs.Count(`"level":"warn"`, "too few hours")
			if test.says == "" && n != 0 || test.says != "" && (n != 1 || b.Logs.Count(test.says) != 1) {
				t.Errorf("%d warnings; the log is:\n%s", n, b.Logs)
			}
		})
	}
}

// The hours of a period are used, and not exceeded.
func TestHoursLast(t *testing.T) {
	up := counting(t)
	b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+up.URL+" {\n\t\t\tsleeps_after 15m\n\t\t\tquota 6h/day\n\t\t}")
	b.pass(24*time.Hour - time.Minute)
	if used := *b.target("a").AwakeHours; used < 5 || used > 6 {
		t.Errorf("%v of 6 hours were used", used)
	}
	if n := len(up.Requests()); n < 20 || n > 40 {
		t.Errorf("%d pings", n)
	}
	b.pass(2 * time.Minute)
	if used := *b.target("a").AwakeHours; used > 1 {
		t.Errorf("in the new day: %v hours", used)
	}
}

// When traffic has used up the hours no ping adds to them. It is told once that
// they come to an end, and a new period begins with a ping.
func TestHoursEnd(t *testing.T) {
	up := counting(t)
	forgetEvents()
	b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+up.URL+" {\n\t\t\tsleeps_after 15m\n\t\t\tquota 2h/day\n\t\t}\n\t}\n\tevents {\n\t\ton keepalive.hours_low keepalive_test")
	for range 18 {
		caddytest.Awake(t).Touch(up.Addr(), b.clock.Now())
		b.pass(10 * time.Minute)
	}
	b.wantHours("a", 3+5./60, 2)
	pings := len(up.Requests())
	b.pass(3 * time.Hour)
	if because := b.target("a").SkippedBecause; because != "the hours of its account are used up until 2026-03-02T00:00:00Z" {
		t.Errorf("skipped because %q", because)
	}
	if n := len(up.Requests()); n != pings {
		t.Errorf("%d pings after the hours were used up", n-pings)
	}
	if n := b.Logs.Count("the hours of an account come to an end"); n != 1 {
		t.Errorf("told %d times that hours are low", n)
	}
	if got := seenEvents(); got != "keepalive.hours_low a <nil> <nil> <nil>" {
		t.Errorf("events: %s", got)
	}
	if caddytest.Awake(t).Wake(up.Addr()) != nil || !caddytest.Awake(t).Spare(up.Addr()) {
		t.Error("it was woken up without hours")
	}
	b.tick("a")
	if at := b.since(b.clock.Now()); at != 24*time.Hour {
		t.Errorf("the next tick comes after %v", at)
	}
}

// Of an account that gives hours to several it is told once.
func TestSharedHoursEnd(t *testing.T) {
	a, c := counting(t), counting(t)
	forgetEvents()
	options := " {\n\t\t\tsleeps_after 15m\n\t\t\tquota 2h/day workspace\n\t\t}\n"
	b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+a.URL+options+"\t\ttarget c "+c.URL+options+"\t}\n\tevents {\n\t\ton keepalive.hours_low keepalive_test")
	for range 9 {
		caddytest.Awake(t).Touch(a.Addr(), b.clock.Now())
		caddytest.Awake(t).Touch(c.Addr(), b.clock.Now())
		b.pass(10 * time.Minute)
	}
	b.wantHours("c", 2*(1+35./60), 2)
	if got := seenEvents(); got != "keepalive.hours_low a <nil> <nil> <nil>" {
		t.Errorf("events: %s", got)
	}
	b.Logs.Wait(t, "the hours of an account come to an end", `"account":"workspace"`)
}

// A day's hours go to where traffic was seen the days before.
func TestHoursGoToTraffic(t *testing.T) {
	up := counting(t)
	b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+up.URL+" {\n\t\t\tsleeps_after 15m\n\t\t\tquota 6h/day\n\t\t}")
	pings := func(from, to int) (n int) {
		for range (to - from) * 60 {
			before := len(up.Requests())
			if b.clock.Now().Hour() >= 20 && b.clock.Now().Hour() < 22 && b.clock.Now().Minute()%29 == 0 {
				caddytest.Awake(t).Touch(up.Addr(), b.clock.Now())
			}
			b.pass(time.Minute)
			n += len(up.Requests()) - before
		}
		return n
	}
	pings(0, 48)
	before, during, after := pings(0, 20), pings(20, 22), pings(22, 24)
	if during < 8 {
		t.Errorf("on the third day %d, %d and %d pings before, in and after the hours with traffic", before, during, after)
	}
	if reason := fmt.Sprint(b.target("a").SkippedBecause); before > 30 {
		t.Errorf("%d pings in the hours without traffic (%s)", before, reason)
	}
}

// Requests are a quota of their own.
func TestQuotaOfRequests(t *testing.T) {
	up := counting(t)
	b := startAt(t, "\t\tjitter 0%\n\t\tinterval 1h\n\t\ttarget a "+up.URL+" {\n\t\t\tquota 3/day key\n\t\t}")
	for i := range 3 {
		b.settled("a", i+1)
		b.tick("a")
	}
	b.settled("a", 3)
	if because := b.target("a").SkippedBecause; because != skippedUsedUp+"2026-03-02T00:00:00Z" {
		t.Errorf("skipped because %q", because)
	}
	if n := b.Logs.Count("the pings use most of the account's requests", `"pings":24`, `"quota":"3/day key"`); n != 1 {
		t.Errorf("%d warnings", n)
	}
	b.pass(21*time.Hour + 30*time.Minute)
	if n := len(up.Requests()); n != 4 {
		t.Errorf("%d pings, want 4", n)
	}
}

func TestPingsThatAskModels(t *testing.T) {
	chat := "\t\t\tmethod POST\n\t\t\tbody `{\"model\":\"gpt-3.5-turbo\",\"messages\":[]}`\n"
	for name, test := range map[string]struct {
		options string
		says    string
	}{
		"every 3 minutes":         {chat + "\t\t\tinterval 3m", `"pings_a_month":14400`},
		"by cron":                 {chat + "\t\t\tcron \"*/3 * * * *\" Asia/Shanghai", `"pings_a_month":14400`},
		"in a window":             {chat + "\t\t\tinterval 3m\n\t\t\twindow 18:00-06:00", `"pings_a_month":7200`},
		"every hour":              {chat + "\t\t\tinterval 1h", ""},
		"not to a model":          {"\t\t\tmethod POST\n\t\t\tbody `{\"a\":1}`\n\t\t\tinterval 3m", ""},
		"with a quota that bears": {chat + "\t\t\tinterval 3m\n\t\t\tquota 1000/day", ""},
	} {
		t.Run(name, func(t *testing.T) {
			up := caddytest.NewUpstream(t, caddytest.Answer(http.StatusOK, "", ""))
			b := startAt(t, "\t\ttarget a "+up.URL+" {\n"+test.options+"\n\t\t}")
			n := b.Logs.Count(`"level":"warn"`, "asks a model")
			if test.says == "" && n != 0 || test.says != "" && (n != 1 || b.Logs.Count(test.says) != 1) {
				t.Errorf("%d warnings; the log is:\n%s", n, b.Logs)
			}
		})
	}
}
