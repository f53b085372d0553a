package doh_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// pooled is a running doh on a clock that the test turns.
type pooled struct {
	*caddytest.Caddy
	t      *testing.T
	addr   string
	client *http.Client
	asked  atomic.Int64
}

func startPool(t *testing.T, clock *clockwork.FakeClock, storage string, options ...string) *pooled {
	t.Helper()
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, options...), caddytest.WithFakeClock(clock), caddytest.WithStorage(storage))
	return &pooled{Caddy: c, t: t, addr: addr, client: c.Client()}
}

// ask sends n queries for different names and returns the last answer.
func (p *pooled) ask(n int) (last *dns.Msg) {
	p.t.Helper()
	for range n {
		query := question(fmt.Sprintf("www%d.example.", p.asked.Add(1)), dns.TypeA)
		query.SetEdns0(1232, false)
		last = answer(p.t, query, post(p.t, p.client, "http://"+p.addr+"/dns-query", pack(p.t, query)))
	}
	return last
}

// upstreamState is what the admin API says of an upstream.
type upstreamState struct {
	Name     string
	Queries  int64
	Failures int64
	InARow   int `json:"consecutive_failures"`

	CooldownUntil time.Time `json:"cooldown_until"`

	Quota *struct {
		Limit, Used, Left int64
		Renews            time.Time
	}
}

func (p *pooled) upstreams() (states []upstreamState) {
	p.t.Helper()
	_, body := p.Admin(http.MethodGet, "/doh/upstreams")
	if err := json.Unmarshal(body, &states); err != nil {
		p.t.Fatalf("%v: %s", err, body)
	}
	return states
}

func noon() *clockwork.FakeClock {
	return clockwork.NewFakeClockAt(time.Date(2026, 2, 28, 12, 0, 0, 0, time.UTC))
}

func wantAsked(t *testing.T, u *caddytest.Upstream, n int) {
	t.Helper()
	if got := len(u.Requests()); got != n {
		t.Errorf("an upstream was asked %d times, want %d", got, n)
	}
}

// An upstream stops before its limit, the next tier takes over, and the next
// period begins anew on time, in the quota's own zone. The log says so once.
func TestQuota(t *testing.T) {
	small := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	spare := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.2"))
	clock := noon()
	p := startPool(t, clock, t.TempDir(), up(t, small, "/", "quota 10/day Asia/Tokyo", "name small"), up(t, spare, "/", "tier 2"))
	p.ask(7)
	if n := p.Logs.Count("four fifths"); n != 0 {
		t.Errorf("warned after 7 of 10")
	}
	p.ask(13)
	wantAsked(t, small, 10)
	wantAsked(t, spare, 10)
	for _, text := range []string{"four fifths of the quota", "quota of upstream exhausted"} {
		if n := p.Logs.Count(`"level":"warn"`, text, `"upstream":"small"`); n != 1 {
			t.Errorf("%d warnings that %s, want 1", n, text)
		}
	}

	states := p.upstreams()
	if len(states) != 2 {
		t.Fatalf("the upstreams are %+v", states)
	}
	midnight := time.Date(2026, 2, 28, 15, 0, 0, 0, time.UTC) // in Tokyo
	if q := states[0].Quota; q == nil || q.Limit != 10 || q.Used != 10 || q.Left != 0 || !q.Renews.Equal(midnight) {
		t.Errorf("the quota is shown as %+v", q)
	}
	if states[1].Quota != nil {
		t.Errorf("an upstream without a quota has one: %+v", states[1])
	}
	if left := p.Metric(`caddy_doh_quota_remaining{upstream="small"}`); left != 0 {
		t.Errorf("the metric says that %v are left", left)
	}

	clock.Advance(midnight.Sub(clock.Now()))
	p.ask(3)
	wantAsked(t, small, 13)
}

// With all quotas exhausted the answer is SERVFAIL and says why, and nothing is sent.
func TestAllQuotasExhausted(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	p := startPool(t, noon(), t.TempDir(), up(t, u, "/a", "quota 2/month"), up(t, u, "/b", "quota 1/month"))
	p.ask(3)
	reply := p.ask(1)
	if reply.Rcode != dns.RcodeServerFailure {
		t.Errorf("rcode %d", reply.Rcode)
	}
	opt := reply.IsEdns0()
	if opt == nil || len(opt.Option) != 1 || !strings.Contains(opt.Option[0].String(), "quotas of all upstreams are exhausted") {
		t.Errorf("the extended error is %v", opt)
	}
	wantAsked(t, u, 3)
}

// Each query that is sent counts, also the one that fails.
func TestFailuresCount(t *testing.T) {
	bad := caddytest.NewTLSUpstream(t, caddytest.Answer(500, "", ""))
	good := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	p := startPool(t, noon(), t.TempDir(), up(t, bad, "/", "quota 2/month"), up(t, good, "/", "tier 2"))
	p.ask(10)
	wantAsked(t, bad, 2)
	wantAsked(t, good, 10)
}

// Upstreams that name one account share its quota.
func TestSharedAccount(t *testing.T) {
	a := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	b := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.2"))
	spare := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.3"))
	p := startPool(t, noon(), t.TempDir(),
		up(t, a, "/", "quota 10/month family"), up(t, b, "/", "quota 10/month family"), up(t, spare, "/", "tier 2"))
	p.ask(25)
	if n := len(a.Requests()) + len(b.Requests()); n != 10 {
		t.Errorf("the account was used %d times, want 10", n)
	}
	wantAsked(t, spare, 15)
}

// Ten accounts give what they have, and come to their end together.
func TestQuotasAddUp(t *testing.T) {
	const accounts, each = 10, 100
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	var options []string
	for i := range accounts {
		options = append(options, up(t, u, fmt.Sprintf("/account/%d", i), fmt.Sprintf("quota %d/month", each)))
	}
	p := startPool(t, noon(), t.TempDir(), options...)
	p.ask(accounts * each * 9 / 10)
	used := make(map[string]int)
	for _, r := range u.Requests() {
		path, _, _ := strings.Cut(r.URI, "?")
		used[path]++
	}
	// Chance alone would give each 90 ± 9; by quota left it is within a few.
	for path, n := range used {
		if n < 80 || n > each {
			t.Errorf("%s was asked %d times", path, n)
		}
	}
	if len(used) != accounts {
		t.Errorf("%d accounts were used", len(used))
	}
	p.ask(accounts * each / 10)
	if reply := p.ask(1); reply.Rcode != dns.RcodeServerFailure {
		t.Errorf("rcode %d after the last query of the month", reply.Rcode)
	}
	wantAsked(t, u, accounts*each)
}

// Who has more left for the time that is left gets more.
func TestShareByWhatIsLeft(t *testing.T) {
	rich := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	poor := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.2"))
	p := startPool(t, noon(), t.TempDir(), up(t, rich, "/", "quota 300000/month"), up(t, poor, "/", "quota 30000/month"))
	p.ask(440)
	// 400 ± 5 standard deviations of 6
	if n := len(rich.Requests()); n < 370 || n > 430 {
		t.Errorf("the upstream with ten of eleven parts was asked %d times of 440", n)
	}
}

// Counts outlive a reload and a restart, and a change of the quota.
func TestCountsOutliveRestart(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	storage, clock := t.TempDir(), noon()
	limited := up(t, u, "/", "quota 10/month")
	p := startPool(t, clock, storage, limited)
	p.ask(4)
	p.Reload(site(p.addr, "timeout 4s", limited))
	p.client.CloseIdleConnections() // Caddy has closed them
	p.ask(2)
	p.Stop()
	p = startPool(t, clock, storage, limited)
	p.ask(3)
	p.Stop()
	p = startPool(t, clock, storage, up(t, u, "/", "quota 12/month"))
	p.ask(5)
	wantAsked(t, u, 12)
}

func TestRoundRobin(t *testing.T) {
	a := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	b := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.2"))
	p := startPool(t, noon(), t.TempDir(), up(t, a, "/"), up(t, b, "/"), "policy round_robin")
	p.ask(10)
	wantAsked(t, a, 5)
	wantAsked(t, b, 5)
}

// Under a reverse_proxy an upstream stops before its limit as well.
func TestQuotaUnderProxy(t *testing.T) {
	small := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	spare := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.2"))
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, proxy(addr, []string{up(t, small, "/", "quota 3/month"), up(t, spare, "/")}, "lb_policy first"))
	p := &pooled{Caddy: c, t: t, addr: addr, client: c.Client()}
	p.ask(8)
	wantAsked(t, small, 3)
	wantAsked(t, spare, 5)
}
