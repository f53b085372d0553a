package doh_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// An upstream that fails three times in a row goes into cooldown, and comes back
// by one trial query.
func TestCooldown(t *testing.T) {
	bad := caddytest.NewTLSUpstream(t, caddytest.Answer(http.StatusInternalServerError, "", ""))
	good := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	clock := clockwork.NewFakeClock()
	p := startPool(t, clock, t.TempDir(), up(t, bad, "/"), up(t, good, "/", "tier 2"))
	for _, step := range []struct {
		pass  time.Duration
		asked int // times in all
	}{
		{0, 3},
		{29 * time.Second, 3},
		{time.Second, 4},
		{59 * time.Second, 4},
		{time.Second, 5},
		{2 * time.Minute, 6},
		{4 * time.Minute, 7},
		{5 * time.Minute, 8}, // not eight minutes
	} {
		clock.Advance(step.pass)
		p.ask(10)
		wantAsked(t, bad, step.asked)
	}
	bad.Handle(caddytest.DoH(caddytest.Records(t, "@ 60 IN A 192.0.2.1")))
	clock.Advance(5 * time.Minute)
	before := len(good.Requests())
	p.ask(10)
	wantAsked(t, bad, 18)
	wantAsked(t, good, before)
}

// While a trial is under way nobody else is sent to the upstream.
func TestOneTrial(t *testing.T) {
	bad := caddytest.NewTLSUpstream(t, caddytest.Answer(http.StatusInternalServerError, "", ""))
	good := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	clock := clockwork.NewFakeClock()
	p := startPool(t, clock, t.TempDir(), up(t, bad, "/"), up(t, good, "/", "tier 2"))
	p.ask(3)
	bad.Handle(caddytest.Hang)
	clock.Advance(30 * time.Second)
	for range 3 {
		bad.Next(t)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.ask(1)
	}()
	bad.Next(t)
	p.ask(5)
	wantAsked(t, bad, 4)
	if err := clock.BlockUntilContext(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	clock.Advance(400 * time.Millisecond)
	<-done
}

// When all are in cooldown they are asked all the same.
func TestAllInCooldown(t *testing.T) {
	bad := caddytest.NewTLSUpstream(t, caddytest.Answer(http.StatusInternalServerError, "", ""))
	p := startPool(t, clockwork.NewFakeClock(), t.TempDir(), up(t, bad, "/"))
	p.ask(10)
	wantAsked(t, bad, 10)
	bad.Handle(caddytest.DoH(caddytest.Records(t, "@ 60 IN A 192.0.2.1")))
	if reply := p.ask(1); reply.Rcode != dns.RcodeSuccess {
		t.Errorf("the answer is %v", reply)
	}
}

// What is asked although it is in cooldown does not lengthen that: the trial
// comes in time, and counts as one.
func TestCooldownUnderLoad(t *testing.T) {
	bad := caddytest.NewTLSUpstream(t, caddytest.Answer(http.StatusInternalServerError, "", ""))
	clock := clockwork.NewFakeClock()
	p := startPool(t, clock, t.TempDir(), up(t, bad, "/"))
	p.ask(3)
	want := clock.Now().Add(30 * time.Second)
	for range 29 {
		clock.Advance(time.Second)
		p.ask(1)
		p.wantCooldown(want)
	}
	clock.Advance(time.Second)
	p.ask(3)
	p.wantCooldown(want.Add(time.Minute))
	if n := p.upstreams()[0].InARow; n != 35 {
		t.Errorf("%d failures in a row, want 35", n)
	}
}

// A trial without an outcome is followed by another ten seconds later.
func TestTrialWithoutOutcome(t *testing.T) {
	bad := caddytest.NewTLSUpstream(t, caddytest.Answer(http.StatusInternalServerError, "", ""))
	good := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	clock := clockwork.NewFakeClock()
	p := startPool(t, clock, t.TempDir(), up(t, bad, "/"), up(t, good, "/", "tier 2"), up(t, good, "/third", "tier 3"))
	p.ask(3)
	servfail := caddytest.DoH(caddytest.Rcode(dns.RcodeServerFailure, -1))
	bad.Handle(servfail)
	good.Handle(servfail)
	clock.Advance(30 * time.Second)
	p.ask(3)
	wantAsked(t, bad, 4)
	clock.Advance(10*time.Second - 1)
	p.ask(3)
	wantAsked(t, bad, 4)
	clock.Advance(1)
	p.ask(3)
	wantAsked(t, bad, 5)
}

// What a reverse_proxy chooses after a cooldown is a trial too.
func TestProxyTrial(t *testing.T) {
	bad := caddytest.NewTLSUpstream(t, caddytest.Answer(http.StatusInternalServerError, "", ""))
	clock := clockwork.NewFakeClock()
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, proxy(addr, []string{up(t, bad, "/")}), caddytest.WithFakeClock(clock))
	p := &pooled{Caddy: c, t: t, addr: addr, client: c.Client()}
	p.ask(5)
	p.wantCooldown(clock.Now().Add(30 * time.Second))
	clock.Advance(30 * time.Second)
	p.ask(1)
	p.wantCooldown(clock.Now().Add(time.Minute))
}

// wantCooldown checks until when the first upstream is in cooldown.
func (p *pooled) wantCooldown(want time.Time) {
	p.t.Helper()
	if got := p.upstreams()[0].CooldownUntil; !got.Equal(want) {
		p.t.Errorf("in cooldown until %v, want %v", got, want)
	}
}

// A name that fails everywhere is no fault of an upstream.
func TestServfailIsNoFault(t *testing.T) {
	servfail := caddytest.DoH(caddytest.Rcode(dns.RcodeServerFailure, -1))
	a, b := caddytest.NewTLSUpstream(t, servfail), caddytest.NewTLSUpstream(t, servfail)
	p := startPool(t, clockwork.NewFakeClock(), t.TempDir(), up(t, a, "/"), up(t, b, "/", "tier 2"))
	p.ask(5)
	wantAsked(t, a, 5)
	wantAsked(t, b, 5)
	for _, u := range p.upstreams() {
		if u.Failures != 0 {
			t.Errorf("%s has %d failures", u.Name, u.Failures)
		}
	}
}

// `fastest` sends most queries to the fastest, and some to the others; one
// that fails is slow, however fast it is.
func TestFastest(t *testing.T) {
	const queries = 200
	sound := caddytest.DoH(caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	clock := clockwork.NewFakeClock()
	after := func(delay time.Duration) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			clock.Advance(delay)
			sound(w, r)
		}
	}
	fast, slow := caddytest.NewTLSUpstream(t, after(time.Millisecond)), caddytest.NewTLSUpstream(t, after(10*time.Millisecond))
	failing := caddytest.NewTLSUpstream(t, caddytest.Answer(http.StatusTooManyRequests, "", ""))
	p := startPool(t, clock, t.TempDir(), "policy fastest", up(t, slow, "/"), up(t, fast, "/"), up(t, failing, "/"))
	p.ask(queries)
	if n := len(fast.Requests()); n < queries*3/4 {
		t.Errorf("the fastest was asked %d times of %d", n, queries)
	}
	if n := len(slow.Requests()); n < 1 || n > queries/5 {
		t.Errorf("the slow one was asked %d times of %d", n, queries)
	}
	if n := len(failing.Requests()); n < 1 || n > queries/10 {
		t.Errorf("the failing one was asked %d times of %d", n, queries)
	}
}
