package dnsclient

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// A network forgets a connection without a word. The ping notices it, and the
// next query goes over a new one.
func TestDeadConnection(t *testing.T) {
	server := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	network := newNetwork(t, server.Addr())
	client := newHTTPS(t, server, network.Addr().String())
	transport := client.transport
	if transport.HTTP2.SendPingTimeout != pingAfter || transport.HTTP2.PingTimeout != pingTimeout {
		t.Fatalf("the pings are %+v", transport.HTTP2)
	}
	transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: 20 * time.Millisecond, PingTimeout: 100 * time.Millisecond}

	q := outgoing(t, "www.example.")
	if _, _, err := client.Exchange(t.Context(), q, new(Attempt)); err != nil {
		t.Fatal(err)
	}
	network.silent.Store(true)
	select {
	case <-network.closed:
	case <-time.After(time.Minute):
		t.Fatal("the dead connection was not closed")
	}
	network.silent.Store(false)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, _, err := client.Exchange(ctx, q, new(Attempt)); err != nil {
		t.Errorf("the next query failed: %v", err)
	}
}

// network passes connections on to a server until it falls silent.
type network struct {
	net.Listener
	silent atomic.Bool
	closed chan struct{} // by the client
}

func newNetwork(t *testing.T, server string) *network {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &network{Listener: listener, closed: make(chan struct{}, 10)}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", server)
			if err != nil {
				t.Error(err)
				client.Close()
				return
			}
			go n.pass(client, upstream)
			go func() {
				n.pass(upstream, client)
				n.closed <- struct{}{}
				upstream.Close()
			}()
		}
	}()
	return n
}

func (n *network) pass(to io.Writer, from io.Reader) {
	buf := make([]byte, 1<<16)
	for {
		k, err := from.Read(buf)
		if err != nil {
			return
		}
		if !n.silent.Load() {
			to.Write(buf[:k])
		}
	}
}
