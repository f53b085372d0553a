package freetier_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

var (
	variable = regexp.MustCompile(`\{\$(\w+)`)
	address  = regexp.MustCompile(`(127\.0\.0\.1|localhost|http://):(\d+)`)
)

// example is Caddyfile.example with free ports in place of its own.
type example struct {
	*caddytest.Caddy
	caddyfile string
	ports     map[string]string
	client    *http.Client
}

// newExample reads the example. Of its variables only the given ones are set,
// and the one that spares the tests some seconds.
func newExample(t *testing.T, variables map[string]string) *example {
	t.Helper()
	content, err := os.ReadFile("Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range variable.FindAllSubmatch(content, -1) {
		name := string(match[1])
		t.Setenv(name, "") // so that its old value comes back after the test
		os.Unsetenv(name)
	}
	t.Setenv("API_INTERVAL", "50ms")
	for name, value := range variables {
		t.Setenv(name, value)
	}
	e := &example{ports: make(map[string]string)}
	e.caddyfile = address.ReplaceAllStringFunc(string(content), func(found string) string {
		port := found[strings.LastIndex(found, ":")+1:]
		if e.ports[port] == "" {
			e.ports[port] = fmt.Sprint(caddytest.Port(t))
		}
		return strings.TrimSuffix(found, port) + e.ports[port]
	})
	// Domains on a port that needs no root.
	e.ports["443"] = fmt.Sprint(caddytest.Port(t))
	const options = "\n{\n" // where the global options begin
	if !strings.Contains(e.caddyfile, options) {
		t.Fatal("the example has no global options")
	}
	e.caddyfile = strings.Replace(e.caddyfile, options, options+"\thttps_port "+e.ports["443"]+"\n", 1)
	return e
}

// start runs the example and waits for the certificates of the given names.
// Its client finds every host on this machine.
func (e *example) start(t *testing.T, names ...string) {
	t.Helper()
	e.Caddy = caddytest.Start(t, e.caddyfile)
	for _, name := range names {
		e.Logs.Wait(t, "certificate obtained successfully", `"identifier":"`+name+`"`)
	}
	e.client = e.Client()
	e.client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		_, port, _ := net.SplitHostPort(addr)
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	}
}

// shake waits until the server has the certificate of a name at hand, which is
// a moment after it was obtained.
func (e *example) shake(t *testing.T, name string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		conn, err := tls.Dial("tcp", "127.0.0.1:"+e.ports["443"], &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no certificate for %s: %v", name, err)
		}
	}
}

// url replaces the example's ports in a URL, and the one of https.
func (e *example) url(url string) string {
	scheme, rest, _ := strings.Cut(url, "://")
	host, path, _ := strings.Cut(rest, "/")
	name, port, given := strings.Cut(host, ":")
	if !given {
		port = "443"
	}
	return scheme + "://" + name + ":" + e.ports[port] + "/" + path
}

// do sends a request, a POST when it has a body, and returns status and answer.
func (e *example) do(t *testing.T, url, key, body string) (int, string) {
	t.Helper()
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(t.Context(), method, e.url(url), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := e.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

// resolve asks a DoH server for the address of a name.
func (e *example) resolve(t *testing.T, url, name string) string {
	t.Helper()
	query, err := new(dns.Msg).SetQuestion(name+".", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	resp, err := e.client.Post(e.url(url), "application/dns-message", bytes.NewReader(query))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	packed, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer := new(dns.Msg)
	if err := answer.Unpack(packed); err != nil || len(answer.Answer) != 1 {
		t.Fatalf("%s answered with status %d, %q (%v)", url, resp.StatusCode, packed, err)
	}
	return answer.Answer[0].(*dns.A).A.String()
}

func TestExampleIsFormatted(t *testing.T) {
	content, err := os.ReadFile("Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(content, caddyfile.Format(content)) {
		t.Error("run: ./caddy fmt --overwrite Caddyfile.example")
	}
}

// As it is, the example does all five jobs on a machine without network.
func TestExample(t *testing.T) {
	e := newExample(t, nil)
	e.start(t, "127.0.0.1", "localhost")

	t.Run("keepalive", func(t *testing.T) {
		for _, target := range []string{"one", "two"} {
			status, answer := e.Admin(http.MethodPost, "/keepalive/targets/"+target+"/ping")
			if status != http.StatusOK || !bytes.Contains(answer, []byte(`"healthy":true`)) {
				t.Errorf("target %s: status %d, %s", target, status, answer)
			}
		}
	})

	t.Run("fastest-swagger", func(t *testing.T) {
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			_, answer := e.Admin(http.MethodGet, "/fastest-swagger/upstreams")
			if bytes.Contains(answer, []byte("It is the fastest")) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("none is the fastest: %s", answer)
			}
		}
		if _, answer := e.do(t, "http://127.0.0.1:8081/hello", "", ""); answer != "hello from the fast API\n" {
			t.Error(answer)
		}
	})

	const chats = "http://127.0.0.1:8080/v1/chat/completions"
	for _, test := range []struct {
		name, url, key, body string
		status               int
		want                 string
	}{
		{"free model", chats, "demo-key", `{"model":"gpt-4o-mini"}`, 200, "Hello from the free channel."},
		{"free model by wildcard", chats, "demo-key", `{"model":"gpt-4o-mini-16k"}`, 200, `"model":"gpt-4o-mini"`},
		{"paid model", chats, "demo-key", `{"model":"gpt-4.1"}`, 200, "Hello from the paid channel."},
		{"streamed", chats, "demo-key", `{"model":"gpt-4.1","stream":true}`, 200, "\n\ndata: [DONE]\n\n"},
		{"key in the query", chats + "?key=demo-key", "", `{"model":"gpt-4.1"}`, 200, "Hello from the paid channel."},
		{"unknown model", chats, "demo-key", `{"model":"gpt-5"}`, 404, "model_not_found"},
		{"no key", chats, "", `{"model":"gpt-4.1"}`, 401, "invalid_api_key"},
		{"models", "http://127.0.0.1:8080/v1/models", "demo-key", "", 200, `"owned_by":"paid"`},
	} {
		t.Run("llm_gateway, "+test.name, func(t *testing.T) {
			status, answer := e.do(t, test.url, test.key, test.body)
			if status != test.status || !strings.Contains(answer, test.want) {
				t.Errorf("status %d, %s; want %d, %s", status, answer, test.status, test.want)
			}
		})
	}

	t.Run("doh", func(t *testing.T) {
		for _, name := range []string{"demo.test", "any.demo.test"} {
			if got := e.resolve(t, "https://127.0.0.1:8443/dns-query", name); got != "192.0.2.1" {
				t.Errorf("%s is at %s", name, got)
			}
		}
	})

	for url, want := range map[string]string{
		"http://127.0.0.1:8082/one/x?a=b":   "uri /one/x?a=b, forwarded for [127.0.0.1], via [1.1 Caddy]",
		"http://127.0.0.1:8082/two/x?a=b":   "uri /base/path/x?a=b, forwarded for [127.0.0.1], via [1.1 Caddy]",
		"http://127.0.0.1:8082/three/x?a=b": "uri /three/x?a=b, forwarded for [], via []",
		"http://127.0.0.1:8083/any?a=b":     "uri /any?a=b, forwarded for [127.0.0.1], via [1.1 Caddy]",
	} {
		t.Run("forward "+url, func(t *testing.T) {
			if _, answer := e.do(t, url, "", ""); !strings.HasSuffix(answer, want+"\n") {
				t.Errorf("got %swant %s", answer, want)
			}
		})
	}
}

// With variables set the same file serves domains with automatic HTTPS. Names
// below localhost get their certificates from Caddy itself.
func TestExampleOnDomains(t *testing.T) {
	domains := map[string]string{
		"AI_DOMAIN":      "ai.localhost",
		"API_DOMAIN":     "api.localhost",
		"DNS_DOMAIN":     "dns.localhost",
		"FORWARD_DOMAIN": "forward.localhost",
		"FORWARD_HOST":   "host.localhost",
	}
	e := newExample(t, domains)
	var names []string
	for _, name := range domains {
		names = append(names, name)
	}
	e.start(t, names...)
	for _, name := range names {
		e.shake(t, name)
	}

	if status, _ := e.do(t, "https://ai.localhost/v1/models", "demo-key", ""); status != http.StatusOK {
		t.Errorf("AI_DOMAIN: status %d", status)
	}
	if _, answer := e.do(t, "https://api.localhost/hello", "", ""); !strings.HasPrefix(answer, "hello from") {
		t.Errorf("API_DOMAIN: %s", answer)
	}
	if got := e.resolve(t, "https://dns.localhost/dns-query", "demo.test"); got != "192.0.2.1" {
		t.Errorf("DNS_DOMAIN: demo.test is at %s", got)
	}
	if _, answer := e.do(t, "https://forward.localhost/two/x", "", ""); !strings.Contains(answer, "uri /base/path/x") {
		t.Errorf("FORWARD_DOMAIN: %s", answer)
	}
	if _, answer := e.do(t, "https://host.localhost/x", "", ""); !strings.Contains(answer, "uri /x") {
		t.Errorf("FORWARD_HOST: %s", answer)
	}

	// A client that names no host gets the DNS server.
	conn, err := tls.Dial("tcp", "127.0.0.1:"+e.ports["443"], &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if names := conn.ConnectionState().PeerCertificates[0].DNSNames; !slices.Contains(names, "dns.localhost") {
		t.Errorf("without a name the certificate is for %v", names)
	}
}

// Public names become sites on the port of https, for which Caddy gets
// certificates from a public authority, and real upstreams take the place of
// the demo's.
func TestExampleOnPublicDomains(t *testing.T) {
	e := newExample(t, map[string]string{
		"AI_DOMAIN": "ai.example.com", "API_DOMAIN": "api.example.com", "DNS_DOMAIN": "dns.example.com",
		"API_URL_1": "https://a.onrender.com", "API_URL_2": "https://b.zeabur.app",
		"FREE_URL": "https://api.chatanywhere.tech", "PAID_URL": "https://api.openai.com/v1",
		"FREE_KEYS": "sk-free-key", "PAID_KEYS": "sk-paid-key", "CLIENT_KEYS": "key-of-my-client",
		"DOH_URLS_1":     "https://dns.nextdns.io/abc123 https://dns.nextdns.io/def456",
		"FORWARD_DOMAIN": "www.example.com", "FORWARD_URL_2": "https://api.example.org",
	})
	if err := caddytest.Validate(e.caddyfile); err != nil {
		t.Fatal(err)
	}
	cfg, err := caddytest.Adapt(e.caddyfile)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"listen":[":` + e.ports["443"] + `"]`, `"host":["ai.example.com"]`, `"host":["api.example.com"]`,
		`"host":["dns.example.com"]`, `"host":["www.example.com"]`, `"dial":"a.onrender.com:443"`, `"dial":"b.zeabur.app:443"`,
		`"https://dns.nextdns.io/abc123","https://dns.nextdns.io/def456"`, `"url":"https://api.openai.com/v1"`,
	} {
		if !bytes.Contains(cfg, []byte(want)) {
			t.Errorf("no %s in %s", want, cfg)
		}
	}
	for _, wrong := range []string{`"module":"internal"`, `"disable":true`} {
		if bytes.Contains(cfg, []byte(wrong)) {
			t.Errorf("%s in %s", wrong, cfg)
		}
	}
}

// A key that is given by {env.X} reaches its channel, but neither the
// configuration, be it the adapted one or what the admin API shows, nor a log.
func TestExampleKeepsKeysSecret(t *testing.T) {
	channel := caddytest.NewUpstream(t, caddytest.JSON(http.StatusOK, `{"object":"chat.completion"}`))
	e := newExample(t, map[string]string{
		"FREE_URL":        channel.URL + "/v1",
		"FREE_KEYS":       "{env.FREE_KEY_1}",
		"FREE_KEY_1":      "sk-secret-of-mine",
		"KEEPALIVE_URL_1": channel.URL + "/ping",
		"KEEPALIVE_KEY_1": "{env.FREE_KEY_1}",
		"CLIENT_KEYS":     "{env.CLIENT_KEY}",
		"CLIENT_KEY":      "secret-of-my-client",
	})
	cfg, err := caddytest.Adapt(e.caddyfile)
	if err != nil {
		t.Fatal(err)
	}
	e.start(t, "127.0.0.1", "localhost")
	_, shown := e.Admin(http.MethodGet, "/config/")
	for _, config := range [][]byte{cfg, shown} {
		if !bytes.Contains(config, []byte("{env.FREE_KEY_1}")) || bytes.Contains(config, []byte("secret")) {
			t.Errorf("the configuration does not hold just the names of the keys: %s", config)
		}
	}

	const chats = "http://127.0.0.1:8080/v1/chat/completions"
	e.Admin(http.MethodPost, "/keepalive/targets/one/ping")
	e.do(t, chats, "secret-of-my-client", `{"model":"gpt-4o-mini"}`)
	e.do(t, chats+"?key=secret-of-my-client", "", `{"model":"gpt-4o-mini"}`)
	// The target may be pinged by itself as well.
	reached := make(map[string]int)
	for reached["/ping Bearer sk-secret-of-mine"] == 0 || reached["/v1/chat/completions Bearer sk-secret-of-mine"] < 2 {
		request := channel.Next(t)
		reached[request.URI+" "+request.Header.Get("Authorization")]++
	}
	if len(reached) != 2 {
		t.Errorf("the channel got %v", reached)
	}
	e.do(t, "http://127.0.0.1:8080/last", "", "")
	e.Logs.Wait(t, "http.log.access", `"uri":"/last"`)
	for line := range strings.Lines(e.Logs.String()) {
		if strings.Contains(line, "secret") {
			t.Errorf("a key is in the log: %s", line)
		}
	}
}
