package doh

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
	"github.com/caddy-freetier/caddy-freetier/modules/doh/pool"
)

func newQuery(t testing.TB, name string, qtype uint16, edns ...dns.EDNS0) (*dns.Msg, *dnsmsg.Query) {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, qtype)
	m.Id = 0x1234
	if edns != nil {
		m.SetEdns0(4096, true)
		m.IsEdns0().Option = edns
	}
	packed, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	q, err := dnsmsg.ParseQuery(packed)
	if err != nil {
		t.Fatal(err)
	}
	m.Id = 0
	return m, q
}

func pack(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	packed, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

func rr(t testing.TB, s string) dns.RR {
	t.Helper()
	record, err := dns.NewRR(s)
	if err != nil {
		t.Fatal(err)
	}
	return record
}

func TestGETTooLarge(t *testing.T) {
	if bad := readURL(new(dnsmsg.Query), "dns="+strings.Repeat("A", 87382)); bad != errTooLarge {
		t.Errorf("%v, want status 413", bad)
	}
}

func TestHostNames(t *testing.T) {
	h, err := newHosts([]*Host{
		{IP: "192.0.2.1", Names: []string{"Demo.Test", "*.demo.test"}},
		{IP: "192.0.2.2", Names: []string{"www.demo.test."}},
		{IP: "2001:db8::1", Names: []string{"*.demo.test"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		"demo.test.":       "192.0.2.1",
		"x.DEMO.test.":     "192.0.2.1 2001:db8::1",
		"a.b.demo.test.":   "192.0.2.1 2001:db8::1",
		"www.demo.test.":   "192.0.2.2",
		"a.www.demo.test.": "192.0.2.1 2001:db8::1",
		"xdemo.test.":      "-",
		"test.":            "-",
		".":                "-",
	}
	for name, want := range tests {
		_, q := newQuery(t, name, dns.TypeA)
		var buf [dnsmsg.MaxName]byte
		ips, ok := h.addrs(q.Name(&buf))
		var got []string
		for _, ip := range ips {
			got = append(got, ip.String())
		}
		if !ok {
			got = []string{"-"}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s is %v, want %s", name, got, want)
		}
	}
	for _, bad := range []string{"", ".", "a..b", "*", "a.*.b", "*.", "a b.test", strings.Repeat("a", 64), strings.Repeat("a.", 128), "http://x"} {
		if _, err := newHosts([]*Host{{IP: "192.0.2.1", Names: []string{bad}}}); err == nil {
			t.Errorf("the name %q was accepted", bad)
		}
	}
}

func TestResolverArpa(t *testing.T) {
	for name, want := range map[string]int{
		"resolver.arpa.":      0,
		"_dns.Resolver.ARPA.": 5,
		"xresolver.arpa.":     -1,
		"arpa.":               -1,
		".":                   -1,
		// A label that ends like the zone in wire format.
		`a\008resolver.arpa.`: -1,
	} {
		_, q := newQuery(t, name, dns.TypeA)
		var buf [dnsmsg.MaxName]byte
		if got := dnsmsg.Within(q.Name(&buf), resolverArpa); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
}

// Our own replies unpack, whatever was asked.
func FuzzQuery(f *testing.F) {
	for _, m := range seeds(f) {
		f.Add(m)
	}
	h, err := newHosts([]*Host{{IP: "192.0.2.1", Names: []string{"*.example"}}, {IP: "2001:db8::1", Names: []string{"*.example"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		asked := bytes.Clone(msg)
		q, err := dnsmsg.ParseQuery(msg)
		if err != nil {
			return
		}
		if !bytes.Equal(q.Raw, asked) {
			t.Fatalf("%x became %x", asked, q.Raw)
		}
		var buf [dnsmsg.MaxName]byte
		name := q.Name(&buf)
		for _, a := range []*dnsmsg.Response{protocol(q, name), localResponse(q, name), h.resolve(q, name), pool.Unanswered(q, errors.New("no upstream"))} {
			if a == nil {
				continue
			}
			got := a.Render(q, 0)
			if !bytes.Equal(got[:2], asked[:2]) || !bytes.Equal(got[dnsmsg.HeaderLen:dnsmsg.HeaderLen+len(q.Question)], q.Question) {
				t.Errorf("%x is answered with %x", asked, got)
			}
			if q.Padded && len(got)%dnsmsg.PadResponse != 0 {
				t.Errorf("%d bytes are not padded", len(got))
			}
			if err := new(dns.Msg).Unpack(got); err != nil {
				t.Errorf("%v in %x", err, got)
			}
		}
	})
}

func FuzzURL(f *testing.F) {
	for _, m := range seeds(f) {
		f.Add("dns=" + base64.RawURLEncoding.EncodeToString(m))
		f.Add("a=b?dns=" + base64.URLEncoding.EncodeToString(m))
	}
	f.Add("dns=%41%zz&dns=")
	f.Fuzz(func(t *testing.T, raw string) {
		var q dnsmsg.Query
		if bad := readURL(&q, raw); bad == nil && len(q.Raw) > dnsmsg.MaxMessage {
			t.Errorf("%d bytes", len(q.Raw))
		}
	})
}

func seeds(t testing.TB) [][]byte {
	plain := new(dns.Msg).SetQuestion("WWW.example.", dns.TypeA)
	root := new(dns.Msg).SetQuestion(".", dns.TypeNS)
	arpa := new(dns.Msg).SetQuestion("_dns.resolver.arpa.", dns.TypeSVCB)
	padded := new(dns.Msg).SetQuestion("x.example.", dns.TypeAAAA)
	padded.SetEdns0(1232, true)
	padded.IsEdns0().Option = []dns.EDNS0{
		&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.IPv4(192, 0, 2, 0)},
		&dns.EDNS0_PADDING{Padding: make([]byte, 20)},
	}
	notify := new(dns.Msg).SetNotify("example.")
	notify.Answer = []dns.RR{rr(t, "example. 60 SOA ns.example. admin.example. 1 2 3 4 5"), rr(t, "example. 60 MX 1 mx.example.")}
	var all [][]byte
	for _, m := range []*dns.Msg{plain, root, arpa, padded, notify} {
		all = append(all, pack(t, m))
	}
	return all
}
