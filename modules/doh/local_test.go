package doh_test

import (
	"net/http"
	"testing"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// What is answered here never reaches an upstream.
func TestLocalAnswers(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN TXT forwarded"))
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, up(t, u, "/"),
		"hosts 192.0.2.1 demo.test *.demo.test", "hosts 192.0.2.2 demo.test", "hosts 2001:db8::1 demo.test"))
	tests := []struct {
		name    string
		qtype   uint16
		rcode   int
		answers []string
	}{
		{"Demo.Test.", dns.TypeA, dns.RcodeSuccess, []string{"192.0.2.1", "192.0.2.2"}},
		{"demo.test.", dns.TypeAAAA, dns.RcodeSuccess, []string{"2001:db8::1"}},
		{"a.b.demo.test.", dns.TypeA, dns.RcodeSuccess, []string{"192.0.2.1"}},
		{"a.demo.test.", dns.TypeAAAA, dns.RcodeSuccess, nil},
		{"demo.test.", dns.TypeHTTPS, dns.RcodeSuccess, nil},
		{"demo.test.", dns.TypeMX, dns.RcodeSuccess, nil},
		{"_dns.resolver.arpa.", dns.TypeSVCB, dns.RcodeSuccess, nil},
		{"_dns.Resolver.Arpa.", dns.TypeA, dns.RcodeSuccess, nil},
		{"resolver.arpa.", dns.TypeNS, dns.RcodeSuccess, nil},
		{"x.y.resolver.arpa.", dns.TypeTXT, dns.RcodeSuccess, nil},
	}
	for _, test := range tests {
		t.Run(test.name+dns.TypeToString[test.qtype], func(t *testing.T) {
			query := question(test.name, test.qtype)
			resp := get(t, c.Client(), "http://"+addr+"/dns-query", pack(t, query))
			reply := answer(t, query, resp)
			if reply.Rcode != test.rcode || len(reply.Answer) != len(test.answers) {
				t.Fatalf("the answer is %v", reply)
			}
			for i, want := range test.answers {
				if got := reply.Answer[i].String(); dns.Field(reply.Answer[i], 1) != want || reply.Answer[i].Header().Name != test.name {
					t.Errorf("record %d is %s, want %s", i, got, want)
				}
			}
			if len(test.answers) == 0 {
				if len(reply.Ns) != 1 || reply.Ns[0].Header().Rrtype != dns.TypeSOA {
					t.Errorf("an empty answer without SOA: %v", reply)
				}
			}
			if got := resp.Header.Get("Cache-Control"); got != "max-age=60" {
				t.Errorf("Cache-Control: %s", got)
			}
		})
	}
	if n := len(u.Requests()); n != 0 {
		t.Errorf("%d queries were forwarded", n)
	}

	query := question("xdemo.test.", dns.TypeTXT)
	if reply := answer(t, query, post(t, c.Client(), "http://"+addr+"/dns-query", pack(t, query))); len(reply.Answer) != 1 {
		t.Errorf("another name is answered with %v", reply)
	}

	update := question("example.", dns.TypeSOA)
	update.Opcode = dns.OpcodeUpdate
	if reply := answer(t, update, post(t, c.Client(), "http://"+addr+"/dns-query", pack(t, update))); reply.Rcode != dns.RcodeNotImplemented {
		t.Errorf("an update is answered with %v", reply)
	}
}

// Without upstreams, other names are refused.
func TestOnlyHosts(t *testing.T) {
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, "hosts 192.0.2.1 demo.test"))
	query := question("www.example.", dns.TypeA)
	if reply := answer(t, query, post(t, c.Client(), "http://"+addr+"/dns-query", pack(t, query))); reply.Rcode != dns.RcodeRefused {
		t.Errorf("the answer is %v", reply)
	}
}

// With clients, only their paths answer.
func TestClientPaths(t *testing.T) {
	t.Setenv("BOB", "b0b")
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, "hosts 192.0.2.1 demo.test",
		"client alice /dns-query/s3cret", "client bob /dns-query/{env.BOB}"))
	msg := pack(t, question("demo.test.", dns.TypeA))
	for path, status := range map[string]int{
		"/dns-query/s3cret": http.StatusOK,
		"/dns-query/b0b":    http.StatusOK,
		"/dns-query/S3CRET": http.StatusNotFound, // Caddy's path matcher knows no case
		"/dns-query":        http.StatusNotFound,
		"/dns-query/":       http.StatusNotFound,
		"/dns-query/eve":    http.StatusNotFound,
	} {
		if resp := post(t, c.Client(), "http://"+addr+path, msg); resp.StatusCode != status {
			t.Errorf("%s: status %d, want %d", path, resp.StatusCode, status)
		}
	}
}
