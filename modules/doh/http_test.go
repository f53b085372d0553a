package doh_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// secure is a Caddyfile with doh at https://localhost:port.
func secure(port int, options ...string) string {
	return fmt.Sprintf(`{
	auto_https disable_redirects
	skip_install_trust
}
https://localhost:%d {
	tls internal
	log
	doh {
		%s
	}
}
`, port, strings.Join(options, "\n\t\t"))
}

// startSecure waits until Caddy has a certificate.
func startSecure(t testing.TB, port int, caddyfile string, options ...caddytest.Option) *caddytest.Caddy {
	t.Helper()
	c := caddytest.Start(t, caddyfile, options...)
	c.Logs.Wait(t, "certificate obtained successfully")
	client := c.Client() // the certificate is in use a moment later
	for range 100 {
		resp, err := client.Get(fmt.Sprintf("https://localhost:%d/", port))
		if err == nil {
			resp.Body.Close()
			return c
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("Caddy has no certificate")
	return nil
}

// httpTest is a request and its response.
type httpTest struct {
	name   string
	method string
	query  string
	typ    string
	body   []byte
	status int
	says   string
}

// httpTests returns requests with the query, in all forms that clients send, and
// with what is not a query.
func httpTests(t *testing.T, query *dns.Msg) []httpTest {
	msg := pack(t, query)
	param := base64.RawURLEncoding.EncodeToString(msg)
	response := pack(t, new(dns.Msg).SetReply(query))
	two := query.Copy()
	two.Question = append(two.Question, two.Question[0])
	return []httpTest{
		{"GET", "GET", "?dns=" + param, "", nil, 200, ""},
		{"GET with other parameters", "GET", "?a=b&dns=" + param + "&c=d", "", nil, 200, ""},
		{"GET, dns appended to a query string", "GET", "?a=b?dns=" + param, "", nil, 200, ""},
		{"GET, escaped", "GET", fmt.Sprintf("?dns=%%%02X%s", param[0], param[1:]), "", nil, 200, ""},
		{"GET without dns", "GET", "", "", nil, 400, "dns is missing"},
		{"GET with another parameter", "GET", "?xdns=" + param, "", nil, 400, "dns is missing"},
		{"GET, empty", "GET", "?dns=", "", nil, 400, "malformed"},
		{"GET, not base64url", "GET", "?dns=%%%", "", nil, 400, "base64url"},
		{"GET, padded", "GET", "?dns=AAAA====", "", nil, 400, "base64url without padding"},
		{"POST", "POST", "", messageType, msg, 200, ""},
		{"POST with a media type parameter", "POST", "", messageType + "; charset=utf-8", msg, 200, ""},
		{"POST, media type in capitals", "POST", "", "Application/DNS-Message", msg, 200, ""},
		{"POST, another type", "POST", "", "application/octet-stream", msg, 415, messageType},
		{"POST without a type", "POST", "", "", msg, 415, messageType},
		{"POST, empty", "POST", "", messageType, nil, 400, "malformed"},
		{"POST, cut", "POST", "", messageType, msg[:len(msg)-1], 400, "malformed"},
		{"POST, a byte too many", "POST", "", messageType, append(bytes.Clone(msg), 0), 400, "malformed"},
		{"POST, a response", "POST", "", messageType, response, 400, "response"},
		{"POST, no question", "POST", "", messageType, pack(t, new(dns.Msg)), 400, "exactly one question"},
		{"POST, two questions", "POST", "", messageType, pack(t, two), 400, "exactly one question"},
		{"POST, 70 kB", "POST", "", messageType, make([]byte, 70_000), 413, "65535"},
		{"POST, 1 MB", "POST", "", messageType, make([]byte, 1<<20), 413, "65535"},
		{"PUT", "PUT", "", messageType, msg, 405, "GET or POST"},
		{"DELETE", "DELETE", "?dns=" + param, "", nil, 405, "GET or POST"},
	}
}

// check sends the request of a test and compares the response.
func (test httpTest) check(t *testing.T, client *http.Client, proto, base string, query *dns.Msg) {
	t.Helper()
	resp := do(t, client, test.method, base+"/dns-query"+test.query, test.typ, test.body)
	if resp.Proto != proto {
		t.Fatalf("protocol %s, want %s", resp.Proto, proto)
	}
	if resp.StatusCode != test.status || !strings.Contains(string(resp.body), test.says) {
		t.Fatalf("status %d with %q, want %d with %q", resp.StatusCode, resp.body, test.status, test.says)
	}
	if test.status == http.StatusOK {
		answer(t, query, resp)
		if got := resp.Header.Get("Cache-Control"); got != "max-age=300" {
			t.Errorf("Cache-Control %q, want max-age=300", got)
		}
	} else if got := resp.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" || len(resp.body) > 200 {
		t.Errorf("an error of type %q and %d bytes, want text/plain; charset=utf-8 and at most 200", got, len(resp.body))
	}
	want := ""
	if test.status == http.StatusMethodNotAllowed {
		want = "GET, HEAD, POST, OPTIONS"
	}
	if got := resp.Header.Get("Allow"); got != want {
		t.Errorf("Allow %q, want %q", got, want)
	}
}

// HTTP requests of clients, over HTTP/1.1 and HTTP/2.
func TestHTTP(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 300 IN A 192.0.2.1"))
	plain, port := caddytest.Addr(t), caddytest.Port(t)
	options := up(t, u, "/dns-query")
	c := startSecure(t, port, secure(port, options)+site(plain, options))
	query := question("www.example.", dns.TypeA)
	tests := httpTests(t, query)
	for proto, base := range map[string]string{"HTTP/1.1": "http://" + plain, "HTTP/2.0": fmt.Sprintf("https://localhost:%d", port)} {
		client := c.Client()
		for _, test := range tests {
			t.Run(proto+"/"+test.name, func(t *testing.T) { test.check(t, client, proto, base, query) })
		}
		t.Run(proto+"/HEAD", func(t *testing.T) { testHEAD(t, client, base, pack(t, query)) })
		t.Run(proto+"/chunked", func(t *testing.T) { testChunked(t, client, base, pack(t, query)) })
	}
}

// HEAD has the header of GET.
func testHEAD(t *testing.T, client *http.Client, base string, msg []byte) {
	param := base64.RawURLEncoding.EncodeToString(msg)
	head := do(t, client, http.MethodHead, base+"/dns-query?dns="+param, "", nil)
	got := get(t, client, base+"/dns-query", msg)
	for _, field := range []string{"Content-Type", "Content-Length", "Cache-Control"} {
		if head.Header.Get(field) != got.Header.Get(field) {
			t.Errorf("%s: %q for HEAD, %q for GET", field, head.Header.Get(field), got.Header.Get(field))
		}
	}
	if head.StatusCode != 200 || len(head.body) != 0 {
		t.Errorf("status %d with %d bytes", head.StatusCode, len(head.body))
	}
}

// A body of unknown length is read, up to the size of a message.
func testChunked(t *testing.T, client *http.Client, base string, msg []byte) {
	for size, status := range map[int]int{0: 400, 70_000: 413} {
		body := io.MultiReader(bytes.NewReader(make([]byte, size))) // of unknown length
		resp, err := client.Post(base+"/dns-query", messageType, body)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("status %d for %d bytes, want %d", resp.StatusCode, size, status)
		}
	}
	resp, err := client.Post(base+"/dns-query", messageType, io.MultiReader(bytes.NewReader(msg)))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// The rules of Firefox and Chromium for a response, on the wire.
func TestBrowsers(t *testing.T) {
	// An upstream that does all that browsers refuse and that can be repaired.
	u := caddytest.NewTLSUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		caddytest.DoH(func(query *dns.Msg) *dns.Msg {
			query.Question[0].Name = strings.ToLower(query.Question[0].Name)
			return caddytest.Records(t, "@ 300 IN A 192.168.1.1")(query)
		})(trailing{w}, r)
	})
	port := caddytest.Port(t)
	c := startSecure(t, port, secure(port, up(t, u, "/")))
	target := fmt.Sprintf("https://localhost:%d/dns-query", port)
	client := c.Client()

	padded := func(m *dns.Msg) *dns.Msg { // Chromium pads queries to 128 bytes
		m.SetEdns0(4096, false)
		opt := m.IsEdns0()
		padding := &dns.EDNS0_PADDING{}
		opt.Option = append(opt.Option, padding)
		padding.Padding = make([]byte, 128-m.Len())
		return m
	}
	for name, query := range map[string]*dns.Msg{
		"Chromium's probe":       padded(question("google.com.", dns.TypeA)),
		"Firefox's confirmation": question("example.com.", dns.TypeNS),
		"mixed case":             question("ExAmPlE.cOm.", dns.TypeAAAA),
		"HTTPS record":           question("example.com.", dns.TypeHTTPS),
		"TXT":                    question("example.com.", dns.TypeTXT),
	} {
		query.Id = 0
		for method, send := range methods {
			t.Run(name+"/"+method, func(t *testing.T) {
				if query.IsEdns0() != nil && query.Len() != 128 {
					t.Fatalf("the query has %d bytes", query.Len())
				}
				resp := send(t, client, target, pack(t, query))
				reply := answer(t, query, resp)
				if reply.Rcode != dns.RcodeSuccess || len(reply.Answer) != 1 {
					t.Errorf("the answer is %v", reply)
				}
				if reply.Compress = false; reply.Len() != len(resp.body) {
					t.Errorf("%d bytes, but the records take %d", len(resp.body), reply.Len())
				}
				if reply.Question[0].Qclass != dns.ClassINET {
					t.Errorf("class %d", reply.Question[0].Qclass)
				}
				if query.IsEdns0() != nil && len(resp.body)%468 != 0 {
					t.Errorf("%d bytes are no multiple of 468", len(resp.body))
				}
			})
		}
	}
}

// trailing adds bytes behind the last record.
type trailing struct{ http.ResponseWriter }

func (w trailing) Write(p []byte) (int, error) {
	return w.ResponseWriter.Write(append(bytes.Clone(p), 0, 0, 0))
}
