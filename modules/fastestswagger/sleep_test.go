package fastestswagger_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	_ "github.com/caddy-freetier/caddy-freetier/modules/keepalive"
)

// startSleepy runs a proxy to some platforms, of which the app keepalive lets
// the first sleep after one o'clock, and wakes it on demand only. It is ten to one.
func startSleepy(t *testing.T, others string, platforms ...*platform) *site {
	t.Helper()
	clock := clockwork.NewFakeClockAt(time.Date(2026, 3, 1, 0, 50, 0, 0, time.UTC))
	addr := caddytest.Addr(t)
	global := "{\n\tkeepalive {\n\t\tjitter 0%\n\t\ttarget a " + platforms[0].URL + "/ping {\n" +
		"\t\t\tsleeps_after 15m\n\t\t\twindow 00:00-01:00\n\t\t\tcron \"0 0 1 1 *\"\n\t\t}\n\t}\n}\n"
	c := caddytest.Start(t, global+proxy(addr, "", others, platforms...), caddytest.WithFakeClock(clock))
	s := &site{Caddy: c, t: t, addr: addr}
	s.begun(platforms...)
	return s
}

// pinged returns an API that counts and gates the pings of keepalive.
func pinged(pings chan<- struct{}, gate <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ping" {
			pings <- struct{}{}
			select {
			case <-gate:
			case <-r.Context().Done():
			}
			return
		}
		caddytest.Echo(w, r)
	}
}

// An instance that is to sleep is not kept awake by loads. While it sleeps
// requests go to another one, however slow that is, and wake it up.
func TestSleepingUpstreamIsSpared(t *testing.T) {
	pings, open := make(chan struct{}, 10), make(chan struct{})
	close(open)
	a, b := newPlatform(t, pinged(pings, open)), newPlatform(t, caddytest.Echo)
	s := startSleepy(t, "", a, b)
	s.loaded(a, 100*time.Millisecond, swagger)
	s.loaded(b, 900*time.Millisecond, swagger)
	if w := s.winner(); w != a.Addr() {
		t.Fatalf("%s wins, want %s", w, a.Addr())
	}
	s.Clock.Advance(30 * time.Minute)
	s.begun(b)
	s.loaded(b, 900*time.Millisecond, swagger)
	eventually(t, func() bool { return strings.Contains(s.upstreams()[0].Why, "hours are saved") })
	u := s.upstreams()
	if s.winner() != b.Addr() || u[0].Condition != "asleep" || u[1].Condition != "unknown" {
		t.Errorf("%s wins: %+v", s.winner(), u)
	}
	if n := len(a.arrived); n != 0 {
		t.Errorf("its page was loaded %d times", n)
	}
	for len(pings) > 0 { // for the first load
		<-pings
	}

	for range 3 {
		s.do(http.MethodPost, "x")
	}
	<-pings
	eventually(t, func() bool { return s.winner() == a.Addr() })
	before := len(a.api())
	s.do(http.MethodPost, "x")
	if a, b := len(a.api())-before, len(b.api()); a != 1 || b == 0 {
		t.Errorf("requests: %d since it is awake, %d to the other", a, b)
	}
	if len(pings) != 0 {
		t.Error("it was woken twice")
	}
}

// A request that has nowhere else to go waits until its upstream is awake, or
// the client leaves.
func TestRequestWaitsForSleepingUpstream(t *testing.T) {
	pings, gate := make(chan struct{}, 10), make(chan struct{})
	a := newPlatform(t, caddytest.Echo)
	s := startSleepy(t, "", a)
	s.loaded(a, 100*time.Millisecond, swagger)
	before := len(a.api())
	a.Handle(a.serve(pinged(pings, gate)))
	s.Clock.Advance(30 * time.Minute)
	s.Logs.Wait(t, "not loaded, so that it can sleep")

	answered := make(chan int)
	go func() {
		status, _ := s.do(http.MethodPost, "x")
		answered <- status
	}()
	<-pings
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addr+"/left", nil)
		_, err := s.Client().Do(req)
		left <- err
	}()
	leave()
	if err := <-left; err == nil {
		t.Error("the client that left was answered")
	}
	if n := len(a.api()) - before; n != 1 {
		t.Errorf("%d requests before it was awake, want the ping", n)
	}
	close(gate)
	if status := <-answered; status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	for _, r := range a.api() {
		if strings.HasPrefix(r.URI, "/left") {
			t.Error("the request of the client that left was sent")
		}
	}
}

// One long ping wakes an instance up, and not loads that give up.
func TestLoadWaitsForWaking(t *testing.T) {
	pings, gate := make(chan struct{}, 10), make(chan struct{})
	a := newPlatform(t, pinged(pings, gate))
	clock := clockwork.NewFakeClock()
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, "{\n\tkeepalive {\n\t\ttarget a "+a.URL+"/ping {\n\t\t\tsleeps_after 1h\n\t\t\tcron \"0 12 * * *\"\n\t\t}\n\t}\n}\n"+
		proxy(addr, "/swagger/index.html {\ninterval 2h\n}", "", a), caddytest.WithFakeClock(clock))
	s := &site{Caddy: c, t: t, addr: addr}
	// At the start it is open whether keepalive or the policy begins.
	select {
	case <-pings:
		gate <- struct{}{}
		<-a.arrived
	case <-a.arrived:
	}
	s.loaded(a, 0, swagger)
	s.pass(1, 3*time.Hour)
	<-pings
	if len(a.arrived) != 0 || caddytest.Awake(t).State(a.Addr()) != awake.Waking {
		t.Errorf("%d loads of the page while it is %v", len(a.arrived), caddytest.Awake(t).State(a.Addr()))
	}
	gate <- struct{}{}
	<-a.arrived
	s.loaded(a, 0, swagger)
}
