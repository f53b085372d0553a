package doh_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// proxy is a Caddyfile with a hand-written reverse_proxy at addr.
func proxy(addr string, upstreams []string, options ...string) string {
	return fmt.Sprintf(`http://%s {
	log
	reverse_proxy /dns-query {
		dynamic doh {
			%s
		}
		transport doh
		%s
	}
}
`, addr, strings.Join(upstreams, "\n\t\t\t"), strings.Join(options, "\n\t\t"))
}

// Two accounts on one host are told apart, whatever the policy.
func TestProxyAccounts(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 300 IN A 10.0.0.7"))
	addr := caddytest.Addr(t)
	accounts := []string{up(t, u, "/account/1?x=1"), up(t, u, "/account/2")}
	for _, policy := range []string{"", "lb_policy random", "lb_policy round_robin", "lb_policy first", "lb_policy least_conn", "lb_policy ip_hash"} {
		t.Run(policy, func(t *testing.T) {
			c := caddytest.Start(t, proxy(addr, accounts, policy))
			seen := make(map[string]int)
			for range 20 {
				for _, send := range methods {
					query := question("WwW.eXample.", dns.TypeA)
					resp := send(t, c.Client(), "http://"+addr+"/dns-query", pack(t, query))
					if reply := answer(t, query, resp); len(reply.Answer) != 1 {
						t.Fatalf("the answer is %v", reply)
					}
					if got := resp.Header.Get("Cache-Control"); got != "max-age=300" {
						t.Errorf("Cache-Control: %s", got)
					}
					got := u.Next(t)
					if asked := got.DNS(t); asked.Id != 0 || asked.Question[0] != query.Question[0] {
						t.Errorf("the upstream was asked %v", asked)
					}
					if got.Method != http.MethodGet || got.Host != u.Addr() || len(got.Header["X-Forwarded-For"])+len(got.Header["Via"]) > 0 {
						t.Errorf("the upstream received %+v", got)
					}
					path, rawQuery, _ := strings.Cut(got.URI, "?")
					if strings.HasPrefix(rawQuery, "x=1") != (path == "/account/1") {
						t.Errorf("the upstream received %s", got.URI)
					}
					seen[path]++
				}
			}
			if seen["/account/1"]+seen["/account/2"] != 40 {
				t.Errorf("the accounts were asked %v", seen)
			}
			if (policy == "" || policy == "lb_policy random" || policy == "lb_policy round_robin") && len(seen) != 2 {
				t.Errorf("the accounts were asked %v", seen)
			}
		})
	}
}

// One of two accounts is faulty and chosen first: no query fails, with Caddy's
// retries or without.
func TestProxyFaults(t *testing.T) {
	const hedge = 50 * time.Millisecond
	for fault, misbehave := range caddytest.DoHFaults() {
		bad := caddytest.NewTLSUpstream(t, misbehave)
		good := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
		accounts := []string{up(t, bad, "/bad"), up(t, good, "/good"), fmt.Sprintf("hedge %v", hedge)}
		for _, options := range [][]string{
			{"lb_policy first"},
			{"lb_policy first", "lb_retries 1"},
			{"lb_policy first", "lb_try_duration 2s", "lb_try_interval 1ms"},
			{"lb_policy first", "lb_retries 2", "fail_duration 10s"},
		} {
			t.Run(fault+"/"+strings.Join(options, ", "), func(t *testing.T) {
				addr := caddytest.Addr(t)
				clock := clockwork.NewFakeClock()
				c := caddytest.Start(t, proxy(addr, accounts, options...), caddytest.WithFakeClock(clock))
				for method, send := range methods {
					query := question("www.example.", dns.TypeA)
					msg := pack(t, query)
					reply := answer(t, query, askFaulty(t, clock, bad, hangs[fault], hedge, func() response {
						return send(t, c.Client(), "http://"+addr+"/dns-query", msg)
					}))
					if len(reply.Answer) != 1 || reply.Answer[0].(*dns.A).A.String() != "192.0.2.1" {
						t.Errorf("%s: the answer is %v", method, reply)
					}
				}
			})
		}
		if len(bad.Requests()) < 4 {
			t.Errorf("%s: the faulty upstream was asked %d times", fault, len(bad.Requests()))
		}
	}
}

// With Caddy's retries a failure counts for passive health checks.
func TestProxyPassiveHealth(t *testing.T) {
	bad := caddytest.NewTLSUpstream(t, caddytest.Answer(http.StatusTooManyRequests, "", ""))
	good := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, proxy(addr, []string{up(t, bad, "/"), up(t, good, "/")},
		"lb_policy first", "lb_retries 1", "fail_duration 1h"))
	for range 5 {
		query := question("www.example.", dns.TypeA)
		answer(t, query, post(t, c.Client(), "http://"+addr+"/dns-query", pack(t, query)))
	}
	if n := len(bad.Requests()); n != 1 {
		t.Errorf("the faulty upstream was asked %d times, want once", n)
	}
}

// When all accounts fail, the answer is SERVFAIL, and Caddy has no error to log. Each
// attempt takes three seconds of the transport's clock, so that it finds the time of
// lb_try_duration over. The proxy has a clock of its own, by which no time passes.
func TestProxyAllFail(t *testing.T) {
	clock := clockwork.NewFakeClock()
	u := caddytest.NewTLSUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		clock.Advance(3 * time.Second)
		caddytest.Reset(w, r)
	})
	for _, option := range []string{"", "lb_retries 3", "lb_try_duration 10m\n\t\tlb_try_interval 1ms"} {
		t.Run(option, func(t *testing.T) {
			addr := caddytest.Addr(t)
			accounts := []string{up(t, u, "/1"), up(t, u, "/2"), "timeout 20m"}
			c := caddytest.Start(t, proxy(addr, accounts, option), caddytest.WithFakeClock(clock))
			query := question("www.example.", dns.TypeA)
			if reply := answer(t, query, get(t, c.Client(), "http://"+addr+"/dns-query", pack(t, query))); reply.Rcode != dns.RcodeServerFailure {
				t.Errorf("the answer is %v", reply)
			}
			if c.Logs.Count(`"level":"error"`) > 0 {
				t.Errorf("the log has an error: %s", c.Logs)
			}
		})
	}
}

// Tiers hold under a reverse_proxy too, and resolver.arpa stays here.
func TestProxyTiers(t *testing.T) {
	first := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	spare := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.2"))
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, proxy(addr, []string{up(t, first, "/"), up(t, spare, "/", "tier 2")}, "lb_retries 2"),
		caddytest.WithFakeClock(clockwork.NewFakeClock()))
	ask := func(name string) *dns.Msg {
		query := question(name, dns.TypeA)
		return answer(t, query, post(t, c.Client(), "http://"+addr+"/dns-query", pack(t, query)))
	}
	for range 10 {
		ask("www.example.")
	}
	if len(first.Requests()) != 10 || len(spare.Requests()) != 0 {
		t.Errorf("tier 1 was asked %d times, tier 2 %d times", len(first.Requests()), len(spare.Requests()))
	}
	ask("_dns.resolver.arpa.")
	if len(first.Requests()) != 10 {
		t.Error("resolver.arpa was forwarded")
	}
	first.Handle(caddytest.Reset)
	if reply := ask("www.example."); reply.Answer[0].(*dns.A).A.String() != "192.0.2.2" {
		t.Errorf("the answer is %v", reply)
	}
}

// Requests that hold no query are refused as the directive does.
func TestProxyRefusals(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t))
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, proxy(addr, []string{up(t, u, "/")}, "lb_retries 2"))
	target := "http://" + addr + "/dns-query"
	msg := pack(t, question("www.example.", dns.TypeA))
	for _, test := range []struct {
		method, query, typ string
		body               []byte
		status             int
	}{
		{"GET", "", "", nil, 400},
		{"GET", "?dns=AAAA", "", nil, 400},
		{"POST", "", "text/plain", msg, 415},
		{"POST", "", messageType + "; x=y", msg, 200},
		{"POST", "", messageType, make([]byte, 70_000), 413},
		{"PUT", "", messageType, msg, 405},
		{"HEAD", "?dns=" + base64.RawURLEncoding.EncodeToString(msg), "", nil, 200},
	} {
		resp := do(t, c.Client(), test.method, target+test.query, test.typ, test.body)
		if resp.StatusCode != test.status || (resp.Header.Get("Allow") != "") != (test.status == 405) {
			t.Errorf("%s %s: status %d, want %d", test.method, test.query, resp.StatusCode, test.status)
		}
		if test.method == "HEAD" && (len(resp.body) > 0 || resp.Header.Get("Content-Length") != fmt.Sprint(len(msg))) {
			t.Errorf("HEAD: %d bytes, %v", len(resp.body), resp.Header)
		}
	}
	if n := len(u.Requests()); n != 2 {
		t.Errorf("%d requests were forwarded, want 2", n)
	}
}

// Source and transport belong together.
func TestProxyHalves(t *testing.T) {
	for name, options := range map[string]string{
		"need `transport doh`":              "dynamic doh {\n\t\t\tupstream https://dns.example/\n\t\t}",
		"needs upstreams from `dynamic doh": "to 127.0.0.1:1\n\t\ttransport doh",
	} {
		err := caddytest.Validate(fmt.Sprintf("http://127.0.0.1:1 {\n\treverse_proxy {\n\t\t%s\n\t}\n}\n", options))
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("the error is %v, want %s", err, name)
		}
	}
}
