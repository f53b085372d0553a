package doh_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// Browsers read answers with parsers of their own, which are stricter than
// most. These are their rules, for answers of every origin.
func TestBrowserRules(t *testing.T) {
	u := caddytest.NewTLSUpstream(t, sloppy)
	port := caddytest.Port(t)
	c := startSecure(t, port, secure(port, up(t, u, "/"), "hosts 127.0.0.1 only.here.test *.only.here.test", "hosts ::1 only.here.test"))
	client, target := c.Client(), fmt.Sprintf("https://localhost:%d/dns-query", port)

	origins := []struct {
		name  string
		asks  string
		rcode int
	}{
		{"upstream", "WWW.Example.org.", dns.RcodeSuccess},
		{"hosts", "Only.Here.test.", dns.RcodeSuccess},
		{"hosts with a wildcard", "a.Only.Here.test.", dns.RcodeSuccess},
		{"a name of ours", "_dns.resolver.ARPA.", dns.RcodeSuccess},
		{"NXDOMAIN", "gone.example.org.", dns.RcodeNameError},
		{"SERVFAIL of the upstream", "Fails.example.org.", dns.RcodeServerFailure},
		{"SERVFAIL of ours", "Cut.example.org.", dns.RcodeServerFailure},
	}
	types := []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeNS, dns.TypeTXT, dns.TypeHTTPS}
	browsers := map[string]struct {
		query func(string, uint16) *dns.Msg
		check func(*testing.T, *dns.Msg, response)
	}{
		"Firefox":  {firefoxQuery, firefoxRules},
		"Chromium": {chromiumQuery, chromiumRules},
	}
	for browser, b := range browsers {
		for _, origin := range origins {
			for _, qtype := range types {
				for method, send := range methods {
					t.Run(strings.Join([]string{browser, origin.name, dns.TypeToString[qtype], method}, "/"), func(t *testing.T) {
						query := b.query(origin.asks, qtype)
						resp := send(t, client, target, pack(t, query))
						b.check(t, query, resp)
						if got := int(resp.body[3] & 0xF); got != origin.rcode {
							t.Errorf("RCODE %d, want %d", got, origin.rcode)
						}
					})
				}
			}
		}
	}

	// Firefox uses a server once a query for NS has RCODE 0, and Chromium adds
	// one when it has an address for google.com.
	t.Run("Firefox/confirmation", func(t *testing.T) {
		query := firefoxQuery("example.com.", dns.TypeNS)
		resp := post(t, client, target, pack(t, query))
		if records := firefoxRecords(t, resp.body); resp.body[3]&0xF != 0 || records[dns.TypeNS] == 0 {
			t.Errorf("RCODE %d, records %v", resp.body[3]&0xF, records)
		}
	})
	t.Run("Chromium/added", func(t *testing.T) {
		query := chromiumQuery("google.com.", dns.TypeA)
		for _, send := range methods {
			resp := send(t, client, target, pack(t, query))
			chromiumRules(t, query, resp)
			if reply := answer(t, query, resp); len(reply.Answer) == 0 {
				t.Errorf("there is no address: %v", reply)
			}
		}
	})
	// Firefox appends its parameter to whatever address it was given.
	t.Run("Firefox/query string", func(t *testing.T) {
		query := firefoxQuery("www.example.org.", dns.TypeA)
		param := "dns=" + base64.RawURLEncoding.EncodeToString(pack(t, query))
		for _, uri := range []string{"?" + param, "?key=value?" + param, "?key=value&" + param, "??" + param} {
			firefoxRules(t, query, do(t, client, http.MethodGet, target+uri, "", nil))
		}
	})
}

// sloppy is an upstream whose answers browsers would refuse: the question is in
// lower case, and bytes stand behind the last record.
func sloppy(w http.ResponseWriter, r *http.Request) {
	caddytest.DoH(func(query *dns.Msg) *dns.Msg {
		asked := &query.Question[0]
		asked.Name = strings.ToLower(asked.Name)
		reply := new(dns.Msg).SetReply(query)
		if asked.Name == "cut.example.org." {
			panic(http.ErrAbortHandler)
		}
		if asked.Name == "fails.example.org." {
			return reply.SetRcode(query, dns.RcodeServerFailure)
		}
		if asked.Name == "gone.example.org." {
			reply.SetRcode(query, dns.RcodeNameError)
			reply.Ns = parse("example.org. 60 IN SOA ns.example.org. nobody.invalid. 1 2 3 4 5")
			return reply
		}
		data := map[uint16]string{
			dns.TypeA: "192.168.1.1", dns.TypeAAAA: "fd00::1", dns.TypeNS: "ns.example.org.",
			dns.TypeTXT: `"v=1" "two strings"`, dns.TypeHTTPS: "1 . alpn=h2,h3 ipv4hint=192.0.2.1",
		}[asked.Qtype]
		reply.Answer = parse(asked.Name+" 300 IN CNAME alias.example.org.",
			"alias.example.org. 300 IN "+dns.TypeToString[asked.Qtype]+" "+data)
		reply.Compress = true
		return reply
	})(trailing{w}, r)
}

func parse(records ...string) []dns.RR {
	var parsed []dns.RR
	for _, record := range records {
		rr, err := dns.NewRR(record)
		if err != nil {
			panic(err)
		}
		parsed = append(parsed, rr)
	}
	return parsed
}

// firefoxQuery is a query as Firefox's resolver makes it: ID 0, a client subnet
// that forbids to pass on the asker's, and padding.
func firefoxQuery(name string, qtype uint16) *dns.Msg {
	q := new(dns.Msg).SetQuestion(name, qtype).SetEdns0(4096, false)
	q.Id = 0
	subnet := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, Address: net.IPv4zero.To4()}
	return padTo128(q, subnet)
}

// chromiumQuery is a query as Chromium makes it: ID 0 and padding.
func chromiumQuery(name string, qtype uint16) *dns.Msg {
	q := new(dns.Msg).SetQuestion(name, qtype).SetEdns0(4096, false)
	q.Id = 0
	return padTo128(q)
}

func padTo128(q *dns.Msg, options ...dns.EDNS0) *dns.Msg {
	padding := new(dns.EDNS0_PADDING)
	opt := q.IsEdns0()
	opt.Option = append(options, padding)
	padding.Padding = make([]byte, 128-q.Len()%128)
	return q
}

func firefoxRules(t *testing.T, _ *dns.Msg, resp response) {
	t.Helper()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != messageType {
		t.Fatalf("status %d, type %q", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	firefoxRecords(t, resp.body)
}

// firefoxRecords walks a message from its first byte to its last, and counts
// the records of each type.
func firefoxRecords(t *testing.T, msg []byte) map[uint16]int {
	t.Helper()
	if len(msg) < 12 || msg[0] != 0 || msg[1] != 0 {
		t.Fatalf("the ID is not 0: %x", msg)
	}
	if msg[2]&0x80 == 0 {
		t.Fatalf("no response: %x", msg)
	}
	word := func(at int) int { return int(binary.BigEndian.Uint16(msg[at:])) }
	skipName := func(at int) int {
		for msg[at] != 0 {
			if msg[at]&0xC0 == 0xC0 {
				return at + 2
			}
			at += 1 + int(msg[at])
		}
		return at + 1
	}
	at := 12
	for range word(4) {
		at = skipName(at) + 4
	}
	records := make(map[uint16]int)
	for range word(6) + word(8) + word(10) {
		at = skipName(at)
		qtype := uint16(word(at))
		if class := word(at + 2); class != dns.ClassINET && qtype != dns.TypeOPT {
			t.Errorf("class %d in a record of type %d", class, qtype)
		}
		records[qtype]++
		at += 10 + word(at+8)
	}
	if at != len(msg) {
		t.Errorf("the records end at %d of %d bytes: %x", at, len(msg), msg)
	}
	return records
}

func chromiumRules(t *testing.T, query *dns.Msg, resp response) {
	t.Helper()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != messageType {
		t.Fatalf("status %d, type %q", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	got, sent := resp.body, pack(t, query)
	if len(got) < 12 || len(got) > 65535 {
		t.Fatalf("%d bytes", len(got))
	}
	if !bytes.Equal(got[:2], sent[:2]) || got[2]&0x80 == 0 || !bytes.Equal(got[4:6], []byte{0, 1}) {
		t.Errorf("ID, flags or number of questions are wrong: %x", got[:12])
	}
	end := 12 + len(query.Question[0].Name) + 1 + 4
	if !bytes.HasPrefix(got[12:], sent[12:end]) {
		t.Errorf("the question is %q, want %q", got[12:], sent[12:end])
	}
	if len(got)%468 != 0 {
		t.Errorf("the query was padded, the answer has %d bytes", len(got))
	}
}
