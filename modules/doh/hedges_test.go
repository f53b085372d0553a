package doh_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// tiered is a pool whose first tier has upstreams that hang, on a clock that the
// test turns.
type tiered struct {
	*pooled
	clock  *clockwork.FakeClock
	first  []*caddytest.Upstream // in the order in which they are asked
	second *caddytest.Upstream
}

// startTiered starts upstreams of the first tier, which hang or answer, and one of
// the second, which answers.
func startTiered(t *testing.T, hang []bool, options ...string) *tiered {
	t.Helper()
	sound := caddytest.DoH(caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	p := &tiered{clock: clockwork.NewFakeClock()}
	weight := 1_000_000 // so that chance has no say
	for _, hangs := range hang {
		u := caddytest.NewTLSUpstream(t, sound)
		if hangs {
			u.Handle(caddytest.Hang)
		}
		p.first = append(p.first, u)
		options = append(options, up(t, u, "/", fmt.Sprintf("weight %d", weight)))
		weight = max(weight/100, 1)
	}
	p.second = caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.2"))
	options = append(options, up(t, p.second, "/", "tier 2"))
	p.pooled = startPool(t, p.clock, t.TempDir(), options...)
	return p
}

// asked is how many queries the first tier was sent.
func (p *tiered) asked() (n int) {
	for _, u := range p.first {
		n += len(u.Requests())
	}
	return n
}

// waitAsked waits until the first tier was sent n queries.
func (p *tiered) waitAsked(n int) {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); p.asked() < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("the first tier was sent %d queries, want %d", p.asked(), n)
		}
	}
}

// begin sends a query and waits until the first tier has it.
func (p *tiered) begin() <-chan *dns.Msg {
	p.t.Helper()
	before := p.asked()
	done := make(chan *dns.Msg, 1)
	go func() { done <- p.ask(1) }()
	p.waitAsked(before + 1)
	return done
}

// advance turns the clock, and waits until the pool's timer is set again. Otherwise
// the next turn could come before that, and the timer would never fire.
func (p *tiered) advance(d time.Duration) {
	p.t.Helper()
	p.clock.Advance(d)
	if err := p.clock.BlockUntilContext(p.t.Context(), 1); err != nil {
		p.t.Fatal(err)
	}
}

// want checks who answered.
func want(t *testing.T, reply *dns.Msg, address string) {
	t.Helper()
	if len(reply.Answer) != 1 || reply.Answer[0].(*dns.A).A.String() != address {
		t.Errorf("the response is %v, want %s", reply, address)
	}
}

// waitFailures waits until the first upstreams have so many failures: they are
// recorded when the attempts have ended, a little after the response.
func (p *tiered) waitFailures(want ...int64) {
	p.t.Helper()
	var got []int64
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		got = nil
		for _, u := range p.upstreams()[:len(want)] {
			got = append(got, u.Failures)
		}
		if slices.Equal(got, want) {
			return
		}
	}
	p.t.Errorf("there are %v failures, want %v", got, want)
}

// While upstreams hang, another one of their tier is asked each time the hedge has
// passed.
func TestHedges(t *testing.T) {
	p := startTiered(t, []bool{true, true, false, false})
	done := p.begin()
	p.advance(399 * time.Millisecond)
	wantAsked(t, p.first[1], 0)
	p.clock.Advance(time.Millisecond)
	p.waitAsked(2)
	p.clock.Advance(400 * time.Millisecond)
	want(t, <-done, "192.0.2.1")
	for i, n := range []int{1, 1, 1, 0} {
		wantAsked(t, p.first[i], n)
	}
	wantAsked(t, p.second, 0)
}

// Two upstreams are asked beside the first at most. Those of the next tier are
// asked when half of the time has passed, and only if those of the first seem to be
// down: a name that is slow, while they answer others, costs no more, and is
// nobody's fault.
func TestNextTier(t *testing.T) {
	all := []bool{true, true, true, true, true}
	t.Run("down", func(t *testing.T) {
		p := startTiered(t, all)
		done := p.begin()
		for n := range 2 {
			p.clock.Advance(400 * time.Millisecond)
			p.waitAsked(n + 2)
		}
		p.advance(1699 * time.Millisecond)
		wantAsked(t, p.second, 0)
		p.clock.Advance(time.Millisecond)
		want(t, <-done, "192.0.2.2")
		if n := p.asked(); n != 3 {
			t.Errorf("the first tier was sent %d queries, want 3", n)
		}
		p.waitFailures(1, 1, 1, 0, 0, 0)
	})
	t.Run("a slow name", func(t *testing.T) {
		p := startTiered(t, all)
		done := p.begin()
		for n := range 2 {
			p.clock.Advance(400 * time.Millisecond)
			p.waitAsked(n + 2)
		}
		for _, u := range p.first {
			u.Handle(caddytest.DoH(caddytest.Records(t, "@ 60 IN A 192.0.2.1")))
		}
		want(t, p.ask(1), "192.0.2.1") // another name
		p.advance(1700 * time.Millisecond)
		p.advance(2499 * time.Millisecond)
		select {
		case reply := <-done:
			t.Fatalf("the response is %v before the time is up", reply)
		default:
		}
		p.clock.Advance(time.Millisecond)
		if reply := <-done; reply.Rcode != dns.RcodeServerFailure {
			t.Errorf("the response is %v, want SERVFAIL", reply)
		}
		if n := p.asked(); n != 4 {
			t.Errorf("the first tier was sent %d queries, want 3 and the one for the other name", n)
		}
		wantAsked(t, p.second, 0)
		for _, u := range p.first[:3] {
			u.WaitLeft(t)
		}
		p.waitFailures(0, 0, 0, 0, 0, 0)
	})
}

// turn turns the clock until the second tier has answered, and returns by how many
// tenths of a second.
func (p *tiered) turn(done <-chan *dns.Msg) (steps int) {
	p.t.Helper()
	for ; steps < 45; steps++ {
		settle()
		select {
		case reply := <-done:
			want(p.t, reply, "192.0.2.2")
			return steps
		default:
			p.clock.Advance(100 * time.Millisecond)
		}
	}
	p.t.Fatal("nobody has answered")
	return 0
}

// All of the first tier hang on connections that are open: no query fails, and
// after a few the second tier is asked without any wait.
func TestNextTierWhenConnectionsAreOpen(t *testing.T) {
	p := startTiered(t, []bool{false, false})
	p.ask(4)
	for _, u := range p.first {
		u.Handle(caddytest.Hang)
	}
	waited := 0
	for range 8 {
		before := p.asked() + len(p.second.Requests())
		done := make(chan *dns.Msg, 1)
		go func() { done <- p.ask(1) }()
		for p.asked()+len(p.second.Requests()) == before {
			time.Sleep(time.Millisecond)
		}
		waited = p.turn(done)
	}
	if waited > 5 {
		t.Errorf("the last query was answered after %d00 ms", waited)
	}
	for _, u := range p.upstreams()[:2] {
		if u.CooldownUntil.IsZero() {
			t.Errorf("%s is not in cooldown", u.Name)
		}
	}
}

// Without hedges the next upstream is asked when half of the time has passed.
func TestHedgeOff(t *testing.T) {
	p := startTiered(t, []bool{true, false}, "hedge off")
	done := p.begin()
	p.advance(2499 * time.Millisecond)
	wantAsked(t, p.first[1], 0)
	p.clock.Advance(time.Millisecond)
	want(t, <-done, "192.0.2.1")
	wantAsked(t, p.second, 0)
}

// A server hangs, and confirms pings all the same: the silence of its connection is
// no excuse, and it is put in cooldown.
func TestHungServer(t *testing.T) {
	for hedge, after := range map[string]time.Duration{"400ms": 400 * time.Millisecond, "off": 2500 * time.Millisecond} {
		t.Run(hedge, func(t *testing.T) {
			p := startTiered(t, []bool{false, false}, "hedge "+hedge)
			p.ask(2)
			p.first[0].Handle(caddytest.Hang)
			before := waiting("pool.(*exchange).run(")
			for range 7 { // each connection can be at fault for one silence
				asked := len(p.first[0].Requests())
				done := p.begin()
				if len(p.first[0].Requests()) > asked {
					p.clock.Advance(after)
				}
				want(t, <-done, "192.0.2.1")
				for waiting("pool.(*exchange).run(") > before {
					time.Sleep(time.Millisecond)
				}
			}
			if u := p.upstreams()[0]; u.CooldownUntil.IsZero() {
				t.Errorf("the server that hangs is not in cooldown: %+v", u)
			}
		})
	}
}
