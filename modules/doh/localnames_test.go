package doh_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// ask asks by POST and returns the response.
func ask(t testing.TB, c *caddytest.Caddy, addr, name string, qtype uint16) *dns.Msg {
	t.Helper()
	query := question(name, qtype)
	return answer(t, query, post(t, c.Client(), "http://"+addr+"/dns-query", pack(t, query)))
}

// text returns the data of the first record in the answer section, or the
// response code.
func text(reply *dns.Msg) string {
	if len(reply.Answer) == 0 {
		return dns.RcodeToString[reply.Rcode]
	}
	return dns.Field(reply.Answer[0], 1)
}

// Names that no public resolver knows stay here.
func TestLocalNames(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN TXT forwarded"))
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, up(t, u, "/"), "local_names on", "hosts 192.168.1.10 nas.lan box.lan", "hosts fd00::10 nas.lan"))
	for _, tc := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"1.2.3.10.in-addr.arpa.", dns.TypePTR, "NXDOMAIN"},
		{"1.1.16.172.in-addr.arpa.", dns.TypePTR, "NXDOMAIN"},
		{"11.1.168.192.in-addr.arpa.", dns.TypePTR, "NXDOMAIN"},
		{"b._dns-sd._udp.0.1.168.192.in-addr.arpa.", dns.TypePTR, "NXDOMAIN"},
		{"1.1.254.169.in-addr.arpa.", dns.TypePTR, "NXDOMAIN"},
		{"1.1.64.100.in-addr.arpa.", dns.TypePTR, "NXDOMAIN"},
		{"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.", dns.TypePTR, "NXDOMAIN"},
		{"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.e.f.ip6.arpa.", dns.TypePTR, "NXDOMAIN"},
		{"x.onion.", dns.TypeA, "NXDOMAIN"},
		{"Printer.Local.", dns.TypeA, "NXDOMAIN"},
		{"x.invalid.", dns.TypeA, "NXDOMAIN"},
		{"x.test.", dns.TypeA, "NXDOMAIN"},
		{"tv.home.arpa.", dns.TypeA, "NXDOMAIN"},
		{"pc.lan.", dns.TypeA, "NXDOMAIN"},
		{"x.internal.", dns.TypeHTTPS, "NXDOMAIN"},
		{"x.corp.", dns.TypeA, "NXDOMAIN"},
		{"x.alt.", dns.TypeA, "NXDOMAIN"},
		{"wpad.", dns.TypeA, "NXDOMAIN"},
		{"nas.", dns.TypeAAAA, "NXDOMAIN"},
		{"isatap.", dns.TypeA, "NXDOMAIN"},
		{"192.168.1.1.", dns.TypeA, "NXDOMAIN"},
		{"use-application-dns.net.", dns.TypeA, "NXDOMAIN"},
		{"localhost.", dns.TypeA, "127.0.0.1"},
		{"localhost.", dns.TypeAAAA, "::1"},
		{"app.LOCALHOST.", dns.TypeA, "127.0.0.1"},
		{"1.0.0.127.in-addr.arpa.", dns.TypePTR, "localhost."},

		// hosts come first.
		{"nas.lan.", dns.TypeA, "192.168.1.10"},
		{"10.1.168.192.in-addr.arpa.", dns.TypePTR, "nas.lan."},
		{"0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.", dns.TypePTR, "nas.lan."},
		{"10.1.168.192.in-addr.arpa.", dns.TypeTXT, "NOERROR"},
	} {
		reply := ask(t, c, addr, tc.name, tc.qtype)
		if got := text(reply); got != tc.want {
			t.Errorf("%s %s: got %s, want %s", tc.name, dns.TypeToString[tc.qtype], got, tc.want)
		}
		if soa := len(reply.Ns) == 1 && reply.Ns[0].Header().Rrtype == dns.TypeSOA; soa != (len(reply.Answer) == 0) {
			t.Errorf("%s: the authority section is %v", tc.name, reply.Ns)
		}
	}
	if n := len(u.Requests()); n != 0 {
		t.Fatalf("%d queries were forwarded", n)
	}
	for name, qtype := range map[string]uint16{
		"www.example.com.": dns.TypeTXT, "8.8.8.8.in-addr.arpa.": dns.TypePTR, "com.": dns.TypeNS, "lan.": dns.TypeDS, "nolan.example.": dns.TypeA,
	} {
		ask(t, c, addr, name, qtype)
		if got := u.Next(t).DNS(t).Question[0].Name; got != name {
			t.Errorf("the upstream was asked for %s, want %s", got, name)
		}
	}
}

// By default local names are for upstreams that may know them, and for no others.
func TestLocalNamesDefault(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Rcode(dns.RcodeNameError, -1))
	private := up(t, u, "/")
	for _, tc := range []struct {
		options []string
		local   bool
	}{
		{[]string{private}, false},
		{[]string{private, "local_names on"}, true},
		{[]string{private, "upstream https://dns.example/dns-query {\ntier 2\n}"}, true},
		{[]string{private, "upstream https://dns.example/dns-query {\ntier 2\n}", "local_names off"}, false},
		{[]string{private, "upstream https://dns.example/dns-query {\ntier 2\nbootstrap 192.168.1.1\n}"}, false},
		{[]string{private, "upstream https://router.lan/dns-query {\ntier 2\n}"}, false},
		{[]string{private, "upstream udp://192.0.2.1 {\ntier 2\n}"}, true},
		{[]string{private, "upstream system {\ntier 2\n}"}, false},
		{[]string{private, "upstream tls://[fd00::1] {\ntier 2\n}"}, false},
	} {
		addr := caddytest.Addr(t)
		c := caddytest.Start(t, site(addr, tc.options...))
		before := len(u.Requests())
		ask(t, c, addr, "printer.local.", dns.TypeA)
		if local := len(u.Requests()) == before; local != tc.local {
			t.Errorf("%v: answered here %v, want %v", tc.options[1:], local, tc.local)
		}
		c.Stop()
	}
}

// writeSettled writes a file whose last change is long enough ago that it is read again.
func writeSettled(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ago := time.Now().Add(-time.Minute)
	if err := os.Chtimes(path, ago, ago); err != nil {
		t.Fatal(err)
	}
}

// Names go to the upstreams of the longest match.
func TestFor(t *testing.T) {
	server := func(text string) string {
		s := caddytest.NewDNSServer(t, "udp", caddytest.Records(t, "@ 60 IN TXT "+text))
		return "{\nupstream udp://" + s.Addr() + "\n}"
	}
	list := filepath.Join(t.TempDir(), "list.txt")
	write := func(lines string) { t.Helper(); writeSettled(t, list, lines) }
	write("listed.example\ndeep.office.lan\nserver=/dnsmasq.example/192.0.2.1\n")
	public := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN TXT public"))
	addr := caddytest.Addr(t)
	clock := clockwork.NewFakeClock()
	c := caddytest.Start(t, site(addr, up(t, public, "/"), "local_names on",
		"hosts 192.0.2.1 given.lan",
		"for office.lan xn--bcher-kva.example "+server("office"),
		"for lan *.corp 10.in-addr.arpa 192.168.0.0/16 "+server("lan"),
		"for file "+list+" "+server("listed")), caddytest.WithFakeClock(clock))
	check := func(name, want string) {
		t.Helper()
		if got := text(ask(t, c, addr, name, dns.TypeTXT)); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	check("lan.", "lan")
	check("pc.LAN.", "lan")
	check("a.corp.", "lan")
	check("corp.", "NXDOMAIN")
	check("3.2.1.10.in-addr.arpa.", "lan")
	check("1.1.168.192.in-addr.arpa.", "lan")
	check("1.1.16.172.in-addr.arpa.", "NXDOMAIN")
	check("office.lan.", "office")
	check("x.office.lan.", "office")
	check("x.deep.office.lan.", "listed")
	check("www.xn--bcher-kva.example.", "office")
	check("given.lan.", "NOERROR")
	check("a.listed.example.", "listed")
	check("dnsmasq.example.", "listed")
	check("new.example.", "public")
	check("plan.example.", "public")

	write("new.example\nnot a name\n")
	clock.Advance(6 * time.Second)
	c.Logs.Wait(t, "file read again")
	c.Logs.Wait(t, "ignoring malformed lines of the file", `"first_line":2`)
	check("www.new.example.", "listed")
	check("b.listed.example.", "public")
}

func TestForMistakes(t *testing.T) {
	for options, want := range map[string]string{
		"for lan":                                  "for needs an upstream in its block",
		"for lan {\n}":                             "for needs an upstream in its block",
		"for {\nupstream system\n}":                "write: for <name...>",
		"for a..b {\nupstream system\n}":           "a name consists of labels",
		"for 10.0.0.0/9 {\nupstream system\n}":     "networks of 8, 16, 24 or 32 bits",
		"for file {\nupstream system\n}":           "file needs the path",
		"for lan Lan. {\nupstream system\n}":       "Lan. is listed twice",
		"for lan {\nupstream system\n}\nfor lan {": "lan is listed twice",
		"for lan {\npolicy random\n}":              "unknown option policy of for",
		"hosts file":                               "write: hosts <ip> <name...>",
		"hosts file /a /b":                         "the path of one hosts file",
		"local_names maybe":                        `"maybe" is not one of on and off`,
		"filter mx":                                `"mx" is not one of a, aaaa, https and svcb`,
		"rebind_protection a..b":                   "a name consists of labels",
		"for lan {\nupstream nonsense\n}":          "an upstream is an address like",
		"query_log all":                            "write: query_log [names]",
	} {
		_, err := caddytest.Adapt(site("127.0.0.1:1", "upstream https://dns.example/", options))
		if err == nil || !contains(err.Error(), want, "Caddyfile:") {
			t.Errorf("%s: got %v, want %s", options, err, want)
		}
	}
	for _, options := range []string{"hosts file /no/such/file", "for file /no/such/file {\nupstream system\n}"} {
		if err := caddytest.Validate(site("127.0.0.1:1", "upstream https://dns.example/", options)); err == nil || !contains(err.Error(), "/no/such/file") {
			t.Errorf("%s: got %v", options, err)
		}
	}
}

// A hosts file is read, and read again.
func TestHostsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hosts")
	write := func(text string) { t.Helper(); writeSettled(t, file, text) }
	write("192.168.1.7 printer.lan printer # upstairs\n0.0.0.0 ads.example\n")
	addr := caddytest.Addr(t)
	clock := clockwork.NewFakeClock()
	c := caddytest.Start(t, site(addr, "hosts file "+file, "hosts 192.168.1.8 printer.lan"), caddytest.WithFakeClock(clock))
	check := func(name string, qtype uint16, want string) {
		t.Helper()
		if got := text(ask(t, c, addr, name, qtype)); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	check("printer.lan.", dns.TypeA, "192.168.1.8")
	check("printer.", dns.TypeA, "192.168.1.7")
	check("7.1.168.192.in-addr.arpa.", dns.TypePTR, "printer.lan.")
	check("ads.example.", dns.TypeA, "0.0.0.0")
	check("ads.example.", dns.TypeAAAA, "NOERROR")
	write("192.168.1.9 other.lan\n")
	clock.Advance(6 * time.Second)
	c.Logs.Wait(t, "file read again")
	check("other.lan.", dns.TypeA, "192.168.1.9")
	check("printer.", dns.TypeA, "NXDOMAIN")

	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	clock.Advance(6 * time.Second)
	c.Logs.Wait(t, "could not read the file again")
	check("other.lan.", dns.TypeA, "192.168.1.9")
}

// What is below the handler's path is 404, and in no log.
func TestWrongPaths(t *testing.T) {
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, fmt.Sprintf("http://%s {\nlog\ndoh {\nhosts 192.0.2.1 demo.test\nclient bob /dns-query/b0bsecret\nclient tv /tv/*\nlog_queries\n}\nrespond elsewhere\n}\n", addr))
	msg := pack(t, question("secretname.demo.test.", dns.TypeA))
	for _, path := range []string{"/dns-query", "/dns-query/", "/dns-query/b0bsecret/", "/dns-query/b0bsecret/x", "/dns-query/other", "/tv/a/b"} {
		resp := get(t, c.Client(), "http://"+addr+path, msg)
		if resp.StatusCode != http.StatusNotFound || len(resp.body) == 0 {
			t.Errorf("%s: status %d with %d bytes, want 404 with a text", path, resp.StatusCode, len(resp.body))
		}
	}
	if resp := get(t, c.Client(), "http://"+addr+"/elsewhere", nil); resp.StatusCode != http.StatusOK {
		t.Errorf("another path: status %d", resp.StatusCode)
	}
	c.Logs.Wait(t, "handled request", "/elsewhere")
	if n := c.Logs.Count("handled request", "/dns-query"); n != 0 {
		t.Errorf("%d requests of wrong paths are in the access log", n)
	}
	if n := c.Logs.Count("handled request", "/tv"); n != 0 {
		t.Errorf("%d requests of wrong paths are in the access log", n)
	}
}
