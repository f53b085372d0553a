package fastestswagger

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
)

// ranked returns a policy whose pool has loaded its page in the given
// milliseconds; 0 stands for not yet, a negative number for a failure.
func ranked(t testing.TB, margin float64, loads ...int) (*Selection, reverseproxy.UpstreamPool) {
	t.Helper()
	s := &Selection{
		Margin:   &margin,
		clock:    clockwork.NewFakeClock(),
		logger:   zap.NewNop(),
		triedVar: fmt.Sprintf("swagger.%p", t),
		fallback: reverseproxy.RandomSelection{},
	}
	var pool reverseproxy.UpstreamPool
	for i, load := range loads {
		u := &reverseproxy.Upstream{Dial: fmt.Sprintf("u%d.example:443", i), Host: new(reverseproxy.Host)}
		p := &page{interval: 30 * time.Second, users: make(map[*Selection]int)}
		switch {
		case load > 0:
			p.passed(s.clock.Now(), time.Duration(load)*time.Millisecond)
		case load < 0:
			p.failed(s.clock.Now(), errors.New("on purpose"))
		}
		awake.Touch(u.Dial)
		pool = append(pool, u)
		s.members = append(s.members, &member{dial: u.Dial, name: u.Dial, page: p, upstream: u})
	}
	s.refresh()
	return s, pool
}

// request returns a request as deep in contexts as Caddy's are.
func request(t testing.TB) *http.Request {
	t.Helper()
	type key string
	ctx := context.Background()
	for _, k := range []key{"server", "addr", "cancel", "replacer", "server2"} {
		ctx = context.WithValue(ctx, k, true)
	}
	ctx = context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any{
		caddyhttp.TrustedProxyVarKey: false, caddyhttp.ClientIPVarKey: "192.0.2.1",
		"reverse_proxy.proxy_protocol_info": reverseproxy.ProxyProtocolInfo{},
	})
	for _, k := range []key{"group", "original", "extra"} {
		ctx = context.WithValue(ctx, k, true)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://api.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func BenchmarkSelect(b *testing.B) {
	s, pool := ranked(b, .15, 50, 80, 30, 70, 10, 60, 20, 40)
	requests := make([]*http.Request, 1024)
	for i := range requests {
		requests[i] = request(b)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		s.Select(pool, requests[i], nil)
		if i++; i < len(requests) {
			continue
		}
		b.StopTimer()
		for i = range requests { // they are new requests again
			delete(requests[i].Context().Value(caddyhttp.VarsCtxKey).(map[string]any), s.triedVar)
		}
		i = 0
		b.StartTimer()
	}
}

func BenchmarkLeastConn(b *testing.B) {
	_, pool := ranked(b, .15, 50, 80, 30, 70, 10, 60, 20, 40)
	r := request(b)
	b.ReportAllocs()
	for b.Loop() {
		reverseproxy.LeastConnSelection{}.Select(pool, r, nil)
	}
}
