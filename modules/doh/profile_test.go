package doh_test

import (
	"encoding/xml"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// Each path has a profile that leads to it, and only those that answer have one.
func TestProfile(t *testing.T) {
	shared, own := caddytest.Addr(t), caddytest.Addr(t)
	c := caddytest.Start(t, site(shared, "hosts 192.0.2.1 demo.test")+
		site(own, "hosts 192.0.2.1 demo.test", "client alice /dns-query/s3cret", "client bob /bob&co"))
	for target, want := range map[string]string{
		shared + "/dns-query/apple.mobileconfig":     "https://" + shared + "/dns-query",
		own + "/dns-query/s3cret/apple.mobileconfig": "https://" + own + "/dns-query/s3cret",
		own + "/bob&co/apple.mobileconfig":           "https://" + own + "/bob&amp;co",
		own + "/dns-query/apple.mobileconfig":        "",
		own + "/apple.mobileconfig":                  "",
	} {
		resp := do(t, c.Client(), http.MethodGet, "http://"+target, "", nil)
		if want == "" {
			if resp.StatusCode != 404 {
				t.Errorf("%s: status %d", target, resp.StatusCode)
			}
			continue
		}
		if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/x-apple-aspen-config") {
			t.Fatalf("%s: status %d, %v", target, resp.StatusCode, resp.Header)
		}
		text := string(resp.body)
		for _, part := range []string{
			"<key>PayloadType</key><string>com.apple.dnsSettings.managed</string>",
			"<key>DNSProtocol</key><string>HTTPS</string>",
			"<key>ServerURL</key><string>" + want + "</string>",
		} {
			if !strings.Contains(text, part) {
				t.Errorf("%s: %s is missing in\n%s", target, part, text)
			}
		}
		for decoder := xml.NewDecoder(strings.NewReader(text)); ; {
			if _, err := decoder.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", target, err)
			}
		}
		if again := do(t, c.Client(), http.MethodGet, "http://"+target, "", nil); string(again.body) != text {
			t.Errorf("%s is another one each time", target)
		}
	}
	if resp := do(t, c.Client(), http.MethodPost, "http://"+shared+"/dns-query/apple.mobileconfig", "", nil); resp.StatusCode != 405 || resp.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: status %d, Allow: %s", resp.StatusCode, resp.Header.Get("Allow"))
	}
	c.Stop()
	if c.Logs.Count("handled request", `"status":200`) > 0 {
		t.Error("a request for a profile was logged")
	}
}

// In the early data of TLS, which can be replayed, only queries are answered.
func TestEarlyData(t *testing.T) {
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, "hosts 192.0.2.1 demo.test"))
	notify := new(dns.Msg).SetNotify("demo.test.")
	for name, test := range map[string]struct {
		msg   *dns.Msg
		early string
		want  int
	}{
		"query":               {question("demo.test.", dns.TypeA), "", 200},
		"query, early":        {question("demo.test.", dns.TypeA), "1", 200},
		"notification":        {notify, "", 200},
		"notification, early": {notify, "1", http.StatusTooEarly},
	} {
		req, err := http.NewRequest(http.MethodPost, "http://"+addr+"/dns-query", strings.NewReader(string(pack(t, test.msg))))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", messageType)
		if test.early != "" {
			req.Header.Set("Early-Data", test.early)
		}
		if resp := read(t, c.Client(), req); resp.StatusCode != test.want {
			t.Errorf("%s: status %d, want %d", name, resp.StatusCode, test.want)
		}
	}
}

// Names that browsers make of a local one stay here, too.
func TestServiceNames(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, up(t, u, "/"), "hosts 127.0.0.1 only.here.test"))
	for name, asked := range map[string]int{"_8443._https.only.here.test.": 0, "_https.only.here.test.": 0, "x.only.here.test.": 1} {
		before := len(u.Requests())
		query := question(name, dns.TypeHTTPS)
		answer(t, query, get(t, c.Client(), "http://"+addr+"/dns-query", pack(t, query)))
		if n := len(u.Requests()) - before; n != asked {
			t.Errorf("%s was forwarded %d times", name, n)
		}
	}
}
