package doh_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// Paths are compared unescaped, and with /* each device has a name.
func TestDevicePaths(t *testing.T) {
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, fmt.Sprintf(`http://%s {
	log_append device {http.doh.device}
	log
	doh {
		hosts 192.0.2.1 demo.test
		client tv "/dns-query/My%%20TV"
		client radio "/dns-query/My Radio"
		client phone /dns-query/s3cret/*
		client "büro" /büro/*
		query_log
		log_queries
	}
	respond "not doh" 404
}
`, addr))
	msg := pack(t, question("demo.test.", dns.TypeA))
	long := strings.Repeat("x", 65)
	for path, want := range map[string]struct {
		status         int
		client, device string
	}{
		"/dns-query/My%20TV":             {200, "tv", ""},
		"/dns-query/%4Dy%20TV":           {200, "tv", ""},
		"/dns-query/My%20TV/x":           {404, "", ""},
		"/dns-query/My%20Radio":          {200, "radio", ""},
		"/dns-query/s3cret":              {200, "phone", ""},
		"/dns-query/s3cret/":             {200, "phone", ""},
		"/dns-query/s3cret/My%20Phone":   {200, "phone", "My Phone"},
		"/dns-query/s3cret/h%C3%A4ndy":   {200, "phone", "händy"},
		"/dns-query/s3cret/a/b":          {404, "", ""},
		"/dns-query/s3cret/a%0Ab":        {404, "", ""},
		"/dns-query/s3cret/" + long:      {404, "", ""},
		"/dns-query/s3cret/" + long[:64]: {200, "phone", long[:64]},
		"/b%C3%BCro/pc":                  {200, "büro", "pc"},
		"/dns-query":                     {404, "", ""},
		"/dns-query/S3CRET/x":            {404, "", ""},
	} {
		for method, send := range methods {
			c.Logs.Forget()
			resp := send(t, c.Client(), "http://"+addr+path, msg)
			if resp.StatusCode != want.status {
				t.Errorf("%s %s: status %d, want %d", method, path, resp.StatusCode, want.status)
			}
			if want.status != 200 {
				continue
			}
			entry := []string{"http.handlers.doh.queries", fmt.Sprintf(`"client":%q`, want.client), `"type":"A"`, `"rcode":"NOERROR"`, `"source":"hosts"`, `"protocol":"` + method + `"`}
			if want.device != "" {
				entry = append(entry, fmt.Sprintf(`"device":%q`, want.device))
				c.Logs.Wait(t, "handled request", fmt.Sprintf(`"doh_device":%q`, want.device), fmt.Sprintf(`"device":%q`, want.device))
			}
			c.Logs.Wait(t, entry...)
			if n := c.Logs.Count("http.handlers.doh.queries", "demo.test"); n != 0 {
				t.Errorf("%s: the query log holds the name", path)
			}
		}
	}
}

// With `names` the query log holds names, and over all protocols.
func TestQueryLogNames(t *testing.T) {
	d := newDoT(t)
	d.start("hosts 192.0.2.1 here.test", "local_names on", "query_log names", d.listen())
	for network, protocol := range map[string]string{"tcp-tls": "TLS", "tcp": "TCP", "udp": "UDP"} {
		d.ask(d.dial(network), question("Here.Test.", dns.TypeA))
		d.Logs.Wait(t, "http.handlers.doh.queries", `"protocol":"`+protocol+`"`, `"name":"Here.Test."`, `"client_ip":"127.0.0.1"`, `"source":"hosts"`)
		d.ask(d.dial(network), question("printer.local.", dns.TypeA))
		d.Logs.Wait(t, "http.handlers.doh.queries", `"protocol":"`+protocol+`"`, `"rcode":"NXDOMAIN"`, `"source":"local"`)
	}
}

// A header of an upstream can name the device and the client.
func TestDeviceHeader(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.7"))
	d := newDoT(t)
	d.start(up(t, u, "/", "header X-Device-Name {http.doh.device}\nheader X-Client \"pool/{http.doh.client}\"\nheader X-Agent {http.request.header.X-Agent}\nheader X-Fixed fixed"),
		"client phone /dns-query/s3cret/*", "anonymous", "cache off", d.listen())
	send := func(name, device, agent string) {
		t.Helper()
		req, err := http.NewRequest(http.MethodPost, "https://localhost"+d.https[strings.Index(d.https, ":"):]+"/dns-query/s3cret/"+device,
			strings.NewReader(string(pack(t, question(name, dns.TypeA)))))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", messageType)
		if agent != "" {
			req.Header.Set("X-Agent", agent)
		}
		client := d.Client()
		client.Transport.(*http.Transport).TLSClientConfig = d.config("localhost")
		answer(t, question(name, dns.TypeA), read(t, client, req))
	}
	check := func(want http.Header) {
		t.Helper()
		seen := u.Next(t).Header
		for field, values := range want {
			if got := seen.Get(field); got != values[0] {
				t.Errorf("%s: got %q, want %q", field, got, values[0])
			}
		}
	}
	send("a.example.", "My%20Phone", "a1")
	check(http.Header{"X-Device-Name": {"My Phone"}, "X-Client": {"pool/phone"}, "X-Agent": {"a1"}, "X-Fixed": {"fixed"}})
	send("b.example.", "h%C3%A4ndy", "")
	check(http.Header{"X-Device-Name": {"h%C3%A4ndy"}, "X-Client": {"pool/phone"}, "X-Agent": {""}})
	d.ask(d.dial("udp"), question("c.example.", dns.TypeA))
	check(http.Header{"X-Device-Name": {""}, "X-Client": {"pool/"}, "X-Fixed": {"fixed"}})

	for _, header := range []string{"header X {http.request}x{nonsense}", "header X {env.NO_SUCH_VARIABLE}"} {
		if err := caddytest.Validate(site("127.0.0.1:1", up(t, u, "/", header))); err == nil {
			t.Errorf("%s was accepted", header)
		}
	}
}

// A type that is filtered does not exist, and neither do its hints.
func TestFilter(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, func(q *dns.Msg) *dns.Msg {
		switch q.Question[0].Qtype {
		case dns.TypeHTTPS:
			return caddytest.Records(t, `@ 60 IN HTTPS 1 . alpn="h2" ipv4hint="192.0.2.7" ipv6hint="2001:db8::7" ech="AEX+DQ=="`)(q)
		case dns.TypeANY:
			return caddytest.Records(t, "@ 60 IN A 192.0.2.7", "@ 60 IN AAAA 2001:db8::7")(q)
		}
		return caddytest.Records(t, "@ 60 IN A 192.0.2.7")(q)
	})
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, up(t, u, "/"), "filter aaaa", "hosts 2001:db8::1 here.test", "cache 100"))
	reply := ask(t, c, addr, "www.example.", dns.TypeAAAA)
	if reply.Rcode != dns.RcodeSuccess || len(reply.Answer) != 0 || len(reply.Ns) != 1 {
		t.Errorf("AAAA is answered with %v", reply)
	}
	if n := len(u.Requests()); n != 0 {
		t.Errorf("%d queries for AAAA were forwarded", n)
	}
	for range 2 { // also from the cache
		https := fmt.Sprint(ask(t, c, addr, "www.example.", dns.TypeHTTPS).Answer)
		if strings.Contains(https, "ipv6hint") || !contains(https, "ipv4hint", `ech="AEX+DQ=="`, "h2") {
			t.Errorf("HTTPS is answered with %s", https)
		}
	}
	if reply := ask(t, c, addr, "www.example.", dns.TypeANY); len(reply.Answer) != 1 {
		t.Errorf("ANY is answered with %v", reply)
	}
	if got := text(ask(t, c, addr, "here.test.", dns.TypeAAAA)); got != "2001:db8::1" {
		t.Errorf("AAAA of hosts: got %s", got)
	}
	if got := text(ask(t, c, addr, "www.example.", dns.TypeA)); got != "192.0.2.7" {
		t.Errorf("A: got %s", got)
	}
}

// Private addresses of public names are withheld.
func TestRebindProtection(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, func(q *dns.Msg) *dns.Msg {
		label, _, _ := strings.Cut(q.Question[0].Name, ".")
		ip := strings.ReplaceAll(label, "-", ":")
		switch {
		case label == "chain":
			return caddytest.Records(t, "@ 60 IN CNAME a.example.", "a.example. 60 IN A 10.0.0.1", "a.example. 60 IN A 198.51.100.1")(q)
		case q.Question[0].Qtype == dns.TypeHTTPS:
			return caddytest.Records(t, `@ 60 IN HTTPS 1 . alpn="h2" ipv4hint="192.168.1.1"`)(q)
		case q.Question[0].Qtype == dns.TypeAAAA:
			return caddytest.Records(t, "@ 60 IN AAAA "+ip)(q)
		}
		return caddytest.Records(t, "@ 60 IN A "+strings.ReplaceAll(label, "-", "."))(q)
	})
	lan := caddytest.NewDNSServer(t, "udp", caddytest.Records(t, "@ 60 IN A 192.168.1.9"))
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, up(t, u, "/"), "rebind_protection plex.direct", "hosts 192.168.1.8 here.test",
		"for lan.example {\nupstream udp://"+lan.Addr()+"\n}"))
	for name, want := range map[string]string{
		"10-0-0-1.example.": "NOERROR", "192-168-1-1.example.": "NOERROR", "172-31-0-1.example.": "NOERROR", "127-0-0-1.example.": "NOERROR",
		"169-254-1-1.example.": "NOERROR", "100-64-0-1.example.": "NOERROR", "0-0-0-0.example.": "NOERROR", "0-1-2-3.example.": "NOERROR",
		"198-51-100-1.example.": "198.51.100.1", "172-32-0-1.example.": "172.32.0.1",
		"192-168-1-1.x.Plex.direct.": "192.168.1.1", "here.test.": "192.168.1.8", "x.lan.example.": "192.168.1.9",
	} {
		if got := text(ask(t, c, addr, name, dns.TypeA)); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	for name, want := range map[string]string{
		"fd00--1.example.": "NOERROR", "fe80--1.example.": "NOERROR", "--1.example.": "NOERROR", "--ffff-10.0.0.1.": "",
		"64-ff9b--a00-1.example.": "NOERROR", "2001-db8--1.example.": "2001:db8::1",
	} {
		if want == "" {
			continue
		}
		if got := text(ask(t, c, addr, name, dns.TypeAAAA)); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if got := fmt.Sprint(ask(t, c, addr, "www.example.", dns.TypeHTTPS).Answer); strings.Contains(got, "ipv4hint") || !strings.Contains(got, "h2") {
		t.Errorf("HTTPS is answered with %s", got)
	}
	query := question("chain.example.", dns.TypeA)
	query.SetEdns0(1232, false)
	reply := answer(t, query, post(t, c.Client(), "http://"+addr+"/dns-query", pack(t, query)))
	if len(reply.Answer) != 2 || dns.Field(reply.Answer[1], 1) != "198.51.100.1" {
		t.Errorf("a chain is answered with %v", reply.Answer)
	}
	if got := reply.IsEdns0().String(); !contains(got, "EDE: 15", "rebind_protection") {
		t.Errorf("the extended error is missing: %s", got)
	}
}

// Scripts of all pages can read responses and errors.
func TestCORS(t *testing.T) {
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, "hosts 192.0.2.1 demo.test", "json", "client a /dns-query/a/*"))
	target := "http://" + addr + "/dns-query/a"
	msg := pack(t, question("demo.test.", dns.TypeA))
	for name, resp := range map[string]response{
		"GET":       get(t, c.Client(), target, msg),
		"POST":      post(t, c.Client(), target, msg),
		"JSON":      do(t, c.Client(), http.MethodGet, target+"?name=demo.test", "", nil),
		"malformed": do(t, c.Client(), http.MethodGet, target+"?dns=A", "", nil),
		"415":       do(t, c.Client(), http.MethodPost, target, "text/plain", msg),
		"404":       get(t, c.Client(), target+"b", msg),
		"OPTIONS":   do(t, c.Client(), http.MethodOptions, target+"/My%20TV", "", nil),
	} {
		if got := resp.Header["Access-Control-Allow-Origin"]; len(got) != 1 || got[0] != "*" {
			t.Errorf("%s: Access-Control-Allow-Origin is %q", name, got)
		}
		if name != "OPTIONS" {
			continue
		}
		if resp.StatusCode != http.StatusNoContent || len(resp.body) != 0 {
			t.Errorf("OPTIONS: status %d: %s", resp.StatusCode, resp.body)
		}
		for field, want := range map[string]string{
			"Access-Control-Allow-Methods": "POST", "Access-Control-Allow-Headers": "Content-Type", "Access-Control-Max-Age": "7200",
		} {
			if got := resp.Header.Get(field); !strings.Contains(got, want) {
				t.Errorf("OPTIONS: %s is %q, want %s in it", field, got, want)
			}
		}
	}
}

// Names, types and forms as people write them.
func TestJSONDetails(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, func(q *dns.Msg) *dns.Msg {
		reply := caddytest.Records(t, "@ 60 IN TXT ok")(q)
		if opt := q.IsEdns0(); opt != nil {
			for _, o := range opt.Option {
				if subnet, ok := o.(*dns.EDNS0_SUBNET); ok {
					subnet.SourceScope = 16
					reply.IsEdns0().Option = append(reply.IsEdns0().Option, subnet)
				}
			}
		}
		return reply
	})
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, up(t, u, "/"), "json", "ecs pass"))
	fetch := func(params url.Values) response {
		t.Helper()
		return do(t, c.Client(), http.MethodGet, "http://"+addr+"/dns-query?"+params.Encode(), "", nil)
	}
	for name, want := range map[string]string{
		"_dmarc.bücher.de":   "_dmarc.xn--bcher-kva.de.",
		"münchen_1.example":  "xn--mnchen_1-65a.example.",
		"BÜCHER.de":          "xn--bcher-kva.de.",
		"例え。テスト":             "xn--r8jz45g.xn--zckzah.",
		"WWW.Example.com":    "WWW.Example.com.",
		"_a._tcp.example":    "_a._tcp.example.",
		"i❤.ws":              "xn--i-7iq.ws.",
		"*.wild.example.com": "*.wild.example.com.",
	} {
		if resp := fetch(url.Values{"name": {name}, "type": {"TXT"}}); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d: %s", name, resp.StatusCode, resp.body)
			continue
		}
		if got := u.Next(t).DNS(t).Question[0].Name; got != want {
			t.Errorf("%s: the upstream was asked for %s, want %s", name, got, want)
		}
	}
	for _, params := range []url.Values{{"name": {"ä.\uFFFD.example"}}, {"name": {"a..example"}}, {"name": {"a.example"}, "type": {"TYPE"}}, {"name": {"a.example"}, "type": {"TYPE65536"}}} {
		if resp := fetch(params); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%v: status %d, want 400", params, resp.StatusCode)
		}
	}
	for text, want := range map[string]uint16{"TYPE65": 65, "type1": 1, "65": 65, "https": 65} {
		if resp := fetch(url.Values{"name": {"a.example"}, "type": {text}}); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d", text, resp.StatusCode)
			continue
		}
		if got := u.Next(t).DNS(t).Question[0].Qtype; got != want {
			t.Errorf("%s: the upstream was asked for type %d, want %d", text, got, want)
		}
	}
	for subnet, want := range map[string]string{"198.51.100.0/24": "198.51.100.0/16", "2001:db8::/56": "2001:db8::/16"} {
		var shown struct {
			Subnet string `json:"edns_client_subnet"`
		}
		resp := fetch(url.Values{"name": {"a.example"}, "edns_client_subnet": {subnet}})
		if err := json.Unmarshal(resp.body, &shown); err != nil || shown.Subnet != want {
			t.Errorf("%s: got %q, want %s (%v)", subnet, shown.Subnet, want, err)
		}
	}
	resp := fetch(url.Values{"name": {"a.example"}, "ct": {"application/dns-message"}})
	if got := resp.Header.Get("Content-Type"); got != messageType || new(dns.Msg).Unpack(resp.body) != nil {
		t.Errorf("ct: got %s", got)
	}
}

// Below handle_path all is as elsewhere, and the profile has the whole address.
func TestHandlePath(t *testing.T) {
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, fmt.Sprintf("http://%s {\nlog\nhandle_path /dns/* {\ndoh {\nhosts 192.0.2.1 demo.test\nclient phone /q/s3cret/*\n}\n}\nrespond elsewhere\n}\n", addr))
	msg := pack(t, question("demo.test.", dns.TypeA))
	for path, status := range map[string]int{
		"/dns/q/s3cret": 200, "/dns/q/s3cret/My%20Phone": 200, "/dns/q/s3cret/a/b": 404, "/dns/dns-query": 404,
	} {
		if resp := get(t, c.Client(), "http://"+addr+path, msg); resp.StatusCode != status {
			t.Errorf("%s: status %d, want %d", path, resp.StatusCode, status)
		}
	}
	for path, want := range map[string]string{
		"/dns/q/s3cret/apple.mobileconfig":            "https://" + addr + "/dns/q/s3cret<",
		"/dns/q/s3cret/My%20Phone/apple.mobileconfig": "https://" + addr + "/dns/q/s3cret/My%20Phone<",
	} {
		if resp := get(t, c.Client(), "http://"+addr+path, nil); !strings.Contains(string(resp.body), want) {
			t.Errorf("%s: the profile does not have %s", path, want)
		}
	}
	get(t, c.Client(), "http://"+addr+"/x", nil)
	if n := c.Logs.Count("http.log.access", "s3cret"); n != 0 {
		t.Errorf("%d requests are in the access log", n)
	}
}
