package keepalive

import (
	"net/http"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// The requests that pass the handler spare pings, whatever the proxy's policy.
func TestHandler(t *testing.T) {
	up := counting(t)
	addr := caddytest.Addr(t)
	t.Setenv("KEEPALIVE_UPSTREAM", up.URL)
	b := &bench{t: t, began: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	b.clock = clockwork.NewFakeClockAt(b.began)
	b.Caddy = caddytest.Start(t, keepaliveFile("\t\tjitter 0%\n\t\tinterval 3m\n\t\ttarget a "+up.URL+"/health {\n\t\t\tsleeps_after 15m\n\t\t}")+
		"http://"+addr+" {\n\tawake /api/* {env.KEEPALIVE_UPSTREAM}\n\treverse_proxy "+up.URL+"\n}\n", caddytest.WithFakeClock(b.clock))
	b.settled("a", 1)
	get := func(path string) {
		t.Helper()
		resp, err := http.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
	b.advance(time.Minute)
	get("/other") // does not pass it
	b.tick("a")
	b.settled("a", 2)
	b.advance(time.Minute)
	get("/api/chat")
	if at := caddytest.Awake(t).LastTraffic(up.Addr()); b.since(at) != 4*time.Minute {
		t.Errorf("the traffic was noted after %v", b.since(at))
	}
	b.tick("a")
	b.settled("a", 2)
	if because := b.target("a").SkippedBecause; because != "traffic keeps it awake until 2026-03-01T00:19:00Z" {
		t.Errorf("skipped because %q", because)
	}
}

func TestHandlerMistakes(t *testing.T) {
	site := func(line string) string { return "http://a.example {\n\t" + line + "\n}\n" }
	caddytest.Mistakes(t, []caddytest.Mistake{
		{Name: "no upstream", Caddyfile: site("awake"), Line: 2, Says: []string{"write: awake <upstream>"}},
		{Name: "two upstreams", Caddyfile: site("awake a.example:443 b.example:443"), Line: 2, Says: []string{"write: awake <upstream>"}},
		{Name: "no port", Caddyfile: site("awake a.example"), Line: 2, Says: []string{"api.example.com:443"}},
		{Name: "a block", Caddyfile: site("awake a.example:443 {\n\t\tx\n\t}"), Line: 2, Says: []string{"awake takes no block"}},
	})
}
