package doh_test

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// Real servers are the upstream: unbound, and dnsdist before an unbound.
func TestServers(t *testing.T) {
	for name, newServer := range map[string]func(*testing.T, string, string) *server{
		"unbound": newUnbound,
		"dnsdist": newDnsdist,
	} {
		t.Run(name, func(t *testing.T) {
			cert, key := caddytest.Certificate(t)
			s := newServer(t, cert, key)
			s.start(t)
			t.Run("by itself", func(t *testing.T) { s.check(t) })
			for _, scheme := range []string{"https", "tls", "tcp", "udp"} {
				t.Run(scheme, func(t *testing.T) {
					addr, options := caddytest.Addr(t), ""
					if scheme == "https" || scheme == "tls" {
						options = " {\n\t\t\ttls_ca " + cert + "\n\t\t}"
					}
					c := caddytest.Start(t, site(addr, "upstream "+s.url(scheme)+options))
					for _, q := range zoneQueries {
						t.Run(q.name, func(t *testing.T) { q.ask(t, c.Client(), addr) })
					}
					for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
						t.Run("restart after "+signal.String(), func(t *testing.T) {
							s.stop(t, signal)
							s.start(t)
							askFresh(t, c.Client(), addr)
						})
					}
				})
			}
		})
	}
}

// zoneQuery is a question about the zone of newZone and its answer.
type zoneQuery struct {
	name   string
	asks   string
	qtype  uint16
	do     bool
	rcode  int
	answer map[uint16]int // how many records of which type
}

var zoneQueries = []zoneQuery{
	{"NOERROR", "WwW.Real.test.", dns.TypeA, false, dns.RcodeSuccess, map[uint16]int{dns.TypeA: 1}},
	{"NODATA", "www.real.test.", dns.TypeAAAA, false, dns.RcodeSuccess, nil},
	{"NXDOMAIN", "nobody.real.test.", dns.TypeA, false, dns.RcodeNameError, nil},
	{"alias", "alias.real.test.", dns.TypeA, false, dns.RcodeSuccess, map[uint16]int{dns.TypeCNAME: 1, dns.TypeA: 1}},
	{"HTTPS", "www.real.test.", dns.TypeHTTPS, false, dns.RcodeSuccess, map[uint16]int{dns.TypeHTTPS: 1}},
	{"big", "big.real.test.", dns.TypeTXT, false, dns.RcodeSuccess, map[uint16]int{dns.TypeTXT: bigRecords}},
	{"signed", "www.real.test.", dns.TypeA, true, dns.RcodeSuccess, map[uint16]int{dns.TypeA: 1, dns.TypeRRSIG: 1}},
}

// askFresh asks for a name that nobody has asked for before: no cache has it.
func askFresh(t *testing.T, client *http.Client, addr string) {
	t.Helper()
	name := fmt.Sprintf("x%d.any.real.test.", time.Now().UnixNano())
	zoneQuery{asks: name, qtype: dns.TypeA, answer: map[uint16]int{dns.TypeA: 1}}.ask(t, client, addr)
}

func (q zoneQuery) ask(t *testing.T, client *http.Client, addr string) {
	t.Helper()
	for method, send := range methods {
		query := question(q.asks, q.qtype)
		if q.do {
			query.SetEdns0(1232, true)
		}
		resp := send(t, client, "http://"+addr+"/dns-query", pack(t, query))
		reply := answer(t, query, resp)
		if reply.Rcode != q.rcode || reply.Truncated {
			t.Fatalf("%s: the answer is %v", method, reply)
		}
		got := make(map[uint16]int)
		for _, rr := range reply.Answer {
			got[rr.Header().Rrtype]++
		}
		if fmt.Sprint(got) != fmt.Sprint(q.answer) {
			t.Errorf("%s: the answer has records of the types %v, want %v", method, got, q.answer)
		}
		if len(q.answer) == 0 && (len(reply.Ns) == 0 || reply.Ns[0].Header().Rrtype != dns.TypeSOA) {
			t.Errorf("%s: a denial without SOA: %v", method, reply)
		}
		ttl := 300
		if len(q.answer) == 0 {
			ttl = 30 // the SOA's minimum
		}
		age, err := strconv.Atoi(strings.TrimPrefix(resp.Header.Get("Cache-Control"), "max-age="))
		if err != nil || age > ttl || age < ttl-10 {
			t.Errorf("%s: Cache-Control %q for a TTL of %d", method, resp.Header.Get("Cache-Control"), ttl)
		}
	}
}

// bigRecords of some 210 bytes each are too large for an answer over UDP.
const bigRecords = 20

// newZone writes the file of the zone real.test, with a signature.
func newZone(t *testing.T, dir string) string {
	t.Helper()
	zone := parse(
		"real.test. 300 IN SOA ns.real.test. nobody.invalid. 1 3600 1200 604800 30",
		"real.test. 300 IN NS ns.real.test.",
		"ns.real.test. 300 IN A 127.0.0.1",
		"www.real.test. 300 IN A 192.0.2.10",
		"www.real.test. 300 IN HTTPS 1 . alpn=h2",
		"*.any.real.test. 300 IN A 192.0.2.11",
		"alias.real.test. 300 IN CNAME www.real.test.",
	)
	for i := range bigRecords {
		zone = append(zone, parse(fmt.Sprintf("big.real.test. 300 IN TXT %03d%s", i, strings.Repeat("x", 200)))...)
	}
	key := &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: "real.test.", Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 300},
		Flags: 257, Protocol: 3, Algorithm: dns.ECDSAP256SHA256,
	}
	private, err := key.Generate(256)
	if err != nil {
		t.Fatal(err)
	}
	now := uint32(time.Now().Unix())
	signature := &dns.RRSIG{
		Hdr:       dns.RR_Header{Ttl: 300},
		Algorithm: key.Algorithm, KeyTag: key.KeyTag(), SignerName: "real.test.",
		Inception: now - 3600, Expiration: now + 24*3600,
	}
	if err := signature.Sign(private.(crypto.Signer), zone[3:4]); err != nil {
		t.Fatal(err)
	}
	var content strings.Builder
	for _, rr := range append(zone, key, signature) {
		fmt.Fprintln(&content, rr)
	}
	return write(t, dir, "real.test.zone", content.String())
}

func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// server is a DNS server on loopback.
type server struct {
	program string
	args    []string
	plain   int // port of UDP and TCP
	tls     int
	https   int

	cmd *exec.Cmd
	log bytes.Buffer
}

func newServer(t *testing.T, program string) *server {
	t.Helper()
	s := &server{
		program: caddytest.Program(t, program),
		plain:   caddytest.Port(t), tls: caddytest.Port(t), https: caddytest.Port(t),
	}
	t.Cleanup(func() { s.stop(t, syscall.SIGKILL) })
	return s
}

// newUnbound serves the zone real.test and refuses all others.
func newUnbound(t *testing.T, cert, key string) *server {
	t.Helper()
	s, dir := newServer(t, "unbound"), t.TempDir()
	s.args = []string{"-d", "-p", "-c", write(t, dir, "unbound.conf", fmt.Sprintf(`server:
	interface: 127.0.0.1@%[1]d
	interface: 127.0.0.1@%[2]d
	interface: 127.0.0.1@%[3]d
	tls-port: %[2]d
	https-port: %[3]d
	http-endpoint: /dns-query
	tls-service-pem: %[4]s
	tls-service-key: %[5]s
	directory: %[6]s
	chroot: ""
	username: ""
	use-syslog: no
	logfile: ""
	module-config: iterator
	local-zone: . refuse
	local-zone: real.test. transparent
auth-zone:
	name: real.test.
	zonefile: %[7]s
	for-downstream: yes
	for-upstream: no
	fallback-enabled: no
`, s.plain, s.tls, s.https, cert, key, dir, newZone(t, dir)))}
	return s
}

// newDnsdist is a load balancer before an unbound.
func newDnsdist(t *testing.T, cert, key string) *server {
	t.Helper()
	backend := newUnbound(t, cert, key)
	backend.start(t)
	s, dir := newServer(t, "dnsdist"), t.TempDir()
	s.args = []string{"--supervised", "--disable-syslog", "-C", write(t, dir, "dnsdist.conf", fmt.Sprintf(`
setLocal("127.0.0.1:%[1]d")
addTLSLocal("127.0.0.1:%[2]d", "%[4]s", "%[5]s")
addDOHLocal("127.0.0.1:%[3]d", "%[4]s", "%[5]s", "/dns-query")
setSecurityPollSuffix("")
newServer({address="127.0.0.1:%[6]d", tcpOnly=true}):setUp()
`, s.plain, s.tls, s.https, cert, key, backend.plain))}
	return s
}

func (s *server) url(scheme string) string {
	switch scheme {
	case "https":
		return fmt.Sprintf("https://localhost:%d/dns-query", s.https)
	case "tls":
		return fmt.Sprintf("tls://localhost:%d", s.tls)
	}
	return fmt.Sprintf("%s://127.0.0.1:%d", scheme, s.plain)
}

// check asks the server itself: over UDP the large answer does not fit.
func (s *server) check(t *testing.T) {
	t.Helper()
	for network, port := range map[string]int{"udp": s.plain, "tcp": s.plain, "tcp-tls": s.tls} {
		reply, err := s.exchange(network, port, question("big.real.test.", dns.TypeTXT).SetEdns0(4096, false))
		if err != nil {
			t.Errorf("%s: %v", network, err)
		} else if reply.Truncated != (network == "udp") || !reply.Truncated && len(reply.Answer) != bigRecords {
			t.Errorf("%s: truncated %v, %d records", network, reply.Truncated, len(reply.Answer))
		}
	}
}

// start runs the server, and returns when it answers at each of its ports. One
// that listens may still reset connections.
func (s *server) start(t *testing.T) {
	t.Helper()
	s.log.Reset()
	s.cmd = exec.Command(s.program, s.args...)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for _, ready := range []func() error{
		func() error { _, err := s.exchange("tcp", s.plain, question("www.real.test.", dns.TypeA)); return err },
		func() error {
			_, err := s.exchange("tcp-tls", s.tls, question("www.real.test.", dns.TypeA))
			return err
		},
		func() error { return handshake(s.https) },
	} {
		for {
			err := ready()
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				s.stop(t, syscall.SIGKILL)
				t.Fatalf("%s does not answer: %v\n%s", s.program, err, &s.log)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// exchange asks one of the server's ports.
func (s *server) exchange(network string, port int, query *dns.Msg) (*dns.Msg, error) {
	client := dns.Client{Net: network, TLSConfig: &tls.Config{InsecureSkipVerify: true}}
	reply, _, err := client.Exchange(query, fmt.Sprintf("127.0.0.1:%d", port))
	return reply, err
}

func handshake(port int) error {
	conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port), &tls.Config{InsecureSkipVerify: true})
	if err == nil {
		conn.Close()
	}
	return err
}

// stop ends the server, if it runs.
func (s *server) stop(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if s.cmd == nil {
		return
	}
	if err := s.cmd.Process.Signal(signal); err != nil {
		t.Errorf("stopping %s: %v\n%s", s.program, err, &s.log)
	}
	s.cmd.Wait() // its error says that a signal has ended it
	s.cmd = nil
}
