package doh_test

import (
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// relay passes connections on to a server. When it forgets them it swallows all
// that comes, as translators do; new connections it serves.
type relay struct {
	net.Listener
	generation atomic.Int64
}

func newRelay(t *testing.T, server string) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Listener: listener}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			backend, err := net.Dial("tcp", server)
			if err != nil {
				client.Close()
				continue
			}
			born := r.generation.Load()
			go r.pass(backend, client, born)
			go r.pass(client, backend, born)
		}
	}()
	return r
}

func (r *relay) pass(to, from net.Conn, born int64) {
	defer to.Close()
	buf := make([]byte, 1<<14)
	for {
		n, err := from.Read(buf)
		if r.generation.Load() != born {
			_, _ = io.Copy(io.Discard, from)
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// forget makes the relay forget all connections that it has.
func (r *relay) forget() { r.generation.Add(1) }

// lines are upstreams behind relays, by protocol. n is their number.
func lines(t *testing.T, n int) map[string]func() ([]*relay, []string) {
	t.Helper()
	records := caddytest.Records(t, "@ 60 IN A 192.0.2.1")
	behind := func(scheme, server, path, options string) (*relay, string) {
		r := newRelay(t, server)
		return r, fmt.Sprintf("upstream %s://%s%s {\n\t\t\t%s\n\t\t}\n", scheme, r.Addr(), path, options)
	}
	many := func(one func() (*relay, string)) func() ([]*relay, []string) {
		return func() (relays []*relay, options []string) {
			for range n {
				r, option := one()
				relays, options = append(relays, r), append(options, option)
			}
			return relays, options
		}
	}
	return map[string]func() ([]*relay, []string){
		"HTTP/2": many(func() (*relay, string) {
			u := caddytest.NewDoHUpstream(t, records)
			return behind("https", u.Addr(), "/", "tls_ca "+u.CAFile(t))
		}),
		"HTTP/1.1": many(func() (*relay, string) {
			server := httptest.NewUnstartedServer(caddytest.DoH(records))
			server.StartTLS()
			t.Cleanup(server.Close)
			u := &caddytest.Upstream{Server: server}
			return behind("https", u.Addr(), "/", "tls_ca "+u.CAFile(t))
		}),
		"TLS": many(func() (*relay, string) {
			s := caddytest.NewDNSServer(t, "tls", records)
			return behind("tls", s.Addr(), "", "tls_ca "+s.CAFile())
		}),
		"TCP": many(func() (*relay, string) {
			s := caddytest.NewDNSServer(t, "tcp", records)
			return behind("tcp", s.Addr(), "", "weight 1")
		}),
	}
}

// The line forgets all connections, as it does after sleep: a browser's burst of
// queries loses none, and none waits for a ping to time out. The servers are not
// to blame. The pool's clock stands still but for hedge delays, at most three of
// them: together with what loopback takes that is less than 1.5 s.
func TestForgottenConnections(t *testing.T) {
	for _, n := range []int{1, 2} {
		for protocol, start := range lines(t, n) {
			for _, hedge := range []string{"400ms", "off"} {
				t.Run(fmt.Sprintf("%s, %d upstreams, hedge %s", protocol, n, hedge), func(t *testing.T) {
					relays, options := start()
					clock := clockwork.NewFakeClock()
					p := startPool(t, clock, t.TempDir(), append(options, "timeout 15s", "hedge "+hedge)...)
					p.askAtOnce(10, new(atomic.Int64))()
					for round := range 2 {
						for _, r := range relays {
							r.forget()
						}
						passed := p.burst(clock, 60)
						if passed > 1200*time.Millisecond {
							t.Errorf("round %d: a query took %v", round+1, passed)
						}
						t.Logf("round %d: the longest took %v", round+1, passed)
					}
					for _, u := range p.upstreams() {
						if !u.CooldownUntil.IsZero() {
							t.Errorf("%s is in cooldown", u.Name)
						}
					}
				})
			}
		}
	}
}

// askAtOnce sends n queries at once, counts those that were answered, and returns a
// function that waits until all were.
func (p *pooled) askAtOnce(n int, answered *atomic.Int64) (wait func()) {
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			defer answered.Add(1)
			reply := p.ask(1)
			if reply.Rcode != dns.RcodeSuccess || len(reply.Answer) != 1 {
				p.t.Errorf("the response is %v", strings.ReplaceAll(reply.String(), "\n", " "))
			}
		})
	}
	return wg.Wait
}

// burst sends n queries at once and returns how long the last one took by the
// clock, which is turned by a hedge delay whenever nothing happens any more.
func (p *pooled) burst(clock *clockwork.FakeClock, n int) (passed time.Duration) {
	p.t.Helper()
	const exchanges = "pool.(*exchange).ask("
	before := waiting(exchanges)
	var answered atomic.Int64
	wait := p.askAtOnce(n, &answered)
	for int(answered.Load())+waiting(exchanges)-before < n {
		time.Sleep(time.Millisecond)
	}
	for settle(); answered.Load() < int64(n) && passed < 4*time.Second; settle() {
		clock.Advance(400 * time.Millisecond)
		passed += 400 * time.Millisecond
	}
	wait()
	return passed
}
