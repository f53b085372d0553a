package main

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
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

// peer is what another DNS server is started with.
type peer struct {
	doh, dot  string // ports
	cert, key string // files
	upstream  string // URL of a DoH server
	plain     string // address of a plain DNS server, for those that cannot ask that
	dir       string // for files of its own
}

// command returns what starts a server, nil if it does not do that.
func (p peer) command(b *testing.B, name string) []string {
	switch name {
	case "dnsdist":
		return []string{"--supervised", "--disable-syslog", "-C", p.write(b, fmt.Sprintf(`
setSecurityPollSuffix("")
addTLSLocal("127.0.0.1:%s", "%s", "%s")
addDOHLocal("127.0.0.1:%s", "%[2]s", "%[3]s", "/dns-query")
newServer({address="%[5]s"}):setUp()
getPool(""):setCache(newPacketCache(100000))
`, p.dot, p.cert, p.key, p.doh, p.plain))}
	case "unbound":
		host, port, _ := net.SplitHostPort(p.plain)
		return []string{"-d", "-p", "-c", p.write(b, fmt.Sprintf(`
server:
  num-threads: 2
  interface: 127.0.0.1@%s
  interface: 127.0.0.1@%s
  tls-port: %[1]s
  https-port: %[2]s
  tls-service-pem: %s
  tls-service-key: %s
  directory: %s
  chroot: ""
  username: ""
  use-syslog: no
  logfile: ""
  do-not-query-localhost: no
  module-config: iterator
  incoming-num-tcp: 100
forward-zone:
  name: .
  forward-addr: %s@%s
`, p.dot, p.doh, p.cert, p.key, p.dir, host, port))}
	case "dnsproxy":
		return []string{
			"--listen=127.0.0.1", "--port=0", "--https-port=" + p.doh, "--tls-port=" + p.dot, "--tls-crt=" + p.cert, "--tls-key=" + p.key,
			"--cache", "--cache-size=4000000", "--insecure", "--upstream=" + p.upstream + "/dns-query",
		}
	case "routedns":
		return []string{p.write(b, fmt.Sprintf(`
[resolvers.upstream]
address = "%s"
protocol = "udp"
[groups.cache]
type = "cache"
resolvers = ["upstream"]
[listeners.doh]
address = "127.0.0.1:%s"
protocol = "doh"
resolver = "cache"
server-crt = "%s"
server-key = "%s"
[listeners.dot]
address = "127.0.0.1:%s"
protocol = "dot"
resolver = "cache"
server-crt = "%[3]s"
server-key = "%[4]s"
`, p.plain, p.doh, p.cert, p.key, p.dot))}
	}
	b.Fatalf("no command for %s", name)
	return nil
}

// write writes a configuration and returns its file.
func (p peer) write(b *testing.B, text string) string {
	b.Helper()
	file := filepath.Join(p.dir, "peer.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	return file
}

// BenchmarkPeerDoHHit and BenchmarkPeerDoTHit compare answers from the cache with those
// of other servers that are installed.
func BenchmarkPeerDoHHit(b *testing.B) {
	eachPeer(b, func(b *testing.B, program string, p peer) {
		other := runProgram(b, "127.0.0.1:"+p.doh, exec.Command(program, p.command(b, filepath.Base(program))...))
		addr := caddytest.Addr(b)
		ours := run(b, addr, p.ours(addr, ""))
		trusted, err := os.ReadFile(p.cert)
		if err != nil {
			b.Fatal(err)
		}
		side := func(p *process) *load {
			return &load{process: p, workers: 32, send: newDoHClient(b, "https://"+p.addr+"/dns-query", trusted, 100).send}
		}
		compare(b, side(other), side(ours), 6000)
	})
}

func BenchmarkPeerDoTHit(b *testing.B) {
	eachPeer(b, func(b *testing.B, program string, p peer) {
		other := runProgram(b, "127.0.0.1:"+p.dot, exec.Command(program, p.command(b, filepath.Base(program))...))
		addr := caddytest.Addr(b)
		ours := run(b, addr, p.ours(caddytest.Addr(b), "listen tls/"+addr+" localhost"))
		trusted, err := os.ReadFile(p.cert)
		if err != nil {
			b.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(trusted)
		side := func(p *process) *load {
			return &load{process: p, workers: 32, send: newDoTClient(b, p.addr, roots, 32).send}
		}
		compare(b, side(other), side(ours), 20000)
	})
}

// ours is our Caddyfile beside a peer: a site with an option more.
func (p peer) ours(addr, option string) string {
	return fmt.Sprintf("https://%s {\n\ttls %s %s\n\tdoh {\n\t\tupstream %s {\n\t\t\ttls_ca %s\n\t\t}\n\t\t%s\n\t}\n}\n",
		addr, p.cert, p.key, p.upstream, filepath.Join(p.dir, "upstream.pem"), option)
}

// eachPeer runs a benchmark with each server that is installed.
func eachPeer(b *testing.B, compare func(b *testing.B, program string, p peer)) {
	if os.Getenv(peersVar) == "off" {
		b.Skip(peersVar + " is off")
	}
	for _, name := range dnsPeers {
		b.Run(name, func(b *testing.B) {
			program, err := exec.LookPath(name)
			if err != nil {
				b.Skip(name + " is not installed")
			}
			p := peer{doh: strconv.Itoa(caddytest.Port(b)), dot: strconv.Itoa(caddytest.Port(b)), plain: plainServer(b), dir: b.TempDir()}
			p.cert, p.key = caddytest.Certificate(b)
			url, ca := dohServer(b)
			p.upstream = url
			if err := os.Rename(ca, filepath.Join(p.dir, "upstream.pem")); err != nil {
				b.Fatal(err)
			}
			compare(b, program, p)
		})
	}
}

// plainServer answers queries over UDP and TCP. It returns its address.
func plainServer(b *testing.B) string {
	addr := caddytest.Addr(b)
	answer := dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		packed, err := query.Pack()
		if err == nil && len(packed) >= 40 {
			_, _ = w.Write(reply(packed))
		}
	})
	for _, network := range []string{"udp", "tcp"} {
		started := make(chan struct{})
		server := &dns.Server{Addr: addr, Net: network, Handler: answer, NotifyStartedFunc: func() { close(started) }, MaxTCPQueries: -1}
		go func() { _ = server.ListenAndServe() }()
		<-started
		b.Cleanup(func() { _ = server.Shutdown() })
	}
	return addr
}

// BenchmarkPeerChat compares a 1 KB chat with another gateway that somebody has
// started.
func BenchmarkPeerChat(b *testing.B) {
	g := gatewayPeer{
		URL: strings.TrimSuffix(os.Getenv(gatewayURLVar), "/"), Key: os.Getenv(gatewayKeyVar), Model: os.Getenv(gatewayModelVar),
		PID: os.Getenv(gatewayPIDVar), Upstream: os.Getenv(gatewayUpstreamVar),
	}
	if g.URL == "" {
		b.Skip("no gateway to compare with")
	}
	listener, err := net.Listen("tcp", g.Upstream)
	if err != nil {
		b.Fatal(err)
	}
	upstream := httptest.NewUnstartedServer(http.HandlerFunc(answerWhole))
	_ = upstream.Listener.Close()
	upstream.Listener = listener
	upstream.Start()
	b.Cleanup(upstream.Close)
	body := []byte(strings.Replace(string(chat(1<<10)), "gpt-4o", g.Model, 1))
	header := sdkHeader.Clone()
	header.Set("Authorization", "Bearer "+g.Key)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	b.Cleanup(client.CloseIdleConnections)
	pid, _ := strconv.Atoi(g.PID) // 0 without: its CPU time is not known
	other := &load{process: &process{pid: pid}, workers: 16, send: func(b *testing.B, _ int) {
		sendAs(b, client, g.URL+"/v1/chat/completions", header, body, -1)
	}}
	compare(b, other, newSide(b, gatewaySite(upstream.URL, ""), "/v1/chat/completions", chat(1<<10), -1, 16), 2000)
}

// runProgram starts another server, and returns when it listens.
func runProgram(b *testing.B, addr string, cmd *exec.Cmd) *process {
	b.Helper()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return &process{pid: cmd.Process.Pid, addr: addr}
		}
		if time.Now().After(deadline) {
			b.Fatalf("%s does not listen on %s", cmd.Path, addr)
		}
	}
}
