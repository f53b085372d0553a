package doh_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	_ "github.com/caddy-freetier/caddy-freetier/modules/doh"
)

// up writes an upstream line that trusts the test's certificate.
func up(t testing.TB, u *caddytest.Upstream, path string, options ...string) string {
	t.Helper()
	return fmt.Sprintf("upstream %s%s {\n\t\t\ttls_ca %s\n\t\t\t%s\n\t\t}\n",
		u.URL, path, u.CAFile(t), strings.Join(options, "\n\t\t\t"))
}

// site is a Caddyfile with doh at addr, without a cache unless it is asked for.
func site(addr string, options ...string) string {
	if !slices.ContainsFunc(options, func(option string) bool { return strings.HasPrefix(option, "cache") }) {
		options = append(options, "cache off")
	}
	return fmt.Sprintf("http://%s {\n\tlog\n\tdoh {\n\t\t%s\n\t}\n\trespond \"not doh\" 404\n}\n", addr, strings.Join(options, "\n\t\t"))
}

// ask makes a query with a fixed ID and a name in mixed case.
func question(name string, qtype uint16) *dns.Msg {
	q := new(dns.Msg).SetQuestion(name, qtype)
	q.Id = 0xABCD
	return q
}

func pack(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	packed, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// response is an HTTP response that was read to its end.
type response struct {
	*http.Response
	body []byte
}

func do(t testing.TB, client *http.Client, method, target, contentType string, body []byte) response {
	t.Helper()
	req, err := http.NewRequest(method, target, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	return read(t, client, req)
}

// read sends a request and reads the response to its end.
func read(t testing.TB, client *http.Client, req *http.Request) response {
	t.Helper()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response{resp, got}
}

const messageType = "application/dns-message"

func post(t testing.TB, client *http.Client, target string, msg []byte) response {
	t.Helper()
	return do(t, client, http.MethodPost, target, messageType, msg)
}

func get(t testing.TB, client *http.Client, target string, msg []byte) response {
	t.Helper()
	sep := "?"
	if strings.Contains(target, "?") {
		sep = "&"
	}
	return do(t, client, http.MethodGet, target+sep+"dns="+base64.RawURLEncoding.EncodeToString(msg), "", nil)
}

// methods are the ways to send a message.
var methods = map[string]func(testing.TB, *http.Client, string, []byte) response{"GET": get, "POST": post}

// answer checks what every client demands of a response, and unpacks it.
func answer(t testing.TB, query *dns.Msg, resp response) *dns.Msg {
	t.Helper()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d: %s", resp.StatusCode, resp.body)
	}
	if got := resp.Header.Get("Content-Type"); got != messageType {
		t.Errorf("content type %q, want exactly %s", got, messageType)
	}
	if got := resp.Header.Get("Content-Length"); got != fmt.Sprint(len(resp.body)) {
		t.Errorf("Content-Length %q for %d bytes", got, len(resp.body))
	}
	var reply dns.Msg
	if err := reply.Unpack(resp.body); err != nil {
		t.Fatalf("unpacking the answer: %v", err)
	}
	if !reply.Response || reply.Id != query.Id {
		t.Errorf("response %v, ID %x, want %x", reply.Response, reply.Id, query.Id)
	}
	sent := pack(t, query)
	n := 12 + len(query.Question[0].Name) + 1 + 4
	if len(resp.body) < n || !bytes.Equal(resp.body[4:6], []byte{0, 1}) || !bytes.Equal(resp.body[12:n], sent[12:n]) {
		t.Errorf("the question is not the asker's:\n%x\n%x", resp.body, sent)
	}
	return &reply
}

func TestThread(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 300 IN A 10.0.0.7"))
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, up(t, u, "/account/7?x=1")))
	for method, send := range methods {
		t.Run(method, func(t *testing.T) {
			query := question("WwW.eXample.", dns.TypeA)
			reply := answer(t, query, send(t, c.Client(), "http://"+addr+"/dns-query", pack(t, query)))
			if len(reply.Answer) != 1 || reply.Answer[0].(*dns.A).A.String() != "10.0.0.7" {
				t.Errorf("answer %v, want the upstream's private address", reply.Answer)
			}
			seen := u.Next(t)
			if asked := seen.DNS(t); asked.Id != 0 || asked.Question[0] != query.Question[0] {
				t.Errorf("the upstream was asked %v with ID %d", asked.Question, asked.Id)
			}
			if seen.Method != http.MethodGet || seen.Proto != "HTTP/2.0" || !strings.HasPrefix(seen.URI, "/account/7?x=1") {
				t.Errorf("the upstream received %s %s by %s", seen.Method, seen.URI, seen.Proto)
			}
			if seen.Header.Get("Accept") != messageType || len(seen.Header["X-Forwarded-For"])+len(seen.Header["User-Agent"]) > 0 {
				t.Errorf("the upstream received the header %v", seen.Header)
			}
		})
	}
}

func TestOtherPath(t *testing.T) {
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, "hosts 192.0.2.1 demo.test"))
	for path, want := range map[string]string{"/dns-queryx": "not doh", "/": "not doh", "/dns-query/x": "DNS queries have another path on this server"} {
		resp := do(t, c.Client(), http.MethodGet, (&url.URL{Scheme: "http", Host: addr, Path: path}).String(), "", nil)
		if resp.StatusCode != http.StatusNotFound || string(resp.body) != want {
			t.Errorf("%s: status %d: %s", path, resp.StatusCode, resp.body)
		}
	}
}

// contains reports whether a text has all parts.
func contains(text string, parts ...string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
}
