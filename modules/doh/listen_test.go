package doh_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// dot is a Caddy that answers over TLS, UDP and TCP.
type dot struct {
	*caddytest.Caddy
	t                     testing.TB
	https, tls, plain, ca string
	key                   string
	roots                 *x509.CertPool
}

// newDoT returns addresses and a certificate; start starts Caddy.
func newDoT(t testing.TB) *dot {
	t.Helper()
	d := &dot{t: t, https: caddytest.Addr(t), tls: caddytest.Addr(t), plain: caddytest.Addr(t), roots: x509.NewCertPool()}
	d.ca, d.key = caddytest.Certificate(t)
	pem, err := os.ReadFile(d.ca)
	if err != nil {
		t.Fatal(err)
	}
	d.roots.AppendCertsFromPEM(pem)
	return d
}

// issuing gives a Caddy that issues certificates of its own a folder for them.
// It may still write there when it has been stopped.
func issuing(t testing.TB) caddytest.Option {
	t.Helper()
	dir, err := os.MkdirTemp("", "doh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return caddytest.WithStorage(dir)
}

// caddyfile returns a site with its options.
func (d *dot) caddyfile(options ...string) string {
	_, port, _ := net.SplitHostPort(d.https)
	return fmt.Sprintf("{\n\tauto_https disable_redirects\n}\nhttps://localhost:%s {\n\ttls %s %s\n\tdoh {\n\t\t%s\n\t}\n}\n",
		port, d.ca, d.key, strings.Join(options, "\n\t\t"))
}

func (d *dot) listen() string {
	return "listen tls/" + d.tls + " localhost udp/" + d.plain + " tcp/" + d.plain
}

func (d *dot) start(options ...string) {
	d.t.Helper()
	d.Caddy = caddytest.Start(d.t, d.caddyfile(options...))
}

func (d *dot) config(name string) *tls.Config {
	return &tls.Config{RootCAs: d.roots, ServerName: name}
}

// dial connects to a listener.
func (d *dot) dial(network string) *dns.Conn {
	d.t.Helper()
	client := &dns.Client{Net: network, TLSConfig: d.config("localhost"), Timeout: 10 * time.Second}
	addr := d.plain
	if network == "tcp-tls" {
		addr = d.tls
	}
	conn, err := client.Dial(addr)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	return conn
}

// ask asks over a connection.
func (d *dot) ask(conn *dns.Conn, q *dns.Msg) *dns.Msg {
	d.t.Helper()
	if err := conn.WriteMsg(q); err != nil {
		d.t.Fatal(err)
	}
	reply, err := conn.ReadMsg()
	if err != nil {
		d.t.Fatal(err)
	}
	if reply.Id != q.Id || len(reply.Question) != 1 || reply.Question[0] != q.Question[0] {
		d.t.Fatalf("the response is not to the question: %v", reply)
	}
	return reply
}

var listeners = []string{"tcp-tls", "tcp", "udp"}

// All listeners answer from the same pool, with the same cache.
func TestListeners(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.7"))
	d := newDoT(t)
	d.start(up(t, u, "/"), "hosts 192.0.2.1 here.test", d.listen())
	for _, network := range listeners {
		conn := d.dial(network)
		for name, want := range map[string]string{"Here.Test.": "192.0.2.1", "wWw.Example.": "192.0.2.7"} {
			q := question(name, dns.TypeA)
			q.SetEdns0(1232, false)
			q.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_PADDING{Padding: make([]byte, 60)}}
			reply := d.ask(conn, q)
			if got := text(reply); got != want {
				t.Errorf("%s, %s: got %s, want %s", network, name, got, want)
			}
			padding := slices.ContainsFunc(reply.IsEdns0().Option, func(o dns.EDNS0) bool { return o.Option() == dns.EDNS0PADDING })
			if padding != (network == "tcp-tls") {
				t.Errorf("%s: the response is padded %v", network, padding)
			}
		}
	}
	if n := len(u.Requests()); n != 1 {
		t.Errorf("the upstream was asked %d times, want once", n)
	}
	if got := d.Metric(`caddy_doh_queries_total{method="TLS"}`); got < 2 {
		t.Errorf("%v queries over TLS are counted", got)
	}
}

// What is no sound query is answered as such, or not at all.
func TestListenerMessages(t *testing.T) {
	d := newDoT(t)
	d.start("hosts 192.0.2.1 here.test", d.listen())
	for _, network := range listeners {
		conn := d.dial(network)
		write := func(msg []byte) *dns.Msg {
			t.Helper()
			if _, err := conn.Write(msg); err != nil {
				t.Fatal(err)
			}
			reply, err := conn.ReadMsg()
			if err != nil {
				t.Fatalf("%s: %v", network, err)
			}
			return reply
		}
		sound := pack(t, question("here.test.", dns.TypeA))
		if reply := write(append(sound, 0)); reply.Rcode != dns.RcodeFormatError || reply.Id != 0xABCD || !reply.Response {
			t.Errorf("%s: a byte too many is answered with %v", network, reply)
		}
		update := question("example.", dns.TypeSOA)
		update.Opcode = dns.OpcodeUpdate
		if reply := write(pack(t, update)); reply.Rcode != dns.RcodeNotImplemented {
			t.Errorf("%s: an update is answered with %v", network, reply)
		}
		// A response gets no response; the next query does.
		response := new(dns.Msg).SetReply(question("here.test.", dns.TypeA))
		if _, err := conn.Write(pack(t, response)); err != nil {
			t.Fatal(err)
		}
		q := question("here.test.", dns.TypeA)
		q.Id = 7
		if got := text(d.ask(conn, q)); got != "192.0.2.1" {
			t.Errorf("%s: got %s", network, got)
		}
	}
}

// What Android's strict mode of Private DNS demands: packages/modules/DnsResolver,
// DnsTlsSocket and PrivateDnsConfiguration of AOSP.
func TestAndroid(t *testing.T) {
	slow := make(chan struct{})
	u := caddytest.NewDoHUpstream(t, func(q *dns.Msg) *dns.Msg {
		if strings.HasPrefix(q.Question[0].Name, "slow") {
			<-slow
		}
		return caddytest.Records(t, "@ 60 IN A 192.0.2.7")(q)
	})
	d := newDoT(t)
	d.start(up(t, u, "/"), "hedge off", d.listen())
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := d.config("localhost")
		config.MinVersion, config.MaxVersion = version, version
		raw, err := tls.Dial("tcp", d.tls, config) // SNI, no ALPN, and the chain is verified
		if err != nil {
			t.Fatalf("TLS %x: %v", version, err)
		}
		if state := raw.ConnectionState(); state.NegotiatedProtocol != "" || len(state.PeerCertificates) == 0 {
			t.Errorf("the handshake: %+v", state)
		}
		conn := &dns.Conn{Conn: raw}
		probe := question("probe-dnsotls-ds.metric.gstatic.com.", dns.TypeAAAA)
		d.ask(conn, probe)
		raw.Close()
	}

	// Twenty queries at once; the responses come as they are ready.
	conn := d.dial("tcp-tls")
	const n = 20
	for i := range n {
		name := fmt.Sprintf("host%d.example.", i)
		if i == 0 {
			name = "slow.example."
		}
		q := question(name, dns.TypeA)
		q.Id = uint16(i)
		if err := conn.WriteMsg(q); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if i == n-1 {
			close(slow)
		}
		reply, err := conn.ReadMsg()
		if err != nil {
			t.Fatal(err)
		}
		if last := reply.Id == 0; last != (i == n-1) || text(reply) != "192.0.2.7" {
			t.Errorf("response %d is %v", i, reply)
		}
	}

	// It closes a connection that was idle for 20 seconds, and opens another.
	conn.Close()
	d.ask(d.dial("tcp-tls"), question("host1.example.", dns.TypeA))
}

// Clients that offer ALPN get dot; those that ask for no name get the default
// one's certificate, and those that speak something else get nothing.
func TestHandshake(t *testing.T) {
	d := newDoT(t)
	d.start("hosts 192.0.2.1 here.test", d.listen())
	dial := func(change func(*tls.Config)) (*tls.Conn, error) {
		config := d.config("localhost")
		change(config)
		return tls.Dial("tcp", d.tls, config)
	}
	conn, err := dial(func(c *tls.Config) { c.NextProtos = []string{"dot"} })
	if err != nil {
		t.Fatal(err)
	}
	if got := conn.ConnectionState().NegotiatedProtocol; got != "dot" {
		t.Errorf("ALPN is %q, want dot", got)
	}
	conn.Close()
	conn, err = dial(func(c *tls.Config) { c.ServerName, c.InsecureSkipVerify = "", true })
	if err != nil {
		t.Fatalf("without a name: %v", err)
	}
	if err := conn.ConnectionState().PeerCertificates[0].VerifyHostname("localhost"); err != nil {
		t.Errorf("without a name: %v", err)
	}
	conn.Close()
	if conn, err := dial(func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} }); err == nil {
		conn.Close()
		t.Error("a browser was let in")
	}
}

// Clients are known by their host names.
func TestListenerClients(t *testing.T) {
	d := newDoT(t)
	d.roots = nil
	site := func(options ...string) string {
		_, port, _ := net.SplitHostPort(d.https)
		return fmt.Sprintf("{\n\tauto_https disable_redirects\n}\nhttps://alice.dns.test:%s https://dns.test:%s {\n\ttls internal\n\tdoh {\n\t\t%s\n\t}\n}\n",
			port, port, strings.Join(options, "\n\t\t"))
	}
	clients := "client alice /dns-query/s3cret alice.dns.test {\nlimit 3/day\n}\nclient bob /dns-query/b0b bob.dns.test"
	d.Caddy = caddytest.Start(t, site("hosts 192.0.2.1 here.test", clients, "listen tls/"+d.tls+" dns.test"), issuing(t))
	d.Logs.Wait(t, "no site has this name of a DNS listener", "tls_automate_names bob.dns.test")
	if n := d.Logs.Count("no site has this name", "alice"); n != 0 {
		t.Error("there is a warning about the name of a site")
	}
	dial := func(name string) *dns.Conn {
		t.Helper()
		var conn *tls.Conn
		var err error
		for range 100 { // its certificate is being made
			if conn, err = tls.Dial("tcp", d.tls, &tls.Config{ServerName: name, InsecureSkipVerify: true}); err == nil {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		t.Cleanup(func() { conn.Close() })
		return &dns.Conn{Conn: conn}
	}
	const counted = `caddy_doh_client_queries_total{client="alice"}`
	before := d.Metric(counted)
	alice, other := dial("Alice.DNS.test"), dial("dns.test")
	nameless := dial("") // gets the certificate of the default name
	if err := nameless.Conn.(*tls.Conn).ConnectionState().PeerCertificates[0].VerifyHostname("dns.test"); err != nil {
		t.Error(err)
	}
	for i, want := range []string{"192.0.2.1", "192.0.2.1", "192.0.2.1", "REFUSED"} {
		if got := text(d.ask(alice, question("here.test.", dns.TypeA))); got != want {
			t.Errorf("alice's query %d: got %s, want %s", i, got, want)
		}
	}
	if got := text(d.ask(other, question("here.test.", dns.TypeA))); got != "REFUSED" {
		t.Errorf("another name: got %s, want REFUSED", got)
	}
	if got := d.Metric(counted) - before; got != 3 {
		t.Errorf("%v queries of alice are counted, want 3", got)
	}
	_, body := d.Admin("GET", "/doh/clients")
	if got := string(body); !contains(got, `"name":"alice","queries":3,"limited":1,"limits":[{"limit":3,"used":3,"left":0`) || strings.Contains(got, "s3cret") {
		t.Errorf("the admin address says %s", got)
	}

	d.Reload(site("hosts 192.0.2.1 here.test", clients, "anonymous", "listen tls/"+d.tls+" udp/"+d.plain))
	if got := text(d.ask(other, question("here.test.", dns.TypeA))); got != "192.0.2.1" {
		t.Errorf("another name with anonymous: got %s", got)
	}
	if got := text(d.ask(d.dial("udp"), question("here.test.", dns.TypeA))); got != "192.0.2.1" {
		t.Errorf("plain DNS with anonymous: got %s", got)
	}
	if got := text(d.ask(alice, question("here.test.", dns.TypeA))); got != "REFUSED" {
		t.Errorf("alice beyond her limit: got %s", got)
	}
}

// The log says which names get no certificate, and how they get one.
func TestListenerNames(t *testing.T) {
	for _, tc := range []struct {
		global, sites string
		missing       bool
	}{
		{"", "", true},
		{"", "http://bob.dns.test:%[1]d {\n}\n", true},
		{"", "https://bob.dns.test:%[1]d {\n}\n", false},
		{"", "https://*.dns.test:%[1]d {\n}\n", false},
		{"", "https://*.test:%[1]d {\n}\n", true},
		{"tls_automate_names bob.dns.test", "", false},
		{"tls_automate_names *.dns.test", "", false},
		{"auto_https disable_certs", "https://bob.dns.test:%[1]d {\n}\n", true},
	} {
		d := newDoT(t)
		if tc.sites != "" {
			tc.sites = fmt.Sprintf(tc.sites, caddytest.Port(t))
		}
		c := caddytest.Start(t, fmt.Sprintf("{\n\tlocal_certs\n\t%s\n}\n%shttp://%s {\n\tdoh {\n\t\thosts 192.0.2.1 here.test\n\t\tclient bob /b0b bob.dns.test\n\t\tlisten tls/%s\n\t}\n}\n",
			tc.global, tc.sites, caddytest.Addr(t), d.tls), issuing(t))
		const says = "no site has this name of a DNS listener"
		if n := c.Logs.Count(says, `"line":"tls_automate_names bob.dns.test"`); (n == 1) != tc.missing || c.Logs.Count(says) != n {
			t.Errorf("%q, %q: %d warnings, want some: %v", tc.global, tc.sites, n, tc.missing)
		}
		if strings.HasPrefix(tc.global, "tls_automate_names bob") {
			var err error
			for range 100 { // its certificate is being made
				var conn *tls.Conn
				if conn, err = tls.Dial("tcp", d.tls, &tls.Config{ServerName: "bob.dns.test", InsecureSkipVerify: true}); err == nil {
					conn.Close()
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
			if err != nil {
				t.Errorf("%s: %v", tc.global, err)
			}
		}
		c.Stop()
	}
}

// An address has one limit for all listeners and HTTP.
func TestListenerPerIP(t *testing.T) {
	for i, network := range listeners {
		d := newDoT(t)
		d.start("hosts 192.0.2.1 here.test", "per_ip 4/day", d.listen())
		other := listeners[(i+1)%len(listeners)]
		d.ask(d.dial(other), question("here.test.", dns.TypeA))
		conn := d.dial(network)
		for range 3 {
			if got := text(d.ask(conn, question("here.test.", dns.TypeA))); got != "192.0.2.1" {
				t.Errorf("%s: got %s", network, got)
			}
		}
		if err := conn.WriteMsg(question("here.test.", dns.TypeA)); err != nil {
			t.Fatal(err)
		}
		reply, err := conn.ReadMsg()
		if err != nil || reply.Rcode != dns.RcodeRefused || reply.Id != 0xABCD {
			t.Errorf("%s: beyond the limit: %v (%v)", network, reply, err)
		}
		client := d.Client()
		client.Transport.(*http.Transport).TLSClientConfig = d.config("localhost")
		_, port, _ := net.SplitHostPort(d.https)
		if resp := post(t, client, "https://localhost:"+port+"/dns-query", pack(t, question("here.test.", dns.TypeA))); resp.StatusCode != http.StatusTooManyRequests {
			t.Errorf("%s: status %d over HTTPS", network, resp.StatusCode)
		}
		d.Stop()
	}
}
