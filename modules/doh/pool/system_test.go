package pool

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/dnsclient"
	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// The first name server of this machine is dead; the second truncates what is
// large, and gives it whole over TCP.
func TestSystem(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(file, []byte("nameserver 192.0.2.1\nnameserver 192.0.2.2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := caddytest.Addr(t)
	packet, err := net.ListenPacket("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		reply := new(dns.Msg).SetReply(m)
		for range 100 {
			reply.Answer = append(reply.Answer, rr(t, m.Question[0].Name+" 60 TXT some-text-of-some-length"))
		}
		if w.LocalAddr().Network() == "udp" {
			reply.Truncate(dns.MinMsgSize)
		}
		_ = w.WriteMsg(reply)
	})
	for _, server := range []*dns.Server{{PacketConn: packet, Handler: handler}, {Listener: stream, Handler: handler}} {
		go server.ActivateAndServe()
		t.Cleanup(func() { server.Shutdown() })
	}
	dead := caddytest.Addr(t)
	dial := func(ctx context.Context, network, server string) (net.Conn, error) {
		target := addr
		if strings.HasPrefix(server, "192.0.2.1:") {
			target = dead
		}
		return new(net.Dialer).DialContext(ctx, network, target)
	}
	a := &Account{name: "system", health: newHealth("system")}
	a.client, a.whole = dnsclient.NewSystemClients(dnsclient.NewSystem(file), dial)
	for range 2 {
		q := newQuery(t, "www.example.", dns.TypeTXT)
		resp, err := (&attempt{account: a}).run(t.Context(), q.Outgoing())
		if err != nil {
			t.Fatal(err)
		}
		if reply := unpack(t, resp.Render(q, 0)); reply.Truncated || len(reply.Answer) != 100 {
			t.Errorf("the answer has %d records", len(reply.Answer))
		}
	}
	// Each time one for the truncated response and one for the whole.
	if n := a.queries.Load(); n != 4 {
		t.Errorf("%d queries were sent, want 4", n)
	}
}

func newQuery(t testing.TB, name string, qtype uint16) *dnsmsg.Query {
	t.Helper()
	packed, err := new(dns.Msg).SetQuestion(name, qtype).Pack()
	if err != nil {
		t.Fatal(err)
	}
	q, err := dnsmsg.ParseQuery(packed)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func unpack(t testing.TB, msg []byte) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(msg); err != nil {
		t.Fatalf("%v in %x", err, msg)
	}
	return m
}

func rr(t testing.TB, s string) dns.RR {
	t.Helper()
	record, err := dns.NewRR(s)
	if err != nil {
		t.Fatal(err)
	}
	return record
}
