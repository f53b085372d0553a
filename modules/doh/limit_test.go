package doh_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// statuses sends n queries from an address and returns how many were answered
// with which status, and the last Retry-After.
func (p *pooled) statuses(path, from string, n int) (statuses map[int]int, retryAfter string) {
	p.t.Helper()
	statuses = make(map[int]int)
	for range n {
		req, err := http.NewRequest(http.MethodPost, "http://"+p.addr+path,
			strings.NewReader(string(pack(p.t, question(fmt.Sprintf("www%d.example.", p.asked.Add(1)), dns.TypeA)))))
		if err != nil {
			p.t.Fatal(err)
		}
		req.Header.Set("Content-Type", messageType)
		req.Header.Set("X-Forwarded-For", from)
		resp, err := p.client.Do(req)
		if err != nil {
			p.t.Fatal(err)
		}
		resp.Body.Close()
		statuses[resp.StatusCode]++
		retryAfter = resp.Header.Get("Retry-After")
	}
	return statuses, retryAfter
}

func wantStatuses(t *testing.T, got map[int]int, ok, tooMany int) {
	t.Helper()
	if got[200] != ok || got[429] != tooMany || len(got) > 2 {
		t.Errorf("the statuses are %v, want %d times 200 and %d times 429", got, ok, tooMany)
	}
}

// startTrusting is startPool behind a proxy that is trusted.
func startTrusting(t *testing.T, clock *clockwork.FakeClock, storage string, options ...string) *pooled {
	t.Helper()
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, "{\n\tservers {\n\t\ttrusted_proxies static 127.0.0.1/32\n\t}\n}\n"+site(addr, options...),
		caddytest.WithFakeClock(clock), caddytest.WithStorage(storage))
	return &pooled{Caddy: c, t: t, addr: addr, client: c.Client()}
}

// A client's limits hold together, over restarts, and nothing is sent beyond them.
func TestClientLimit(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	storage, clock := t.TempDir(), noon()
	options := []string{up(t, u, "/"), "client alice /alice {\nlimit 3/minute\nlimit 5/day\n}", "client bob /bob"}
	p := startPool(t, clock, storage, options...)
	got, retry := p.statuses("/alice", "", 4)
	wantStatuses(t, got, 3, 1)
	if retry != "60" {
		t.Errorf("Retry-After: %s, want 60", retry)
	}
	clock.Advance(time.Minute)
	p.Stop()
	p = startPool(t, clock, storage, options...)
	got, retry = p.statuses("/alice", "", 5)
	wantStatuses(t, got, 2, 3)
	if want := fmt.Sprint(12*3600 - 60); retry != want {
		t.Errorf("Retry-After: %s, want %s", retry, want)
	}
	got, _ = p.statuses("/bob", "", 10)
	wantStatuses(t, got, 10, 0)
	wantAsked(t, u, 15)
}

// Each address has a count of its own; an IPv6 network has one.
func TestPerIP(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	clock := noon()
	p := startTrusting(t, clock, t.TempDir(), up(t, u, "/"), "per_ip 5/minute")
	for _, step := range []struct {
		from        string
		ok, tooMany int
	}{
		{"192.0.2.1", 5, 2},
		{"192.0.2.2", 5, 1},
		{"192.0.2.1", 0, 1},
		{"2001:db8::1", 3, 0},
		{"2001:db8::2", 2, 1},
		{"2001:db8:0:1::1", 5, 1},
	} {
		got, _ := p.statuses("/dns-query", step.from, step.ok+step.tooMany)
		wantStatuses(t, got, step.ok, step.tooMany)
	}
	clock.Advance(59 * time.Second)
	got, retry := p.statuses("/dns-query", "192.0.2.1", 1)
	wantStatuses(t, got, 0, 1)
	if retry != "1" {
		t.Errorf("Retry-After: %s, want 1", retry)
	}
	clock.Advance(time.Second)
	got, _ = p.statuses("/dns-query", "192.0.2.1", 6)
	wantStatuses(t, got, 5, 1)
}
