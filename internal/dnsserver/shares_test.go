package dnsserver_test

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsserver"
)

// A client whose queries are not answered, on as many connections as it likes, holds
// up no other client.
func TestClientsShareOfQueries(t *testing.T) {
	const (
		most        = 1024 // queries of a client that are answered at once
		connections = 65
		pipelined   = 128 // all together more than the listener answers at once
	)
	l := listen(t, dnsserver.TCP, clockwork.NewRealClock())
	slow := make(chan struct{})
	var running, answered atomic.Int64
	defer l.use(func(r *dnsserver.Request, buf []byte) []byte {
		if r.Client.String() == "127.0.0.1" {
			running.Add(1)
			<-slow
			running.Add(-1)
			answered.Add(1)
		}
		return texts("a")(r, buf)
	})()
	for range connections {
		conn := l.dial()
		for range pipelined {
			if err := conn.WriteMsg(query("a.")); err != nil {
				t.Fatal(err)
			}
		}
	}
	for running.Load() < most {
		time.Sleep(time.Millisecond)
	}
	other := &dns.Client{Net: "tcp", Timeout: 20 * time.Second, Dialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}}
	if _, _, err := other.Exchange(query("a."), net.JoinHostPort(l.address.Host, l.address.Port)); err != nil {
		t.Errorf("another client got no response: %v", err)
	}
	if n := running.Load(); n != most {
		t.Errorf("%d queries of one client are answered at once, want %d", n, most)
	}
	close(slow)
	for answered.Load() < connections*pipelined {
		time.Sleep(time.Millisecond)
	}
}

// The same over UDP, where the queries of others would wait in the socket's queue.
func TestClientsShareOfPackets(t *testing.T) {
	const most = 1024
	l := listen(t, dnsserver.UDP, clockwork.NewRealClock())
	slow := make(chan struct{})
	var running atomic.Int64
	defer l.use(func(r *dnsserver.Request, buf []byte) []byte {
		if r.Client.String() == "127.0.0.1" {
			running.Add(1)
			<-slow
		}
		return texts("a")(r, buf)
	})()
	defer close(slow)
	conn := l.dial()
	send := func() {
		if err := conn.WriteMsg(query("a.")); err != nil {
			t.Fatal(err)
		}
	}
	for i := range int64(most) {
		send()
		for running.Load() <= i { // so that none is lost
			time.Sleep(100 * time.Microsecond)
		}
	}
	for range 4 * most {
		send()
	}
	other := &dns.Client{Net: "udp", Timeout: time.Second, Dialer: &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)}}}
	var err error
	for range 20 { // the kernel may have dropped a query
		if _, _, err = other.Exchange(query("a."), net.JoinHostPort(l.address.Host, l.address.Port)); err == nil {
			break
		}
	}
	if err != nil {
		t.Errorf("another client got no response: %v", err)
	}
	if n := running.Load(); n != most {
		t.Errorf("%d queries of one client are answered at once, want %d", n, most)
	}
}
