package doh_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// counted is a DoH server that counts its connections.
func counted(t *testing.T, http2 bool) (u *caddytest.Upstream, opened *atomic.Int64) {
	t.Helper()
	opened = new(atomic.Int64)
	sound := caddytest.DoH(caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(2 * time.Millisecond) // so that queries overlap
		sound(w, r)
	}))
	server.EnableHTTP2 = http2
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return &caddytest.Upstream{Server: server}, opened
}

// Over HTTP/2 one connection carries all queries; servers without it get a
// connection for each query under way. When the server has closed them all
// while they were idle, no query fails.
func TestConnections(t *testing.T) {
	const workers, queries = 16, 20
	for name, test := range map[string]struct {
		http2 bool
		most  int64 // connections until the server closes them
	}{
		"HTTP/2":   {true, 1},
		"HTTP/1.1": {false, workers},
	} {
		t.Run(name, func(t *testing.T) {
			u, opened := counted(t, test.http2)
			p := startPool(t, nil, t.TempDir(), up(t, u, "/"), "hedge off")
			load := func() {
				t.Helper()
				var wg sync.WaitGroup
				for range workers {
					wg.Go(func() {
						for range queries {
							query := question(fmt.Sprintf("www%d.example.", p.asked.Add(1)), dns.TypeA)
							if reply, _ := p.send(query); len(reply.Answer) != 1 {
								t.Errorf("the answer is %v", reply)
							}
						}
					})
				}
				wg.Wait()
			}
			load()
			if n := opened.Load(); n < 1 || n > test.most {
				t.Errorf("%d connections were opened, want %d at most", n, test.most)
			}
			u.CloseClientConnections()
			load()
			if n := opened.Load(); n > 2*test.most+workers {
				t.Errorf("%d connections were opened in all", n)
			}
			for _, state := range p.upstreams() {
				if state.Failures != 0 {
					t.Errorf("%d queries failed", state.Failures)
				}
			}
		})
	}
}
