package keepalive

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

func TestAdminTargets(t *testing.T) {
	hung := caddytest.NewUpstream(t, caddytest.Hang)
	up := counting(t)
	b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+up.URL+"/s3cret\n\t\ttarget new "+hung.URL)
	b.settled("a", 1)
	status, body := b.Admin(http.MethodGet, "/keepalive/targets")
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, body)
	}
	var all []map[string]any
	if err := json.Unmarshal(body, &all); err != nil || len(all) != 2 {
		t.Fatalf("%v: %s", err, body)
	}
	want := map[string]any{
		"name": "a", "upstream": up.Addr(), "healthy": true, "awake": true, "last_status": 200., "last_latency_ms": 0., "last_error": "",
		"last_ping": "2026-03-01T00:00:00Z", "next_ping": "2026-03-01T00:03:00Z",
		"skipped_because": "", "consecutive_failures": 0., "cold_starts": 0.,
	}
	for key, value := range want {
		if all[0][key] != value {
			t.Errorf("%s: got %v, want %v", key, all[0][key], value)
		}
	}
	if all[1]["name"] != "new" || all[1]["healthy"] != nil || all[1]["last_ping"] != nil {
		t.Errorf("before the first ping: %v", all[1])
	}
	if strings.Contains(string(body), "s3cret") {
		t.Error("the answer holds a path")
	}
}

func TestAdminPing(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.Sequence(
		caddytest.Answer(http.StatusOK, "", ""), caddytest.Answer(http.StatusTeapot, "", "")))
	b := startAt(t, "\t\tjitter 0%\n\t\ttarget 小站 "+up.URL)
	b.settled("小站", 1)
	b.advance(time.Minute)
	status, body := b.Admin(http.MethodPost, "/keepalive/targets/%E5%B0%8F%E7%AB%99/ping")
	var got targetStatus
	if err := json.Unmarshal(body, &got); err != nil || status != http.StatusOK {
		t.Fatalf("status %d: %s", status, body)
	}
	if got.Name != "小站" || *got.Healthy || got.LastStatus != http.StatusTeapot || got.LastError != "status 418, expected 2xx" {
		t.Errorf("got %s", body)
	}
	// It is tried again, and the schedule is as before.
	if next := b.since(*got.NextPing); next != 90*time.Second {
		t.Errorf("the next ping comes after %v, want 1m30s", next)
	}
	if due := b.since(b.state("小站").due); due != 3*time.Minute {
		t.Errorf("the next tick is pinged after %v, want 3m", due)
	}
	b.settled("小站", 2)
}

// A ping by hand does not overlap one under way: both get its result.
func TestAdminPingUnderWay(t *testing.T) {
	gate := make(chan struct{})
	up := caddytest.NewUpstream(t, gated(gate))
	b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+up.URL)
	up.Next(t)
	answers := make(chan int)
	for range 2 {
		go func() {
			status, _ := b.Admin(http.MethodPost, "/keepalive/targets/a/ping")
			answers <- status
		}()
	}
	select {
	case status := <-answers:
		t.Fatalf("answered %d before the ping was done", status)
	case <-time.After(50 * time.Millisecond): // there is no event for what must not come
	}
	close(gate)
	for range 2 {
		if status := <-answers; status != http.StatusOK {
			t.Errorf("status %d", status)
		}
	}
	if n := len(up.Requests()); n != 1 {
		t.Errorf("%d pings, want 1", n)
	}
}

func TestAdminErrors(t *testing.T) {
	b := startAt(t, "\t\ttarget a "+counting(t).URL)
	for _, test := range []struct {
		method, path string
		status       int
		says         string
	}{
		{http.MethodPost, "/keepalive/targets/b/ping", http.StatusNotFound, `no target is named \"b\"`},
		{http.MethodPost, "/keepalive/targets/a", http.StatusNotFound, "/keepalive/targets/{name}/ping"},
		{http.MethodPost, "/keepalive/targets/", http.StatusNotFound, "/keepalive/targets/{name}/ping"},
		{http.MethodGet, "/keepalive/targets/a/ping", http.StatusMethodNotAllowed, "the method is POST"},
		{http.MethodPost, "/keepalive/targets", http.StatusMethodNotAllowed, "the method is GET"},
	} {
		status, body := b.Admin(test.method, test.path)
		var answer struct{ Error string }
		if err := json.Unmarshal(body, &answer); err != nil || status != test.status || !strings.Contains(string(body), test.says) {
			t.Errorf("%s %s: got %d %s, want %d and %s", test.method, test.path, status, body, test.status, test.says)
		}
	}
}

func TestAdminWithoutTargets(t *testing.T) {
	c := caddytest.Start(t, "http://"+caddytest.Addr(t)+" {\n}")
	if status, body := c.Admin(http.MethodGet, "/keepalive/targets"); status != http.StatusOK || strings.TrimSpace(string(body)) != "[]" {
		t.Errorf("got %d %s, want an empty array", status, body)
	}
	if status, _ := c.Admin(http.MethodPost, "/keepalive/targets/a/ping"); status != http.StatusNotFound {
		t.Errorf("got %d, want 404", status)
	}
}
