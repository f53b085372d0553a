package doh_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// A listener that is open to abuse, or could answer nobody, does not load.
func TestListenMistakes(t *testing.T) {
	for options, want := range map[string]string{
		"listen :853":                                                "does not begin with tls/, udp/ or tcp/",
		"listen dns.example.com":                                     "does not begin with tls/, udp/ or tcp/",
		"listen udp/127.0.0.1 dns.example.com":                       "must follow an address with tls/",
		"listen tls/:853 a.example b.example":                        "two default names",
		"listen udp/:53":                                             "add per_ip, such as per_ip 20/second",
		"listen tcp/203.0.113.1":                                     "add per_ip",
		"listen udp/0.0.0.0:53\nclient a /a\nanonymous":              "add per_ip",
		"listen udp/127.0.0.1\nclient a /a":                          "add anonymous",
		"listen udp/127.0.0.1 udp/127.0.0.1:53":                      "udp/127.0.0.1:53 is listed twice",
		"listen tls/:853\nlisten tls/:853":                           "tls/:853 is listed twice",
		"client a /a a.example\nclient b /b A.example":               "client a has this host name already",
		"client a /a localhost":                                      "is not a host name such as",
		"client a /dns-query/x/*\nclient b /dns-query/x":             "client a has this path already",
		"client a /dns-query/My%20TV\nclient b \"/dns-query/My TV\"": "client a has this path already",
		"client a /dns-query/*/x":                                    "a path begins with / and contains none of",
		"client a /dns-query/%zz":                                    "two hexadecimal digits",
	} {
		_, err := caddytest.Adapt(site("127.0.0.1:1", "hosts 192.0.2.1 here.test", options))
		if err == nil || !contains(err.Error(), want, "Caddyfile:") {
			t.Errorf("%s: got %v, want %s", options, err, want)
		}
	}
	if _, err := caddytest.Adapt(site("127.0.0.1:1", "hosts 192.0.2.1 here.test", "listen udp/:53 tcp/:53", "per_ip 20/second")); err != nil {
		t.Errorf("a public address with per_ip: %v", err)
	}
}

// One block with sites on several servers has one socket; different blocks on
// one address do not load; and validating binds nothing.
func TestSharedListener(t *testing.T) {
	d := newDoT(t)
	_, httpPort, _ := net.SplitHostPort(caddytest.Addr(t))
	_, httpsPort, _ := net.SplitHostPort(d.https)
	both := fmt.Sprintf("{\n\tlocal_certs\n\tauto_https disable_redirects\n}\nhttp://localhost:%s, https://localhost:%s {\n\tdoh {\n\t\thosts 192.0.2.1 here.test\n\t\t%s\n\t}\n}\n", httpPort, httpsPort, d.listen())
	taken, err := net.Listen("tcp", d.plain)
	if err != nil {
		t.Fatal(err)
	}
	if err := caddytest.Validate(both); err != nil {
		t.Errorf("validating with a port that is in use: %v", err)
	}
	taken.Close()
	d.Caddy = caddytest.Start(t, both, issuing(t))
	for _, network := range listeners[1:] {
		if got := text(d.ask(d.dial(network), question("here.test.", dns.TypeA))); got != "192.0.2.1" {
			t.Errorf("%s: got %s", network, got)
		}
	}
	different := both + fmt.Sprintf("http://%s {\n\tdoh {\n\t\thosts 192.0.2.2 here.test\n\t\tlisten udp/%s\n\t}\n}\n", caddytest.Addr(t), d.plain)
	if err := d.TryReload(different); err == nil || !contains(err.Error(), "another block listens there with other options", d.plain) {
		t.Errorf("different blocks on one address: %v", err)
	}
	if got := text(d.ask(d.dial("udp"), question("here.test.", dns.TypeA))); got != "192.0.2.1" {
		t.Errorf("after a reload that failed: got %s", got)
	}
}

// A port that is in use refuses the reload, and the old configuration goes on.
func TestListenPortTaken(t *testing.T) {
	d := newDoT(t)
	d.start("hosts 192.0.2.1 here.test", d.listen())
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	err = d.TryReload(d.caddyfile("hosts 192.0.2.2 here.test", d.listen(), "listen tcp/"+taken.Addr().String()))
	if err == nil || !contains(err.Error(), "listen tcp/"+taken.Addr().String(), "another program") {
		t.Errorf("got %v", err)
	}
	for _, network := range listeners {
		if got := text(d.ask(d.dial(network), question("here.test.", dns.TypeA))); got != "192.0.2.1" {
			t.Errorf("%s: got %s", network, got)
		}
	}
	// So does one of HTTP, whether Caddy starts that app first or ours.
	for range 6 {
		both := d.caddyfile("hosts 192.0.2.2 here.test", d.listen()) + "http://127.0.0.1:" + strconv.Itoa(taken.Addr().(*net.TCPAddr).Port) + " {\n\tbind 127.0.0.1\n}\n"
		if err := d.TryReload(both); err == nil {
			t.Fatal("a port of HTTP that is in use was accepted")
		}
		for _, network := range listeners {
			if got := text(d.ask(d.dial(network), question("here.test.", dns.TypeA))); got != "192.0.2.1" {
				t.Errorf("%s: got %s", network, got)
			}
		}
	}
	// The other way round: the old sockets are free when they are given up.
	d.Reload(d.caddyfile("hosts 192.0.2.2 here.test"))
	if l, err := net.Listen("tcp", d.plain); err != nil {
		t.Errorf("a listener that was given up: %v", err)
	} else {
		l.Close()
	}
}

// Reloads under load lose no query on any listener.
func TestListenReloads(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.7"))
	d := newDoT(t)
	options := func(i int) []string {
		return []string{up(t, u, "/"), "hosts 192.0.2." + strconv.Itoa(i+1) + " here.test", d.listen()}
	}
	d.start(options(0)...)
	done := make(chan struct{})
	var clients sync.WaitGroup
	var asked atomic.Int64
	for i, network := range append(listeners, listeners...) {
		conn := d.dial(network)
		clients.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				name := "here.test."
				if n%2 == 1 {
					name = fmt.Sprintf("n%d-%d.example.", i, n)
				}
				q := question(name, dns.TypeA)
				if err := conn.WriteMsg(q); err != nil {
					t.Errorf("%s: a query was not sent: %v", network, err)
					return
				}
				reply, err := conn.ReadMsg()
				if err != nil {
					t.Errorf("%s: a query was lost: %v", network, err)
					return
				}
				if len(reply.Answer) != 1 {
					t.Errorf("%s: the response is %v", network, reply)
				}
				asked.Add(1)
			}
		})
	}
	for i := range 10 {
		for before := asked.Load(); asked.Load() < before+50 && !t.Failed(); {
			time.Sleep(time.Millisecond)
		}
		d.Reload(d.caddyfile(options(i % 2)...))
	}
	close(done)
	clients.Wait()
	t.Logf("%d queries", asked.Load())
}

// Reloads leave neither goroutines nor connections behind.
func TestListenLeak(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.7"))
	d := newDoT(t)
	list := t.TempDir() + "/list"
	if err := os.WriteFile(list, []byte("a.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := d.caddyfile(up(t, u, "/"), "hosts file "+list+".hosts", "for file "+list+" {\nupstream udp://127.0.0.1:9\n}", d.listen())
	if err := os.WriteFile(list+".hosts", []byte("192.0.2.1 here.test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.Caddy = caddytest.Start(t, config)
	d.Reload(config)
	before := caddytest.Goroutines()
	for i := range 50 {
		d.Reload(strings.Replace(config, "hosts file", fmt.Sprintf("hosts 192.0.2.%d x.test\nhosts file", i), 1))
	}
	caddytest.NoLeak(t, before)
	conn := d.dial("tcp-tls")
	d.ask(conn, question("here.test.", dns.TypeA))
	d.Stop()
	if _, err := conn.ReadMsg(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end of Caddy: %v, want the end of the connection", err)
	}
}
