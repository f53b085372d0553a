package doh_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// One of two upstreams answers with a code that says nothing of the name: no query
// fails, with any policy and method.
func TestUnusableCodes(t *testing.T) {
	faults := map[string]func(*dns.Msg) *dns.Msg{
		"REFUSED, prohibited": caddytest.Rcode(dns.RcodeRefused, int(dns.ExtendedErrorCodeProhibited)),
		"an unknown code":     caddytest.Rcode(13, -1),
		"truncated": func(query *dns.Msg) *dns.Msg {
			m := new(dns.Msg).SetReply(query)
			m.Truncated = true
			return m
		},
		"BADVERS": func(query *dns.Msg) *dns.Msg {
			m := new(dns.Msg).SetReply(query)
			m.SetEdns0(1232, false)
			m.Rcode = dns.RcodeBadVers
			return m
		},
		"BADCOOKIE": func(query *dns.Msg) *dns.Msg {
			m := new(dns.Msg).SetReply(query)
			m.SetEdns0(1232, false)
			m.Rcode = dns.RcodeBadCookie
			return m
		},
	}
	for _, rcode := range []int{dns.RcodeFormatError, dns.RcodeServerFailure, dns.RcodeNotImplemented, dns.RcodeRefused, dns.RcodeYXDomain, dns.RcodeNotAuth} {
		faults[dns.RcodeToString[rcode]] = caddytest.Rcode(rcode, -1)
	}
	for fault, misbehave := range faults {
		for _, policy := range []string{"quota", "random", "fastest", "round_robin"} {
			t.Run(fault+"/"+policy, func(t *testing.T) {
				bad := caddytest.NewDoHUpstream(t, misbehave)
				good := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
				p := startPool(t, clockwork.NewFakeClock(), t.TempDir(), up(t, bad, "/"), up(t, good, "/"), "policy "+policy)
				for i := range 20 {
					for method, send := range methods {
						query := question(fmt.Sprintf("www%d.example.", i), dns.TypeA)
						reply := answer(t, query, send(t, p.client, "http://"+p.addr+"/dns-query", pack(t, query)))
						if reply.Rcode != dns.RcodeSuccess || len(reply.Answer) != 1 {
							t.Errorf("%s: the response is %v", method, reply)
						}
					}
				}
			})
		}
	}
}

// A server that knows no EDNS is asked without it, and that is remembered.
func TestWithoutEDNS(t *testing.T) {
	sound := caddytest.Records(t, "@ 60 IN A 192.0.2.1")
	for name, refuse := range map[string]caddytest.DNSBehaviour{
		"FORMERR": func(e *caddytest.DNSExchange) { e.Send(new(dns.Msg).SetRcode(e.Query, dns.RcodeFormatError)) },
		"FORMERR with a header only": func(e *caddytest.DNSExchange) {
			m := new(dns.Msg).SetRcode(e.Query, dns.RcodeFormatError)
			m.Question = nil
			e.Send(m)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := caddytest.NewDNSServer(t, "udp", sound)
			s.Handle(func(e *caddytest.DNSExchange) {
				if e.Query.IsEdns0() != nil {
					refuse(e)
					return
				}
				e.Answer()
			})
			clock := clockwork.NewFakeClock()
			p := startPool(t, clock, t.TempDir(), "upstream udp://"+s.Addr())
			for i, sent := range []int{2, 3, 4} {
				if reply := p.ask(1); reply.Rcode != dns.RcodeSuccess || len(reply.Answer) != 1 || reply.IsEdns0() == nil {
					t.Errorf("response %d is %v", i+1, reply)
				}
				if n := len(s.Queries()); n != sent {
					t.Errorf("%d queries were sent after %d, want %d", n, i+1, sent)
				}
			}
			clock.Advance(time.Hour)
			p.ask(1)
			if n := len(s.Queries()); n != 6 {
				t.Errorf("%d queries were sent, want EDNS to be tried again after an hour", n)
			}
		})
	}
}

// A server that asks for a pause gets it, also when it is alone: clients have
// SERVFAIL or an old response meanwhile.
func TestRetryAfter(t *testing.T) {
	sound := caddytest.DoH(caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	for name, tiers := range map[string]int{"alone": 1, "beside another": 2} {
		t.Run(name, func(t *testing.T) {
			busy := caddytest.NewTLSUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "120")
				w.WriteHeader(http.StatusTooManyRequests)
			})
			options := []string{up(t, busy, "/", "quota 100/day")}
			if tiers == 2 {
				options = append(options, up(t, caddytest.NewTLSUpstream(t, sound), "/", "tier 2"))
			}
			clock := clockwork.NewFakeClock()
			p := startPool(t, clock, t.TempDir(), options...)
			want := map[int]int{1: dns.RcodeServerFailure, 2: dns.RcodeSuccess}[tiers]
			ask := func(asked int) {
				t.Helper()
				for range 10 {
					if reply := p.ask(1); reply.Rcode != want {
						t.Errorf("the response is %v", reply)
					}
				}
				wantAsked(t, busy, asked)
			}
			ask(1)
			clock.Advance(119 * time.Second)
			ask(1)
			busy.Handle(sound)
			want = dns.RcodeSuccess
			clock.Advance(time.Second)
			ask(11)
			if q := p.upstreams()[0].Quota; q.Used != 11 {
				t.Errorf("%d of the quota are used, want 11", q.Used)
			}
		})
	}
}

// While the only upstream hangs, an old response is waited for once; then all are
// given at once.
func TestStaleAtOnce(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	clock := clockwork.NewFakeClock()
	p := startPool(t, clock, t.TempDir(), up(t, u, "/"), "cache", "timeout 5s")
	for i := range 9 {
		p.send(question(fmt.Sprintf("www%d.example.", i), dns.TypeA))
	}
	clock.Advance(time.Minute)
	u.Handle(caddytest.Hang)
	before := waiting("pool.(*Pool).complete(") // those of other tests, whose clocks stand still
	first := make(chan struct{})
	go func() {
		defer close(first)
		p.send(question("www0.example.", dns.TypeA))
	}()
	for range 10 {
		u.Next(t)
	}
	passed := time.Duration(0)
	for waiting := true; waiting; {
		settle()
		select {
		case <-first:
			waiting = false
		default:
			clock.Advance(100 * time.Millisecond)
			passed += 100 * time.Millisecond
		}
	}
	if passed < 1800*time.Millisecond {
		t.Errorf("the first was waited for %v", passed)
	}
	at := func(name string) {
		t.Helper()
		// The clock stands still: whatever waits never ends.
		if reply, _ := p.send(question(name, dns.TypeA)); len(reply.Answer) != 1 {
			t.Errorf("the response for %s is %v", name, reply)
		}
	}
	at("www0.example.")
	end := func() { // the exchanges
		// The clock is turned no further than needed: the upstream's cooldown
		// must not end.
		for i := 0; waiting("pool.(*Pool).complete(") > before; i++ {
			if i%500 == 0 {
				clock.Advance(5 * time.Second)
			}
			time.Sleep(time.Millisecond)
		}
	}
	end()
	for i := range 9 {
		at(fmt.Sprintf("www%d.example.", i))
	}
	end() // or else the server would wait for them
}

// With `optimistic` an old response is given at once, and renewed.
func TestOptimistic(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	clock := clockwork.NewFakeClock()
	p := startPool(t, clock, t.TempDir(), up(t, u, "/"), "cache {\noptimistic\n}")
	query := question("www.example.", dns.TypeA)
	p.send(query)
	u.Next(t)
	clock.Advance(time.Hour)
	u.Handle(caddytest.DoH(caddytest.Records(t, "@ 60 IN A 192.0.2.2")))
	reply, maxAge := p.send(query)
	if got := reply.Answer[0].(*dns.A); got.A.String() != "192.0.2.1" || got.Hdr.Ttl != 30 || maxAge != "max-age=30" {
		t.Errorf("the response is %v, %s; want the old one for 30 seconds", reply, maxAge)
	}
	u.Next(t)
	for range 1000 {
		if reply, _ = p.send(query); reply.Answer[0].(*dns.A).A.String() == "192.0.2.2" {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if got := reply.Answer[0].(*dns.A).A.String(); got != "192.0.2.2" {
		t.Errorf("the address is %s, want that of the new response", got)
	}
	wantAsked(t, u, 2)
}

// With `prefetch` a popular name is renewed before its time is over, and others
// are not.
func TestPrefetch(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 100 IN A 192.0.2.1"))
	clock := clockwork.NewFakeClock()
	p := startPool(t, clock, t.TempDir(), up(t, u, "/"), "cache {\nprefetch\n}")
	ask := func(name string, times int) {
		for range times {
			p.send(question(name, dns.TypeA))
		}
	}
	ask("popular.example.", 5)
	ask("other.example.", 1)
	wantAsked(t, u, 2)
	before := waiting("pool.(*Pool).complete(")
	clock.Advance(89 * time.Second)
	ask("popular.example.", 1)
	ask("other.example.", 1)
	for waiting("pool.(*Pool).complete(") > before { // renewals run in the background
		time.Sleep(time.Millisecond)
	}
	wantAsked(t, u, 2)
	clock.Advance(2 * time.Second)
	ask("popular.example.", 1)
	ask("other.example.", 1)
	for range 3 {
		u.Next(t)
	}
	wantAsked(t, u, 3)
	if got := u.Requests()[2].DNS(t).Question[0].Name; got != "popular.example." {
		t.Errorf("%s was renewed", got)
	}
}

// A response for all client subnets is shared by all; responses that depend on the
// client are for no HTTP cache.
func TestSubnetScope(t *testing.T) {
	for _, test := range []struct {
		scope uint8
		asked int
	}{{0, 1}, {24, 5}} {
		u := caddytest.NewDoHUpstream(t, func(query *dns.Msg) *dns.Msg {
			m := caddytest.Records(t, "@ 300 IN A 192.0.2.1")(query)
			for _, option := range query.IsEdns0().Option {
				if subnet, ok := option.(*dns.EDNS0_SUBNET); ok {
					subnet.SourceScope = test.scope
					m.IsEdns0().Option = append(m.IsEdns0().Option, subnet)
				}
			}
			return m
		})
		p := startPool(t, clockwork.NewFakeClock(), t.TempDir(), up(t, u, "/"), "cache", "ecs pass")
		for range 2 {
			for i := range 5 {
				query := question("www.example.", dns.TypeA)
				query.SetEdns0(1232, false)
				sent := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.IPv4(198, 51, byte(i), 0).To4()}
				query.IsEdns0().Option = []dns.EDNS0{sent}
				reply, cacheControl := p.send(query)
				if cacheControl != "private, max-age=300" {
					t.Errorf("scope %d: Cache-Control is %q", test.scope, cacheControl)
				}
				got, ok := reply.IsEdns0().Option[0].(*dns.EDNS0_SUBNET)
				if !ok || !got.Address.Equal(sent.Address) || got.SourceScope != test.scope {
					t.Errorf("scope %d: the client subnet of the response is %v, want %v", test.scope, got, sent)
				}
			}
		}
		wantAsked(t, u, test.asked)
		malformed := pack(t, func() *dns.Msg {
			query := question("other.example.", dns.TypeA)
			query.SetEdns0(1232, false)
			query.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_LOCAL{Code: dns.EDNS0SUBNET, Data: []byte{0, 1, 33, 0, 198, 51, 100, 0, 0}}}
			return query
		}())
		if resp := post(t, p.client, "http://"+p.addr+"/dns-query", malformed); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("status %d for a malformed client subnet", resp.StatusCode)
		}
		wantAsked(t, u, test.asked)
	}
}

// Queries that are work and nothing else are refused, and count.
func TestHostileQueries(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	p := startPool(t, noon(), t.TempDir(), up(t, u, "/"), "per_ip 2/minute")
	query := question("www.example.", dns.TypeA)
	query.Answer = []dns.RR{&dns.CNAME{Hdr: dns.RR_Header{Name: "www.example.", Rrtype: dns.TypeCNAME, Class: dns.ClassINET}, Target: "a.example."}}
	hostile := pack(t, query)
	for i, want := range []int{http.StatusBadRequest, http.StatusBadRequest, http.StatusTooManyRequests} {
		if resp := post(t, p.client, "http://"+p.addr+"/dns-query", bytes.Clone(hostile)); resp.StatusCode != want {
			t.Errorf("query %d: status %d, want %d", i+1, resp.StatusCode, want)
		}
	}
	wantAsked(t, u, 0)
}

// Quotas that anybody can use up are warned of.
func TestWarningOfOpenQuotas(t *testing.T) {
	for name, test := range map[string]struct {
		options []string
		warned  int
	}{
		"a quota":             {[]string{"upstream https://a.example/ {\nquota 300000/month\n}"}, 1},
		"no quota":            {[]string{"upstream https://a.example/"}, 0},
		"a limit per address": {[]string{"upstream https://a.example/ {\nquota 300000/month\n}", "per_ip 50/second"}, 0},
		"clients":             {[]string{"upstream https://a.example/ {\nquota 300000/month\n}", "client bob /dns-query/b0b"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := startPool(t, noon(), t.TempDir(), test.options...)
			if n := p.Logs.Count(`"level":"warn"`, "anybody who finds this server"); n != test.warned {
				t.Errorf("%d warnings, want %d", n, test.warned)
			}
		})
	}
}
