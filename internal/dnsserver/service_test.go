package dnsserver_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/miekg/dns"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsserver"
)

// Replacing services loses no query: not on UDP, and not on connections that
// stay open.
func TestReplace(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		l := listen(t, network, clockwork.NewRealClock())
		release := l.use(texts("0"))
		done := make(chan struct{})
		var clients sync.WaitGroup
		var asked atomic.Int64
		for range 4 {
			conn := l.dial()
			clients.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
					}
					if err := conn.WriteMsg(query("a.")); err != nil {
						t.Errorf("a query was not sent: %v", err)
						return
					}
					if _, err := conn.ReadMsg(); err != nil {
						t.Errorf("a query was lost: %v", err)
						return
					}
					asked.Add(1)
				}
			})
		}
		for i := range 10 {
			for before := asked.Load(); asked.Load() < before+20 && !t.Failed(); {
				time.Sleep(time.Millisecond)
			}
			next := l.use(texts(fmt.Sprint(i)))
			release()
			release = next
		}
		close(done)
		clients.Wait()
		release()
	})
}

// When a new service goes, the old one answers again; Release waits for what
// the service is answering.
func TestRelease(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		l := listen(t, network, clockwork.NewRealClock())
		defer l.use(texts("old"))()
		started, slow := make(chan struct{}), make(chan struct{})
		release := l.use(func(r *dnsserver.Request, buf []byte) []byte {
			close(started)
			<-slow
			return texts("new")(r, buf)
		})
		conn := l.dial()
		if err := conn.WriteMsg(query("a.")); err != nil {
			t.Fatal(err)
		}
		<-started
		released := make(chan struct{})
		go func() { release(); close(released) }()
		other := l.dial()
		for text := ""; text != "old"; {
			select {
			case <-released:
				t.Fatal("it was released while it was answering")
			default:
			}
			// Until it has been released, the new one may get the query.
			if err := other.WriteMsg(query("a.")); err != nil {
				t.Fatal(err)
			}
			reply, err := other.ReadMsg()
			if err != nil {
				t.Fatal(err)
			}
			text = reply.Answer[0].(*dns.TXT).Txt[0]
		}
		close(slow)
		reply, err := conn.ReadMsg()
		if err != nil || reply.Answer[0].(*dns.TXT).Txt[0] != "new" {
			t.Errorf("the response is %v (%v)", reply, err)
		}
		<-released
	})
}

func TestPortTaken(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		l := listen(t, network, clockwork.NewRealClock())
		other := l.address
		other.Network = map[string]string{dnsserver.TLS: dnsserver.TCP, dnsserver.TCP: dnsserver.TLS}[network]
		if network == dnsserver.UDP {
			other = dnsserver.Address{Network: dnsserver.UDP, Host: "0.0.0.0", Port: l.address.Port}
		}
		if _, err := dnsserver.Open(other, zap.NewNop()); err == nil || !strings.Contains(err.Error(), "another program") {
			t.Errorf("a taken port: %v", err)
		}
		again, err := dnsserver.Open(l.address, zap.NewNop())
		if err != nil || again != l.Socket {
			t.Fatalf("the same address: %v", err)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	})
}
