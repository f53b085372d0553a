package localname_test

import (
	"testing"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/domainset"
	"github.com/caddy-freetier/caddy-freetier/internal/localname"
)

func classify(t testing.TB, name string, qtype uint16) (localname.Kind, string) {
	t.Helper()
	wire, err := domainset.Wire(name)
	if err != nil {
		t.Fatal(err)
	}
	kind, zone := localname.Classify([]byte(wire), qtype)
	text, _, err := dns.UnpackDomainName([]byte(wire), zone)
	if err != nil {
		t.Fatal(err)
	}
	return kind, text
}

// none stands for a zone that is not compared.
const none = ""

var classes = []struct {
	name  string
	qtype uint16
	kind  localname.Kind
	zone  string
}{
	// Reverse zones.
	{"1.2.3.10.in-addr.arpa", dns.TypePTR, localname.NXDomain, "10.in-addr.arpa."},
	{"1.0.16.172.in-addr.arpa", dns.TypePTR, localname.NXDomain, "16.172.in-addr.arpa."},
	{"1.0.31.172.in-addr.arpa", dns.TypePTR, localname.NXDomain, "31.172.in-addr.arpa."},
	{"1.0.15.172.in-addr.arpa", dns.TypePTR, localname.Public, none},
	{"1.0.32.172.in-addr.arpa", dns.TypePTR, localname.Public, none},
	{"10.1.168.192.in-addr.arpa", dns.TypePTR, localname.NXDomain, "168.192.in-addr.arpa."},
	{"b._dns-sd._udp.0.1.168.192.in-addr.arpa", dns.TypePTR, localname.NXDomain, "168.192.in-addr.arpa."},
	{"1.1.254.169.in-addr.arpa", dns.TypePTR, localname.NXDomain, none},
	{"1.1.64.100.in-addr.arpa", dns.TypePTR, localname.NXDomain, none},
	{"1.1.127.100.in-addr.arpa", dns.TypePTR, localname.NXDomain, none},
	{"1.1.63.100.in-addr.arpa", dns.TypePTR, localname.Public, none},
	{"1.1.128.100.in-addr.arpa", dns.TypePTR, localname.Public, none},
	{"8.8.8.8.in-addr.arpa", dns.TypePTR, localname.Public, none},
	{"1.0.0.127.in-addr.arpa", dns.TypePTR, localname.Localhost, "127.in-addr.arpa."},
	{"1.0.0.127.in-addr.arpa", dns.TypeTXT, localname.NoData, none},
	{"2.0.0.127.in-addr.arpa", dns.TypePTR, localname.NXDomain, none},
	{"10.in-addr.arpa", dns.TypeSOA, localname.NoData, "10.in-addr.arpa."},
	{"1.0.0.d.f.ip6.arpa", dns.TypePTR, localname.NXDomain, "d.f.ip6.arpa."},
	{"1.c.f.ip6.arpa", dns.TypePTR, localname.NXDomain, none},
	{"1.8.e.f.ip6.arpa", dns.TypePTR, localname.NXDomain, none},
	{"1.b.e.f.ip6.arpa", dns.TypePTR, localname.NXDomain, none},
	{"1.c.e.f.ip6.arpa", dns.TypePTR, localname.Public, none},
	{"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa", dns.TypePTR, localname.Localhost, none},
	{"8.8.8.8.0.6.8.4.1.0.0.2.ip6.arpa", dns.TypePTR, localname.Public, none},
	{"in-addr.arpa", dns.TypeNS, localname.Public, none},
	{"arpa", dns.TypeNS, localname.Public, none},
	{"ipv4only.arpa", dns.TypeAAAA, localname.Public, none},

	// Reserved names.
	{"localhost", dns.TypeA, localname.Loopback, "localhost."},
	{"app.localhost", dns.TypeAAAA, localname.Loopback, "localhost."},
	{"localhost", dns.TypeHTTPS, localname.NoData, none},
	{"app.localhost", dns.TypeMX, localname.NoData, none},
	{"printer.local", dns.TypeA, localname.NXDomain, "local."},
	{"_ipp._tcp.local", dns.TypePTR, localname.NXDomain, "local."},
	{"x.onion", dns.TypeA, localname.NXDomain, "onion."},
	{"x.invalid", dns.TypeA, localname.NXDomain, none},
	{"x.test", dns.TypeA, localname.NXDomain, none},
	{"tv.home.arpa", dns.TypeA, localname.NXDomain, "home.arpa."},
	{"home.arpa", dns.TypeSOA, localname.NoData, "home.arpa."},
	{"x.internal", dns.TypeHTTPS, localname.NXDomain, none},
	{"x.alt", dns.TypeA, localname.NXDomain, none},
	{"pc.lan", dns.TypeA, localname.NXDomain, none},
	{"x.corp", dns.TypeA, localname.NXDomain, none},
	{"x.home", dns.TypeA, localname.NXDomain, none},
	{"use-application-dns.net", dns.TypeA, localname.NXDomain, "use-application-dns.net."},
	{"x.use-application-dns.net", dns.TypeA, localname.NXDomain, none},
	{"192.168.1.1", dns.TypeA, localname.NXDomain, none},

	// Single labels.
	{"nas", dns.TypeA, localname.NXDomain, "nas."},
	{"wpad", dns.TypeHTTPS, localname.NXDomain, none},
	{"isatap", dns.TypeA, localname.NXDomain, none},
	{"lan", dns.TypeA, localname.NXDomain, none},
	{"lan", dns.TypeDS, localname.Public, none},
	{"com", dns.TypeDS, localname.Public, none},
	{"com", dns.TypeNS, localname.Public, none},
	{"xn--p1ai", dns.TypeNS, localname.Public, none},
	{"ai", dns.TypeA, localname.Public, none},
	{".", dns.TypeNS, localname.Public, none},

	// All others.
	{"www.example.com", dns.TypeA, localname.Public, none},
	{"example", dns.TypeA, localname.NXDomain, none},
	{"www.example", dns.TypeA, localname.Public, none},
	{"local.example.com", dns.TypeA, localname.Public, none},
	{"mylocal.net", dns.TypeA, localname.Public, none},
	{"x.localhosts", dns.TypeA, localname.Public, none},
}

func TestClassify(t *testing.T) {
	for _, tc := range classes {
		kind, zone := classify(t, tc.name, tc.qtype)
		if kind != tc.kind {
			t.Errorf("%s %s: kind %d, want %d", tc.name, dns.TypeToString[tc.qtype], kind, tc.kind)
		}
		if tc.zone != none && zone != tc.zone {
			t.Errorf("%s: zone %s, want %s", tc.name, zone, tc.zone)
		}
	}
}

func BenchmarkClassify(b *testing.B) {
	wire, err := domainset.Wire("www.example.com")
	if err != nil {
		b.Fatal(err)
	}
	name := []byte(wire)
	b.ReportAllocs()
	for b.Loop() {
		localname.Classify(name, dns.TypeA)
	}
}
