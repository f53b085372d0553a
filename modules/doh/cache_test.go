package doh_test

import (
	"fmt"
	"net"
	"net/http"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// send sends a query and returns the answer and its max-age.
func (p *pooled) send(query *dns.Msg) (*dns.Msg, string) {
	p.t.Helper()
	resp := post(p.t, p.client, "http://"+p.addr+"/dns-query", pack(p.t, query))
	return answer(p.t, query, resp), resp.Header.Get("Cache-Control")
}

// An answer is kept as long as it says, grows older, and is given to each
// asker in their letter case, with their ID and padded as they wish.
func TestCache(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 300 IN CNAME other.example.", "other.example. 60 IN A 192.0.2.1"))
	clock := clockwork.NewFakeClock()
	p := startPool(t, clock, t.TempDir(), up(t, u, "/"), "cache")
	for i, step := range []struct {
		pass  time.Duration
		name  string
		edns  bool
		asked int // times in all
		ttls  string
	}{
		{0, "www.example.", false, 1, "300 60"},
		{0, "WWW.eXample.", false, 1, "300 60"},
		{20 * time.Second, "www.Example.", false, 1, "280 40"},
		{0, "wwW.example.", true, 1, "280 40"},
		{39 * time.Second, "www.example.", false, 1, "241 1"},
		{time.Second, "www.example.", false, 2, "300 60"},
		{10 * time.Second, "WWw.example.", true, 2, "290 50"},
	} {
		clock.Advance(step.pass)
		query := question(step.name, dns.TypeA)
		query.Id = uint16(i + 1)
		if step.edns {
			query.SetEdns0(1232, false)
			query.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_PADDING{Padding: make([]byte, 20)}}
		}
		reply, maxAge := p.send(query)
		wantAsked(t, u, step.asked)
		ttls := fmt.Sprint(reply.Answer[0].Header().Ttl, " ", reply.Answer[1].Header().Ttl)
		if ttls != step.ttls || maxAge != "max-age="+strings.Fields(ttls)[1] {
			t.Errorf("step %d: the TTLs are %s and %s, want %s", i+1, ttls, maxAge, step.ttls)
		}
		if size := reply.Len(); (size == 468) != step.edns {
			t.Errorf("step %d: the answer has %d bytes", i+1, size)
		}
	}
	for series, want := range map[string]float64{`{result="hit"}`: 5, `{result="miss"}`: 2} {
		if n := p.Metric("caddy_doh_cache_total" + series); n < want {
			t.Errorf("%s is %v, want %v or more", series, n, want)
		}
	}
}

// What a response depends on keeps it apart from others, and nothing else does.
func TestCacheKey(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 300 IN A 192.0.2.1", "@ 300 IN AAAA 2001:db8::1"))
	p := startPool(t, clockwork.NewFakeClock(), t.TempDir(), up(t, u, "/"), "cache")
	option := func(options ...dns.EDNS0) func(*dns.Msg) {
		return func(m *dns.Msg) {
			m.SetEdns0(1232, false)
			m.IsEdns0().Option = options
		}
	}
	apart := []func(*dns.Msg){
		func(*dns.Msg) {},
		func(m *dns.Msg) { m.CheckingDisabled = true },
		func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAAAA },
		func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS },
		func(m *dns.Msg) { m.Question[0].Name = "w.example." },
		func(m *dns.Msg) { m.SetEdns0(1232, true) },
		func(m *dns.Msg) { m.SetEdns0(1232, true); m.CheckingDisabled = true },
	}
	together := []func(*dns.Msg){
		func(m *dns.Msg) { m.Question[0].Name = "WWW.example." },
		func(m *dns.Msg) { m.RecursionDesired = false },
		func(m *dns.Msg) { m.AuthenticatedData = true },
		option(),
		option(&dns.EDNS0_PADDING{Padding: make([]byte, 20)}),
		option(&dns.EDNS0_NSID{Code: dns.EDNS0NSID}),
		option(&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0011223344556677"}),
		option(&dns.EDNS0_LOCAL{Code: 65001, Data: []byte{0x00, 0x11, 0x22, 0x33, 0x44, 0x55}}), // add-mac of dnsmasq
		option(&dns.EDNS0_LOCAL{Code: 65073, Data: []byte("device")}, &dns.EDNS0_LOCAL{Code: 19}),
		option(&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.IPv4(192, 0, 2, 0)}),
	}
	for range 2 {
		for _, change := range slices.Concat(apart, together) {
			query := question("www.example.", dns.TypeA)
			change(query)
			reply, _ := p.send(query)
			if reply.RecursionDesired != query.RecursionDesired {
				t.Errorf("RD is %v in the response to %v", reply.RecursionDesired, query)
			}
			if (reply.IsEdns0() != nil) != (query.IsEdns0() != nil) {
				t.Errorf("the EDNS record is %v in the response to %v", reply.IsEdns0(), query)
			}
		}
	}
	wantAsked(t, u, len(apart))
	for _, seen := range u.Requests() {
		for _, sent := range seen.DNS(t).IsEdns0().Option {
			if sent.Option() != dns.EDNS0PADDING {
				t.Errorf("the upstream was sent the option %d", sent.Option())
			}
		}
	}
}

// AD is for those who ask for it, by AD or by DO (RFC 6840, section 5.8).
func TestAuthenticatedData(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, func(query *dns.Msg) *dns.Msg {
		m := caddytest.Records(t, "@ 300 IN A 192.0.2.1")(query)
		m.AuthenticatedData = query.AuthenticatedData
		return m
	})
	p := startPool(t, clockwork.NewFakeClock(), t.TempDir(), up(t, u, "/"), "cache")
	for _, test := range []struct{ ad, do, want bool }{
		{false, false, false}, {true, false, true}, {false, true, true}, {true, true, true}, {false, false, false},
	} {
		query := question("www.example.", dns.TypeA)
		query.AuthenticatedData = test.ad
		query.SetEdns0(1232, test.do)
		if reply, _ := p.send(query); reply.AuthenticatedData != test.want {
			t.Errorf("AD %v, DO %v: AD is %v in the response", test.ad, test.do, reply.AuthenticatedData)
		}
	}
	wantAsked(t, u, 2)
}

// Denials are kept for as long as their SOA says (RFC 2308), failures and denials
// without a SOA for a moment, and what has a TTL of 0 not at all.
func TestCacheTimes(t *testing.T) {
	const soa = "example. 900 IN SOA ns.example. admin.example. 1 2 3 4 50"
	reply := func(rcode int, sections ...string) func(*dns.Msg) *dns.Msg {
		return func(query *dns.Msg) *dns.Msg {
			m := new(dns.Msg).SetRcode(query, rcode)
			for i, s := range sections {
				if s == "" {
					continue
				}
				rr, err := dns.NewRR(s)
				if err != nil {
					panic(err)
				}
				if i == 0 {
					m.Answer = append(m.Answer, rr)
				} else {
					m.Ns = append(m.Ns, rr)
				}
			}
			return m
		}
	}
	for name, test := range map[string]struct {
		answer  func(*dns.Msg) *dns.Msg
		options string
		lasts   time.Duration // 0: not kept
	}{
		"an answer":            {reply(0, "www.example. 60 A 192.0.2.1"), "", time.Minute},
		"TTL 0":                {reply(0, "www.example. 0 A 192.0.2.1"), "", 0},
		"TTL 0 with min_ttl":   {reply(0, "www.example. 0 A 192.0.2.1"), "min_ttl 2m", 0},
		"a TTL beyond 31 bits": {reply(0, "www.example. 2147483648 A 192.0.2.1"), "min_ttl 2m", 0},
		"min_ttl":              {reply(0, "www.example. 1 A 192.0.2.1"), "min_ttl 2m", 2 * time.Minute},
		"max_ttl":              {reply(0, "www.example. 86400 A 192.0.2.1"), "max_ttl 1h", time.Hour},
		"the longest":          {reply(0, "www.example. 999999 A 192.0.2.1"), "", 24 * time.Hour},
		"NXDOMAIN":             {reply(dns.RcodeNameError, "", soa), "", 50 * time.Second},
		"NODATA":               {reply(0, "", soa), "", 50 * time.Second},
		"NODATA without SOA":   {reply(0), "min_ttl 2m", 5 * time.Second},
		"CNAME without SOA":    {reply(0, "www.example. 60 CNAME a.example."), "", 5 * time.Second},
		"NXDOMAIN without SOA": {reply(dns.RcodeNameError), "min_ttl 2m", 5 * time.Second},
		"SERVFAIL":             {reply(dns.RcodeServerFailure), "min_ttl 2m", 5 * time.Second},
		"REFUSED":              {reply(dns.RcodeRefused), "", 5 * time.Second},
		"truncated": {func(q *dns.Msg) *dns.Msg {
			m := reply(0, "www.example. 60 A 192.0.2.1")(q)
			m.Truncated = true
			return m
		}, "", 0},
		"the cache is off":       {reply(0, "www.example. 60 A 192.0.2.1"), "off", 0},
		"DNSSEC fails, for once": {caddytest.Rcode(dns.RcodeServerFailure, 6), "", 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			u := caddytest.NewDoHUpstream(t, test.answer)
			clock := clockwork.NewFakeClock()
			options := "cache {\n" + test.options + "\n}"
			if test.options == "off" {
				options = "cache off"
			}
			p := startPool(t, clock, t.TempDir(), up(t, u, "/"), options)
			query := question("www.example.", dns.TypeA)
			_, maxAge := p.send(query)
			p.send(query)
			if test.lasts == 0 {
				wantAsked(t, u, 2)
				return
			}
			if want := fmt.Sprintf("max-age=%d", test.lasts/time.Second); maxAge != want && test.lasts != 5*time.Second {
				t.Errorf("%s, want %s", maxAge, want)
			}
			clock.Advance(test.lasts - time.Second)
			p.send(query)
			wantAsked(t, u, 1)
			clock.Advance(time.Second)
			p.send(query)
			wantAsked(t, u, 2)
		})
	}
}

// When no upstream answers, an old answer is better than none. It says that it
// is old, and the upstreams are asked again from time to time.
func TestStale(t *testing.T) {
	for _, fault := range []string{"500", "SERVFAIL", "hang"} {
		t.Run(fault, func(t *testing.T) {
			u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
			clock := clockwork.NewFakeClock()
			p := startPool(t, clock, t.TempDir(), up(t, u, "/"), "cache {\nstale 1h\n}", "timeout 3s")
			query := question("www.example.", dns.TypeA)
			query.SetEdns0(1232, false)
			p.send(query)
			u.Next(t)
			before := waiting("pool.(*Pool).complete(")
			clock.Advance(time.Minute)
			u.Handle(caddytest.DoHFaults()[fault])
			ask := func(hangs bool) (*dns.Msg, string) {
				t.Helper()
				if !hangs {
					return p.send(query)
				}
				type result struct {
					reply  *dns.Msg
					maxAge string
				}
				done := make(chan result, 1)
				go func() {
					reply, maxAge := p.send(query)
					done <- result{reply, maxAge}
				}()
				u.Next(t) // its timer runs
				if err := clock.BlockUntilContext(t.Context(), 2); err != nil {
					t.Fatal(err)
				}
				clock.Advance(1800 * time.Millisecond)
				r := <-done
				return r.reply, r.maxAge
			}
			reply, maxAge := ask(fault == "hang")
			if len(reply.Answer) != 1 || reply.Answer[0].Header().Ttl != 30 || maxAge != "max-age=30" {
				t.Fatalf("the old answer is %v, %s", reply, maxAge)
			}
			if ede, ok := reply.IsEdns0().Option[0].(*dns.EDNS0_EDE); !ok || ede.InfoCode != dns.ExtendedErrorCodeStaleAnswer {
				t.Errorf("it does not say that it is old: %v", reply)
			}
			if fault == "hang" {
				for waiting("pool.(*Pool).complete(") > before {
					clock.Advance(time.Second)
					time.Sleep(time.Millisecond)
				}
				u.WaitLeft(t)
				return
			}
			asked := len(u.Requests())
			p.send(query)
			clock.Advance(29 * time.Second)
			p.send(query)
			wantAsked(t, u, asked)
			clock.Advance(time.Second)
			p.send(query)
			if len(u.Requests()) == asked {
				t.Error("the upstream was not asked again")
			}
			clock.Advance(time.Hour)
			if reply, _ := p.send(query); reply.Rcode != dns.RcodeServerFailure {
				t.Errorf("after an hour the answer is %v", reply)
			}
			u.Handle(caddytest.DoH(caddytest.Records(t, "@ 60 IN A 192.0.2.2")))
			clock.Advance(30 * time.Second)
			if reply, _ := p.send(query); len(reply.Answer) != 1 || reply.Answer[0].(*dns.A).A.String() != "192.0.2.2" {
				t.Errorf("the new answer is %v", reply)
			}
		})
	}
}

// Identical questions under way share one exchange, whatever their letter case
// is; with the cache turned off, too.
func TestSharedExchange(t *testing.T) {
	for _, options := range []string{"cache", "cache off"} {
		t.Run(options, func(t *testing.T) {
			hold := make(chan struct{})
			sound := caddytest.DoH(caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
			u := caddytest.NewTLSUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				<-hold
				sound(w, r)
			})
			p := startPool(t, clockwork.NewFakeClock(), t.TempDir(), up(t, u, "/"), options, "hedge off")
			shared := p.Metric(`caddy_doh_cache_total{result="shared"}`)
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					query := question([]string{"www.example.", "WWW.example."}[i%2], dns.TypeA)
					query.Id = uint16(i)
					p.send(query)
				})
			}
			u.Next(t)
			for waiting("pool.(*Pool).Resolve(") < 20 {
				time.Sleep(time.Millisecond)
			}
			close(hold)
			wg.Wait()
			wantAsked(t, u, 1)
			if n := p.Metric(`caddy_doh_cache_total{result="shared"}`) - shared; n != 19 {
				t.Errorf("%v questions shared the exchange, want 19", n)
			}
		})
	}
}

// waiting returns how many goroutines are in a function.
func waiting(function string) int {
	var stacks strings.Builder
	_ = pprof.Lookup("goroutine").WriteTo(&stacks, 2)
	return strings.Count(stacks.String(), function)
}

// settle waits until nothing happens any more: in several looks in a row all
// goroutines but the caller's wait for something. So a fake clock is turned only when
// nothing else is left to do, however slow the machine is.
func settle() {
	for quiet := 0; quiet < 10; quiet++ {
		time.Sleep(2 * time.Millisecond)
		var stacks strings.Builder
		_ = pprof.Lookup("goroutine").WriteTo(&stacks, 2)
		if strings.Count(stacks.String(), " [running")+strings.Count(stacks.String(), " [runnable") > 1 {
			quiet = 0
		}
	}
}

// Answers outlive a reload, as long as the upstreams stay.
func TestCacheOutlivesReload(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 300 IN A 192.0.2.1"))
	line := up(t, u, "/")
	p := startPool(t, clockwork.NewFakeClock(), t.TempDir(), line, "cache")
	query := question("www.example.", dns.TypeA)
	p.send(query)
	p.Reload(site(p.addr, line, "cache", "hedge 1s"))
	p.client.CloseIdleConnections()
	p.send(query)
	wantAsked(t, u, 1)
	p.Reload(site(p.addr, strings.Replace(line, "{", "{\nweight 2\n", 1), "cache", "hedge 1s"))
	p.client.CloseIdleConnections()
	p.send(query)
	wantAsked(t, u, 2)
}

// The cache keeps within its bounds, and serves 64 clients at once.
func TestCacheBounds(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 300 IN A 192.0.2.1"))
	p := startPool(t, clockwork.NewFakeClock(), t.TempDir(), up(t, u, "/"), "cache 50")
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for i := range 30 {
				query := question(fmt.Sprintf("www%d.example.", i%10), dns.TypeA)
				if reply, _ := p.send(query); len(reply.Answer) != 1 || reply.Answer[0].Header().Name != query.Question[0].Name {
					t.Errorf("the answer to %v is %v", query.Question, reply)
				}
			}
		})
	}
	wg.Wait()
	if n := len(u.Requests()); n < 10 || n > 40 {
		t.Errorf("the upstream was asked %d times for ten names", n)
	}
	before := len(u.Requests())
	p.ask(500)
	p.asked.Store(0)
	p.ask(500)
	if n := len(u.Requests()) - before; n < 900 {
		t.Errorf("of a thousand queries %d were kept by a cache of 50", 1000-n)
	}
}
