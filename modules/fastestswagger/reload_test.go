package fastestswagger_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/modules/fastestswagger"
)

// Scores and due loads outlive reloads, and nothing is left behind.
func TestFiftyReloads(t *testing.T) {
	before := caddytest.Goroutines()
	a, b := newPlatform(t, caddytest.Echo), newPlatform(t, caddytest.Echo)
	s := start(t, "", "", a, b)
	s.loaded(a, 100*time.Millisecond, swagger)
	s.loaded(b, 0, swagger)
	for i := range 50 {
		s.Reload(proxy(s.addr, "", fmt.Sprintf("header_up X-Reload %d", i), a, b))
	}
	if a, b := len(a.Requests())-len(a.api()), len(b.Requests())-len(b.api()); a != 1 || b != 1 {
		t.Errorf("the pages were loaded %d and %d times, want once each: nothing was due", a, b)
	}
	for _, u := range s.upstreams() {
		if u.score() != 100 || u.Samples != 1 {
			t.Errorf("%s: score %v of %d loads, want 100 of 1", u.Upstream, u.score(), u.Samples)
		}
	}
	if n := s.Logs.Count("another upstream is the fastest now"); n != 1 {
		t.Errorf("%d changes of the winner are logged, want the first", n)
	}
	s.again(2, a, b)
	s.loaded(a, 0, swagger)
	s.loaded(b, 0, swagger)
	if n := s.upstreams()[0].Samples; n != 2 {
		t.Errorf("%d loads after an interval, want 2", n)
	}
	if n := fastestswagger.Scores(); n != 2 {
		t.Errorf("%d pages are known, want 2", n)
	}
	s.Stop()
	if n := fastestswagger.Scores(); n != 0 {
		t.Errorf("%d pages are known after the end, want none", n)
	}
	a.CloseClientConnections()
	b.CloseClientConnections()
	http.DefaultClient.CloseIdleConnections()
	caddytest.NoLeak(t, before)
}

// A load that a reload cuts off says nothing about the upstream, and the new
// configuration begins it again at once.
func TestReloadDuringALoad(t *testing.T) {
	p := newPlatform(t, caddytest.Echo)
	s := start(t, "", "", p)
	s.Reload(proxy(s.addr, "", "header_up X-Reload 1", p))
	p.WaitLeft(t)
	s.begun(p)
	s.loaded(p, 50*time.Millisecond, swagger)
	if got := s.upstreams(); len(got) != 1 || got[0].Failures != 0 || got[0].score() != 50 {
		t.Errorf("got %+v, want one load of 50 ms", got)
	}
}

// Another way of loading is another score.
func TestReloadWithAnotherPage(t *testing.T) {
	p := newPlatform(t, caddytest.Echo)
	s := start(t, "", "", p)
	s.loaded(p, 50*time.Millisecond, swagger)
	s.Reload(proxy(s.addr, "{\ncontains swagger-ui\n}", "", p))
	s.begun(p)
	if got := s.upstreams()[0]; got.ScoreMS != nil || got.Samples != 0 {
		t.Errorf("got %+v, want nothing known", got)
	}
}

// Two proxies that load the same page in the same way share its loads, and
// both know what comes of them.
func TestSharedLoads(t *testing.T) {
	p := newPlatform(t, caddytest.Echo)
	other := caddytest.Addr(t)
	s := start(t, "", "}\n}\nhttp://"+other+" {\nreverse_proxy "+p.URL+" {\nlb_policy fastest-swagger\n", p)
	s.loaded(p, 50*time.Millisecond, swagger)
	got := s.upstreams()
	if len(got) != 2 || got[0].score() != 50 || got[1].score() != 50 || !got[0].Winner || !got[1].Winner {
		t.Errorf("got %+v, want both with the same load", got)
	}
	s.again(2, p)
	s.loaded(p, 50*time.Millisecond, swagger)
	if n := len(p.Requests()); n != 2 {
		t.Errorf("%d loads in two intervals, want 2", n)
	}
}

// A configuration that is refused leaves nothing behind and stops nothing.
func TestRefusedConfiguration(t *testing.T) {
	p := newPlatform(t, caddytest.Echo)
	s := start(t, "", "", p)
	if err := s.TryReload(proxy(s.addr, "{\nfallback header X\n}", "trusted_proxies nonsense", p)); err == nil {
		t.Fatal("the configuration was accepted")
	}
	s.loaded(p, 0, swagger)
	if got := s.upstreams(); len(got) != 1 || got[0].Samples != 1 {
		t.Errorf("got %+v, want the one of the old configuration", got)
	}
}
