package fastestswagger

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
	"github.com/caddy-freetier/caddy-freetier/internal/openrequests"
)

// ranked returns a policy whose pool has loaded its page in the given
// milliseconds; 0 stands for not yet, a negative number for a failure.
func ranked(t testing.TB, margin float64, loads ...int) (*Selection, reverseproxy.UpstreamPool) {
	t.Helper()
	s := &Selection{
		clock:    clockwork.NewFakeClock(),
		awake:    awake.NewTracker(),
		triedVar: fmt.Sprintf("swagger.%p", t),
		fallback: reverseproxy.RandomSelection{},
		prober:   new(prober),
	}
	s.board.margin, s.board.awake, s.board.now = margin, s.awake, s.clock.Now
	var pool reverseproxy.UpstreamPool
	for i, load := range loads {
		u := &reverseproxy.Upstream{Dial: fmt.Sprintf("u%d.example:443", i), Host: new(reverseproxy.Host)}
		p := &score{interval: 30 * time.Second, subscribers: make(map[*scoreboard]int)}
		switch {
		case load > 0:
			p.recordPass(s.clock.Now(), time.Duration(load)*time.Millisecond)
		case load < 0:
			p.recordFailure(s.clock.Now(), errors.New("on purpose"))
		}
		s.awake.Touch(u.Dial, s.clock.Now())
		pool = append(pool, u)
		s.board.add(&upstream{dial: u.Dial, name: u.Dial, score: p, static: u})
	}
	s.board.refresh()
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

func TestChoosingAllocatesNothing(t *testing.T) {
	for name, loads := range map[string][]int{
		"all measured": {50, 80, 30, 70, 10, 60, 20, 40},
		"some not":     {50, 0, 30, -1, 10, 0, -1, 40},
	} {
		t.Run(name, func(t *testing.T) {
			s, pool := ranked(t, .15, loads...)
			r := request(t)
			vars := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
			allocs := testing.AllocsPerRun(1000, func() {
				delete(vars, s.triedVar) // as in a new request
				if u := s.Select(pool, r, nil); u != pool[4] {
					t.Fatalf("%s was chosen, want %s", u, pool[4])
				}
			})
			if allocs != 0 {
				t.Errorf("%v allocations, want none", allocs)
			}
		})
	}
}

// The order in which one request tries the upstreams of an idle pool.
func TestOrderOfTries(t *testing.T) {
	for name, test := range map[string]struct {
		loads []int
		want  []int
	}{
		"fastest first":            {[]int{30, 10, 20}, []int{1, 2, 0, 1, 2, 0, 1}},
		"failed last":              {[]int{-1, 30, 20}, []int{2, 1, 0, 2, 1}},
		"unmeasured in the middle": {[]int{0, 10, 90}, []int{1, 0, 2}},
		"unmeasured before failed": {[]int{-1, 0}, []int{1, 0, 1}},
		"measured before its like": {[]int{0, 10}, []int{1, 0}},
		"one":                      {[]int{10}, []int{0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			s, pool := ranked(t, 0, test.loads...)
			r := request(t)
			for try, want := range test.want {
				if got := s.Select(pool, r, nil); got != pool[want] {
					t.Errorf("try %d: %s, want %s", try+1, got, pool[want])
				}
			}
		})
	}
}

// Two accounts on one host are two upstreams.
func TestTwoOnOneHost(t *testing.T) {
	s, pool := ranked(t, 0, 10)
	twin := &reverseproxy.Upstream{Dial: pool[0].Dial, Host: pool[0].Host}
	pool = append(pool, twin)
	r := request(t)
	if u := s.Select(pool, r, nil); u != pool[0] {
		t.Error("the first try got another one")
	}
	if u := s.Select(pool, r, nil); u != twin {
		t.Error("the second try got the same one again")
	}

	// The same from a source with new values for each try.
	r = request(t)
	other := "other.example:443"
	for try, want := range []string{"", "", other} {
		fresh := reverseproxy.UpstreamPool{
			{Dial: pool[0].Dial, Host: pool[0].Host}, {Dial: pool[0].Dial, Host: pool[0].Host}, {Dial: other, Host: new(reverseproxy.Host)},
		}
		if got := s.Select(fresh, r, nil).Dial; got != pool[0].Dial && want == "" || want != "" && got != want {
			t.Errorf("try %d went to %s", try+1, got)
		}
	}
}

// Requests and loads go on at the same time; the race detector looks on.
func TestConcurrently(t *testing.T) {
	s, pool := ranked(t, .15, 10, 20, 0, -1)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				if s.Select(pool, request(t), nil) == nil {
					t.Error("nobody was chosen")
				}
			}
		})
	}
	for i := range 100 {
		s.board.upstreams[i%4].score.recordPass(s.clock.Now(), time.Duration(i)*time.Millisecond)
		s.board.refresh()
	}
	wg.Wait()
}

func TestPoolWithoutAnyone(t *testing.T) {
	s, _ := ranked(t, .15)
	if u := s.Select(nil, request(t), nil); u != nil {
		t.Errorf("got %s of an empty pool", u)
	}
	// A request that is none of Caddy's own has no variables.
	s, pool := ranked(t, .15, 10, 20)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if u := s.Select(pool, r, nil); u != pool[0] {
		t.Errorf("got %s, want the fastest", u)
	}
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

// A handler that makes its own requests says how many are open at each upstream.
func TestOpenRequestsOfAnotherHandler(t *testing.T) {
	s, pool := ranked(t, 0, 50, 80)
	r := request(t)
	if u := s.Select(pool, r, nil); u != pool[0] {
		t.Fatalf("%s was chosen, want the fastest", u.Dial)
	}
	r = request(t)
	openrequests.Set(r, func(u *reverseproxy.Upstream) int {
		if u == pool[0] {
			return 1
		}
		return 0
	})
	if u := s.Select(pool, r, nil); u != pool[1] {
		t.Errorf("%s was chosen, want the one without open requests", u.Dial)
	}
}
