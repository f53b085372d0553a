package doh_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// refusing is a pool whose first upstream refuses some queries. The one of the
// second tier answers.
type refusing struct {
	*pooled
	clock  *clockwork.FakeClock
	first  *caddytest.Upstream
	second *caddytest.Upstream
	refuse atomic.Bool
}

func startRefusing(t *testing.T, ede int) *refusing {
	t.Helper()
	p := &refusing{clock: clockwork.NewFakeClock()}
	answers, refuses := caddytest.Records(t, "@ 60 IN A 192.0.2.1"), caddytest.Rcode(dns.RcodeRefused, ede)
	p.first = caddytest.NewDoHUpstream(t, func(query *dns.Msg) *dns.Msg {
		if p.refuse.Load() {
			return refuses(query)
		}
		return answers(query)
	})
	p.second = caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.2"))
	p.pooled = startPool(t, p.clock, t.TempDir(), up(t, p.first, "/", "name first"), up(t, p.second, "/", "tier 2"))
	return p
}

// wantRefused checks that queries are refused.
func (p *refusing) wantRefused(n int) {
	p.t.Helper()
	for range n {
		if reply := p.ask(1); reply.Rcode != dns.RcodeRefused {
			p.t.Fatalf("the response is %v, want REFUSED", reply)
		}
	}
}

// wantNamed checks whether the first upstream is in cooldown and named in the log.
func (p *refusing) wantNamed(named bool) {
	p.t.Helper()
	if got := !p.upstreams()[0].CooldownUntil.IsZero(); got != named {
		p.t.Errorf("in cooldown: %v, want %v", got, named)
	}
	if got := p.Logs.Count(`"level":"warn"`, "refuses all queries", "first") == 1; got != named {
		p.t.Errorf("named in the log: %v, want %v", got, named)
	}
}

// An account that has never answered refuses everything: no query fails, and it is
// put in cooldown and named in the log.
func TestRefusingAccount(t *testing.T) {
	p := startRefusing(t, -1)
	p.refuse.Store(true)
	for n := range 3 {
		p.wantNamed(false)
		want(t, p.ask(1), "192.0.2.2")
		wantAsked(t, p.first, n+1)
	}
	p.wantNamed(true)
	want(t, p.ask(1), "192.0.2.2")
	wantAsked(t, p.first, 3)
}

// An upstream that has just answered others refuses some names, as filters do:
// nobody else is asked for these.
func TestRefusingFilter(t *testing.T) {
	p := startRefusing(t, -1)
	for range 5 {
		p.refuse.Store(false)
		want(t, p.ask(1), "192.0.2.1")
		p.refuse.Store(true)
		p.clock.Advance(59 * time.Second)
		p.wantRefused(4)
	}
	wantAsked(t, p.second, 0)
	// It is a while since it has answered.
	p.clock.Advance(time.Second)
	want(t, p.ask(1), "192.0.2.2")
	p.wantNamed(false)
}

// An account expires while it is in use: after some queries it is no filter.
func TestExpiredAccount(t *testing.T) {
	p := startRefusing(t, -1)
	want(t, p.ask(1), "192.0.2.1")
	p.refuse.Store(true)
	p.wantRefused(10)
	for range 5 {
		want(t, p.ask(1), "192.0.2.2")
	}
	p.wantNamed(true)
}

// A filter that says so is believed at once, and is in order.
func TestRefusedByFilter(t *testing.T) {
	for _, ede := range []uint16{dns.ExtendedErrorCodeBlocked, dns.ExtendedErrorCodeCensored, dns.ExtendedErrorCodeFiltered} {
		p := startRefusing(t, int(ede))
		p.refuse.Store(true)
		p.wantRefused(15)
		wantAsked(t, p.second, 0)
		p.wantNamed(false)
	}
}
