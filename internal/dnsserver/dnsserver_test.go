package dnsserver_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/miekg/dns"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/dnsserver"
)

// certificate returns the server's and the clients' configuration.
func certificate(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	certFile, keyFile := caddytest.Certificate(t)
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"dot"}},
		&tls.Config{RootCAs: roots, ServerName: "localhost"}
}

// listener is a socket that a test uses.
type listener struct {
	*dnsserver.Socket
	t       testing.TB
	address dnsserver.Address
	server  *tls.Config
	client  *tls.Config
	clock   clockwork.Clock
}

func listen(t testing.TB, network string, clock clockwork.Clock) *listener {
	t.Helper()
	address, err := dnsserver.ParseAddress(fmt.Sprintf("%s/127.0.0.1:%d", network, caddytest.Port(t)))
	if err != nil {
		t.Fatal(err)
	}
	return listenOn(t, address, clock)
}

func listenOn(t testing.TB, address dnsserver.Address, clock clockwork.Clock) *listener {
	t.Helper()
	l := &listener{t: t, address: address, clock: clock}
	if address.Network == dnsserver.TLS {
		l.server, l.client = certificate(t)
	}
	var err error
	if l.Socket, err = dnsserver.Open(address, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// use puts a handler behind the socket and returns what takes it away.
func (l *listener) use(handler dnsserver.Handler) (release func()) {
	service := dnsserver.NewService(handler, l.server, l.clock)
	l.Use(service)
	return sync.OnceFunc(func() { l.Release(service) })
}

// dial connects a client.
func (l *listener) dial() *dns.Conn {
	l.t.Helper()
	network := map[string]string{dnsserver.UDP: "udp", dnsserver.TCP: "tcp", dnsserver.TLS: "tcp-tls"}[l.address.Network]
	client := &dns.Client{Net: network, TLSConfig: l.client, Timeout: 10 * time.Second}
	host := l.address.Host
	if host == "" {
		host = "127.0.0.1"
	}
	conn, err := client.Dial(net.JoinHostPort(host, l.address.Port))
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	return conn
}

func query(name string) *dns.Msg { return new(dns.Msg).SetQuestion(name, dns.TypeTXT) }

// ask sends a query and returns the response.
func ask(t testing.TB, conn *dns.Conn, q *dns.Msg) *dns.Msg {
	t.Helper()
	if err := conn.WriteMsg(q); err != nil {
		t.Fatal(err)
	}
	reply, err := conn.ReadMsg()
	if err != nil {
		t.Fatal(err)
	}
	if reply.Id != q.Id {
		t.Fatalf("the response has ID %d, want %d", reply.Id, q.Id)
	}
	return reply
}

// texts answers with the given texts.
func texts(text ...string) dnsserver.Handler {
	return func(r *dnsserver.Request, buf []byte) []byte {
		var q dns.Msg
		if q.Unpack(r.Message) != nil {
			return nil
		}
		reply := new(dns.Msg).SetReply(&q)
		if len(text) > 0 {
			reply.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: text}}
		}
		if opt := q.IsEdns0(); opt != nil {
			reply.SetEdns0(1232, opt.Do())
		}
		packed, err := reply.Pack()
		if err != nil {
			panic(err)
		}
		return append(buf, packed...)
	}
}

var networks = []string{dnsserver.UDP, dnsserver.TCP, dnsserver.TLS}

func each(t *testing.T, test func(t *testing.T, network string)) {
	for _, network := range networks {
		t.Run(network, func(t *testing.T) { test(t, network) })
	}
}

func TestAnswer(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		l := listen(t, network, clockwork.NewRealClock())
		var got atomic.Pointer[dnsserver.Request]
		defer l.use(func(r *dnsserver.Request, buf []byte) []byte {
			copied := *r
			got.Store(&copied)
			return texts("a")(r, buf)
		})()
		conn := l.dial()
		for range 3 {
			if reply := ask(t, conn, query("a.example.")); len(reply.Answer) != 1 {
				t.Errorf("the response is %v", reply)
			}
		}
		r := got.Load()
		if r.Network != network || r.Client.String() != "127.0.0.1" {
			t.Errorf("the request is %+v", r)
		}
		if want := map[string]string{dnsserver.TLS: "localhost"}[network]; r.ServerName != want {
			t.Errorf("the server name is %q, want %q", r.ServerName, want)
		}
	})
}

// Over UDP a response is cut to the size that the client names.
func TestTruncation(t *testing.T) {
	l := listen(t, dnsserver.UDP, clockwork.NewRealClock())
	long := strings.Repeat("x", 250)
	defer l.use(func(r *dnsserver.Request, buf []byte) []byte {
		n := map[byte]int{'1': 1, '4': 4, '6': 6, '9': 20}[r.Message[13]]
		var all []string
		for range n {
			all = append(all, long)
		}
		return texts(all...)(r, buf)
	})()
	for _, tc := range []struct {
		name string
		size uint16 // 0: no EDNS
		tc   bool
	}{
		{"1.", 0, false},
		{"4.", 0, true},
		{"4.", 512, true},
		{"4.", 100, true},
		{"4.", 1232, false},
		{"6.", 1232, true},
		{"6.", 4096, false},
		{"9.", 4096, true},
		{"9.", 65535, true},
	} {
		conn := l.dial()
		conn.UDPSize = 65535
		q := query(tc.name)
		if tc.size > 0 {
			q.SetEdns0(tc.size, false)
		}
		reply := ask(t, conn, q)
		if reply.Truncated != tc.tc {
			t.Errorf("%s with size %d: truncated %v, want %v", tc.name, tc.size, reply.Truncated, tc.tc)
		}
		if len(reply.Question) != 1 || (reply.IsEdns0() != nil) != (tc.size > 0) {
			t.Errorf("%s with size %d: the response is %v", tc.name, tc.size, reply)
		}
	}
}

// A slow query holds up no other, and responses come as they are ready.
func TestPipelining(t *testing.T) {
	for _, network := range networks[1:] {
		t.Run(network, func(t *testing.T) {
			l := listen(t, network, clockwork.NewRealClock())
			slow := make(chan struct{})
			defer l.use(func(r *dnsserver.Request, buf []byte) []byte {
				if r.Message[13] == '0' {
					<-slow
				}
				return texts("a")(r, buf)
			})()
			conn := l.dial()
			for i := range 20 {
				q := query(fmt.Sprintf("%d.", i))
				q.Id = uint16(i)
				if err := conn.WriteMsg(q); err != nil {
					t.Fatal(err)
				}
			}
			for i := range 20 {
				if i == 19 {
					close(slow)
				}
				reply, err := conn.ReadMsg()
				if err != nil {
					t.Fatal(err)
				}
				if first := reply.Id == 0; first != (i == 19) {
					t.Errorf("response %d has ID %d", i, reply.Id)
				}
			}
		})
	}
}

// All queries of a client that closes its own direction are answered.
func TestHalfClose(t *testing.T) {
	l := listen(t, dnsserver.TCP, clockwork.NewRealClock())
	defer l.use(func(r *dnsserver.Request, buf []byte) []byte {
		time.Sleep(20 * time.Millisecond)
		return texts("a")(r, buf)
	})()
	conn := l.dial()
	if err := conn.WriteMsg(query("a.")); err != nil {
		t.Fatal(err)
	}
	if err := conn.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ReadMsg(); err != nil {
		t.Error(err)
	}
}

// A connection is closed when it has been idle for 30 seconds, not after 20.
func TestIdle(t *testing.T) {
	for _, network := range networks[1:] {
		t.Run(network, func(t *testing.T) {
			clock := clockwork.NewFakeClock()
			l := listen(t, network, clock)
			slow := make(chan struct{})
			defer l.use(func(r *dnsserver.Request, buf []byte) []byte {
				if r.Message[13] == 's' {
					<-slow
				}
				return texts("a")(r, buf)
			})()
			wait := func() {
				t.Helper()
				if err := clock.BlockUntilContext(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
			}
			conn := l.dial()
			for range 3 {
				ask(t, conn, query("a."))
				wait()
				clock.Advance(20 * time.Second)
			}
			// A query under way keeps it open.
			if err := conn.WriteMsg(query("s.")); err != nil {
				t.Fatal(err)
			}
			ask(t, conn, query("a."))
			clock.Advance(time.Minute)
			close(slow)
			if _, err := conn.ReadMsg(); err != nil {
				t.Fatal(err)
			}
			wait()
			clock.Advance(31 * time.Second)
			if _, err := conn.ReadMsg(); !errors.Is(err, io.EOF) {
				t.Errorf("after 31 s: %v, want the end", err)
			}
			ask(t, l.dial(), query("a."))
		})
	}
}

// A response comes from the address that the query was sent to.
func TestSourceAddress(t *testing.T) {
	for _, host := range []string{"", "0.0.0.0"} {
		l := listenOn(t, dnsserver.Address{Network: dnsserver.UDP, Host: host, Port: fmt.Sprint(caddytest.Port(t))}, clockwork.NewRealClock())
		release := l.use(texts("a"))
		addresses := []string{"127.0.0.1", "127.0.0.2"}
		if host == "" {
			addresses = append(addresses, "::1")
		}
		for _, address := range addresses {
			client := &dns.Client{Timeout: time.Minute} // its socket is connected
			if _, _, err := client.Exchange(query("a."), net.JoinHostPort(address, l.address.Port)); err != nil {
				t.Errorf("%s: %v", address, err)
			}
		}
		release()
	}
}

// What is no query leaves the listener able to answer others.
func TestGarbage(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		l := listen(t, network, clockwork.NewRealClock())
		defer l.use(func(r *dnsserver.Request, buf []byte) []byte {
			if len(r.Message) > 13 && r.Message[13] == 'p' {
				panic("a test")
			}
			return texts("a")(r, buf)
		})()
		raw := map[string]string{dnsserver.UDP: "udp"}[network]
		if raw == "" {
			raw = "tcp"
		}
		for _, garbage := range []string{"", "\x00", "\x00\x00", "GET / HTTP/1.1\r\n\r\n", "\xFF\xFFabc", strings.Repeat("\x00\x01x", 1000)} {
			conn, err := net.Dial(raw, net.JoinHostPort(l.address.Host, l.address.Port))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = conn.Write([]byte(garbage))
			conn.Close()
		}
		conn := l.dial()
		if err := conn.WriteMsg(query("p.")); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			ask(t, conn, query("a."))
		}
	})
}

// One client has a bounded number of connections: the one that has been idle
// longest makes room.
func TestManyConnections(t *testing.T) {
	const most = 128
	clock := clockwork.NewFakeClock()
	l := listen(t, dnsserver.TCP, clock)
	defer l.use(texts("a"))()
	var conns []*dns.Conn
	for i := range most + 10 {
		conn := l.dial()
		ask(t, conn, query("a."))
		if err := clock.BlockUntilContext(t.Context(), min(i+1, most)); err != nil { // until it is idle
			t.Fatal(err)
		}
		clock.Advance(time.Millisecond)
		conns = append(conns, conn)
	}
	for i, conn := range conns {
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		if i >= 10 {
			ask(t, conn, query("a."))
			continue
		}
		var timeout net.Error
		if _, err := conn.ReadMsg(); err == nil || (errors.As(err, &timeout) && timeout.Timeout()) {
			t.Errorf("connection %d, one of the oldest, was not closed (%v)", i, err)
		}
	}
}

func TestNoLeak(t *testing.T) {
	before := caddytest.Goroutines()
	each(t, func(t *testing.T, network string) {
		for range 50 {
			l := listen(t, network, clockwork.NewRealClock())
			release := l.use(texts("a"))
			ask(t, l.dial(), query("a."))
			release()
		}
	})
	caddytest.NoLeak(t, before)
}

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]struct {
		address string
		public  bool
	}{
		"tls/:853":             {"tls/:853", true},
		"tls/":                 {"tls/:853", true},
		"udp/127.0.0.1":        {"udp/127.0.0.1:53", false},
		"udp/127.0.0.1:5353":   {"udp/127.0.0.1:5353", false},
		"tcp/[::1]:53":         {"tcp/[::1]:53", false},
		"tcp/::1":              {"tcp/[::1]:53", false},
		"tcp/[::1]":            {"tcp/[::1]:53", false},
		"udp/192.168.1.1:53":   {"udp/192.168.1.1:53", false},
		"udp/100.100.1.1:53":   {"udp/100.100.1.1:53", false},
		"udp/fd00::1":          {"udp/[fd00::1]:53", false},
		"udp/0.0.0.0:53":       {"udp/0.0.0.0:53", true},
		"udp/[::]:53":          {"udp/[::]:53", true},
		"udp/203.0.113.7:53":   {"udp/203.0.113.7:53", true},
		"udp/[2001:db8::1]:53": {"udp/[2001:db8::1]:53", true},
	} {
		got, err := dnsserver.ParseAddress(text)
		if err != nil || got.String() != want.address || got.Public() != want.public {
			t.Errorf("%s: %s, public %v (%v), want %+v", text, got, got.Public(), err, want)
		}
	}
	for _, text := range []string{
		"", ":853", "853", "tls", "dot/:853", "https/:443", "tls/:x", "tls/:0", "tls/:70000", "tls/:-1", "udp/dns.example.com:53", "udp/localhost",
		"udp/127.0.0.1:53-54", "tls/127.0.0.1:", "TLS/:853",
	} {
		if got, err := dnsserver.ParseAddress(text); err == nil {
			t.Errorf("%q is read as %s", text, got)
		}
	}
}
