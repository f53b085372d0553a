package doh_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// hangs are the faults that only the hedge gets over.
var hangs = map[string]bool{"hang": true, "hang in the answer": true}

// One of two upstreams is faulty and is always asked first. The clock stands
// still, so that an answer comes without any waiting, or after the hedge and
// not a moment later.
func TestFaultsTakeNoTime(t *testing.T) {
	for fault, misbehave := range caddytest.DoHFaults() {
		t.Run(fault, func(t *testing.T) {
			bad := caddytest.NewTLSUpstream(t, misbehave)
			good := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
			clock := clockwork.NewFakeClock()
			addr := caddytest.Addr(t)
			options := []string{up(t, bad, "/"), up(t, good, "/", "tier 2")}
			if hangs[fault] {
				// The hedge does not go into the next tier.
				options = []string{up(t, bad, "/", "weight 1000000"), up(t, good, "/")}
			}
			c := caddytest.Start(t, site(addr, options...), caddytest.WithFakeClock(clock))
			for method, send := range methods {
				query := question("www.example.", dns.TypeA)
				done := make(chan response, 1)
				go func() { done <- send(t, c.Client(), "http://"+addr+"/dns-query", pack(t, query)) }()
				bad.Next(t)
				if hangs[fault] {
					if err := clock.BlockUntilContext(t.Context(), 1); err != nil {
						t.Fatal(err)
					}
					select {
					case <-done:
						t.Fatal("answered before the hedge")
					default:
					}
					clock.Advance(400 * time.Millisecond)
				}
				reply := answer(t, query, <-done)
				if reply.Rcode != dns.RcodeSuccess || len(reply.Answer) != 1 || reply.Answer[0].(*dns.A).A.String() != "192.0.2.1" {
					t.Errorf("%s: the answer is %v", method, reply)
				}
				good.Next(t)
			}
			if hangs[fault] {
				bad.WaitLeft(t)
			}
		})
	}
}

// askFaulty sends a query by send and returns the response. If the faulty upstream
// hangs, the clock is turned by the hedge once it has the query, and only then.
func askFaulty(t *testing.T, clock *clockwork.FakeClock, bad *caddytest.Upstream, hangs bool, hedge time.Duration, send func() response) response {
	t.Helper()
	asked := len(bad.Requests())
	done := make(chan response, 1)
	go func() { done <- send() }()
	for turned := false; ; {
		select {
		case resp := <-done:
			return resp
		case <-time.After(time.Millisecond):
		}
		if hangs && !turned && len(bad.Requests()) > asked {
			turned = true
			clock.Advance(hedge)
		}
	}
}

// One of two equal upstreams is faulty: with each policy every query is answered,
// and takes no longer than the hedge, if the faulty one hangs, and the good upstream.
func TestFaultsAmongEquals(t *testing.T) {
	const (
		queries = 4
		hedge   = 50 * time.Millisecond
	)
	faults := caddytest.DoHFaults()
	faults["slow"] = caddytest.Slow(time.Minute, caddytest.DoH(caddytest.Records(t, "@ 60 IN A 192.0.2.99")))
	for fault, misbehave := range faults {
		for _, policy := range []string{"quota", "random", "fastest", "round_robin"} {
			t.Run(fault+"/"+policy, func(t *testing.T) {
				bad := caddytest.NewTLSUpstream(t, misbehave)
				good := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
				clock := clockwork.NewFakeClock()
				// The weight makes it certain that the faulty one is asked.
				p := startPool(t, clock, t.TempDir(), up(t, bad, "/", "weight 1000"), up(t, good, "/"),
					fmt.Sprintf("hedge %v", hedge), "timeout 30s", "policy "+policy)
				for i := range queries {
					for _, send := range methods {
						query := question(fmt.Sprintf("www%d.example.", i), dns.TypeA)
						msg := pack(t, query)
						reply := answer(t, query, askFaulty(t, clock, bad, hangs[fault] || fault == "slow", hedge, func() response {
							return send(t, p.client, "http://"+p.addr+"/dns-query", msg)
						}))
						if len(reply.Answer) != 1 || reply.Answer[0].(*dns.A).A.String() != "192.0.2.1" {
							t.Fatalf("answer %d is %v", i, reply)
						}
					}
				}
				if len(bad.Requests()) == 0 {
					t.Error("the faulty upstream was never asked")
				}
			})
		}
	}
}

func TestAllUpstreamsFail(t *testing.T) {
	broken := caddytest.NewTLSUpstream(t, caddytest.Answer(http.StatusTooManyRequests, "", ""))
	hanging := caddytest.NewTLSUpstream(t, caddytest.Hang)
	withEDNS := question("www.example.", dns.TypeA)
	withEDNS.SetEdns0(1232, true)
	tests := []struct {
		name   string
		bad    []*caddytest.Upstream
		code   uint16
		option string
	}{
		{"broken", []*caddytest.Upstream{broken}, dns.ExtendedErrorCodeNetworkError, ""},
		{"hanging", []*caddytest.Upstream{hanging}, dns.ExtendedErrorCodeNoReachableAuthority, "timeout 100ms"},
		{"both", []*caddytest.Upstream{broken, hanging}, dns.ExtendedErrorCodeNoReachableAuthority, "timeout 100ms\n\t\thedge 10ms"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			addr, options := caddytest.Addr(t), []string{test.option}
			for _, u := range test.bad {
				options = append(options, up(t, u, "/"))
			}
			c := caddytest.Start(t, site(addr, options...))
			for _, query := range []*dns.Msg{question("www.example.", dns.TypeA), withEDNS} {
				resp := post(t, c.Client(), "http://"+addr+"/dns-query", pack(t, query))
				reply := answer(t, query, resp)
				if reply.Rcode != dns.RcodeServerFailure || !reply.RecursionAvailable || !reply.RecursionDesired {
					t.Errorf("the answer is %v, want SERVFAIL", reply)
				}
				if got := resp.Header.Get("Cache-Control"); got != "max-age=0" {
					t.Errorf("Cache-Control: %s", got)
				}
				opt := reply.IsEdns0()
				if query.IsEdns0() == nil {
					if opt != nil {
						t.Errorf("EDNS in the answer to a query without: %v", opt)
					}
					continue
				}
				if opt == nil || len(opt.Option) != 1 || !opt.Do() {
					t.Fatalf("the EDNS record is %v", opt)
				}
				if ede := opt.Option[0].(*dns.EDNS0_EDE); ede.InfoCode != test.code || ede.ExtraText == "" {
					t.Errorf("the extended error is %v, want code %d", ede, test.code)
				}
			}
		})
	}
}

func TestServfail(t *testing.T) {
	const dnssec = int(dns.ExtendedErrorCodeDNSBogus)
	servfail := func(ede int) func(*dns.Msg) *dns.Msg { return caddytest.Rcode(dns.RcodeServerFailure, ede) }
	good := caddytest.Records(t, "@ 60 IN A 192.0.2.1")
	tests := []struct {
		name     string
		upstream []func(*dns.Msg) *dns.Msg
		rcode    int
		asked    []int
	}{
		{"tried elsewhere", []func(*dns.Msg) *dns.Msg{servfail(-1), good}, dns.RcodeSuccess, []int{1, 1}},
		{"with a network error", []func(*dns.Msg) *dns.Msg{servfail(int(dns.ExtendedErrorCodeNetworkError)), good}, dns.RcodeSuccess, []int{1, 1}},
		{"tried elsewhere only once", []func(*dns.Msg) *dns.Msg{servfail(-1), servfail(-1), good}, dns.RcodeServerFailure, []int{1, 1, 0}},
		{"DNSSEC failed", []func(*dns.Msg) *dns.Msg{servfail(dnssec), good}, dns.RcodeServerFailure, []int{1, 0}},
		{"alone", []func(*dns.Msg) *dns.Msg{servfail(-1)}, dns.RcodeServerFailure, []int{1}},
		{"NXDOMAIN is an answer", []func(*dns.Msg) *dns.Msg{caddytest.Rcode(dns.RcodeNameError, -1), good}, dns.RcodeNameError, []int{1, 0}},
		{"REFUSED by a filter", []func(*dns.Msg) *dns.Msg{caddytest.Rcode(dns.RcodeRefused, int(dns.ExtendedErrorCodeFiltered)), good}, dns.RcodeRefused, []int{1, 0}},
		{"SERVFAIL by a filter", []func(*dns.Msg) *dns.Msg{servfail(int(dns.ExtendedErrorCodeBlocked)), good}, dns.RcodeServerFailure, []int{1, 0}},
		{"REFUSED by all", []func(*dns.Msg) *dns.Msg{caddytest.Rcode(dns.RcodeRefused, -1), caddytest.Rcode(dns.RcodeRefused, -1)}, dns.RcodeRefused, []int{1, 1}},
		{"different codes", []func(*dns.Msg) *dns.Msg{caddytest.Rcode(dns.RcodeNotImplemented, -1), servfail(-1), good}, dns.RcodeSuccess, []int{1, 1, 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var (
				options []string
				all     []*caddytest.Upstream
			)
			for i, answer := range test.upstream {
				u := caddytest.NewDoHUpstream(t, answer)
				all = append(all, u)
				options = append(options, up(t, u, "/", "tier "+string(rune('1'+i))))
			}
			addr := caddytest.Addr(t)
			c := caddytest.Start(t, site(addr, options...))
			query := question("www.example.", dns.TypeA)
			reply := answer(t, query, post(t, c.Client(), "http://"+addr+"/dns-query", pack(t, query)))
			if reply.Rcode != test.rcode {
				t.Errorf("the answer is %v, want %s", reply, dns.RcodeToString[test.rcode])
			}
			for i, u := range all {
				if got := len(u.Requests()); got != test.asked[i] {
					t.Errorf("upstream %d was asked %d times, want %d", i+1, got, test.asked[i])
				}
			}
		})
	}
}

// The upstream closes its connections between queries.
func TestClosedConnection(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, up(t, u, "/")))
	for range 10 {
		query := question("www.example.", dns.TypeA)
		if reply := answer(t, query, post(t, c.Client(), "http://"+addr+"/dns-query", pack(t, query))); len(reply.Answer) != 1 {
			t.Fatalf("the answer is %v", reply)
		}
		u.CloseClientConnections()
	}
}

// A connection that breaks costs a retry, and not the answer.
func TestBrokenConnection(t *testing.T) {
	u := caddytest.NewTLSUpstream(t, caddytest.Sequence(caddytest.Reset,
		caddytest.DoH(caddytest.Records(t, "@ 60 IN A 192.0.2.1"))))
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, up(t, u, "/")))
	query := question("www.example.", dns.TypeA)
	if reply := answer(t, query, post(t, c.Client(), "http://"+addr+"/dns-query", pack(t, query))); len(reply.Answer) != 1 {
		t.Errorf("the answer is %v", reply)
	}
}

// The weights are the shares, and no upstream is asked twice for a query.
func TestWeights(t *testing.T) {
	const queries = 400
	heavy := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	light := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.2"))
	spare := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.3"))
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, up(t, heavy, "/", "weight 3"), up(t, light, "/"), up(t, spare, "/", "tier 2"), "policy random", "hedge off"))
	client := c.Client()
	for range queries {
		query := question("www.example.", dns.TypeA)
		answer(t, query, post(t, client, "http://"+addr+"/dns-query", pack(t, query)))
	}
	// 300 ± 5 standard deviations of 8.7
	if n := len(heavy.Requests()); n < 256 || n > 344 {
		t.Errorf("the upstream of weight 3 of 4 was asked %d times of %d", n, queries)
	}
	if n := len(heavy.Requests()) + len(light.Requests()); n != queries {
		t.Errorf("%d queries were sent to tier 1, want %d", n, queries)
	}
	if n := len(spare.Requests()); n != 0 {
		t.Errorf("tier 2 was asked %d times", n)
	}
}

// The upstream's host is reached by its bootstrap address, and proves its name.
func TestBootstrap(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	_, port, _ := strings.Cut(u.Addr(), ":")
	addr := caddytest.Addr(t)
	options := []string{
		"upstream https://example.com:" + port + "/x {",
		"\tbootstrap 127.0.0.2 127.0.0.1", // nothing listens on the first
		"\theader X-Name value",
		"\ttls_ca " + u.CAFile(t),
		"}",
	}
	c := caddytest.Start(t, site(addr, options...))
	query := question("www.example.", dns.TypeA)
	if reply := answer(t, query, post(t, c.Client(), "http://"+addr+"/dns-query", pack(t, query))); len(reply.Answer) != 1 {
		t.Fatalf("the answer is %v", reply)
	}
	if seen := u.Next(t); seen.Host != "example.com:"+port || seen.Header.Get("X-Name") != "value" {
		t.Errorf("the upstream saw the host %s and the header %v", seen.Host, seen.Header)
	}
}

// An upstream whose certificate nobody vouches for is not asked.
func TestUntrusted(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, "upstream "+u.URL+"/"))
	query := question("www.example.", dns.TypeA)
	reply := answer(t, query, post(t, c.Client(), "http://"+addr+"/dns-query", pack(t, query)))
	if reply.Rcode != dns.RcodeServerFailure || len(u.Requests()) != 0 {
		t.Errorf("the answer is %v", reply)
	}
}
