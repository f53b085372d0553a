package freetiercmd

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

var statusNow = time.Date(2026, time.November, 27, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) *time.Time {
	t := statusNow.Add(d)
	return &t
}

func to[T any](v T) *T { return &v }

// everything is a status with something of each kind.
func everything() *status.Status {
	s := status.New(statusNow)
	s.Targets = []status.Target{
		{Name: "api", Upstream: "api.example.com:443", State: status.StateUp, Awake: to(true), LastPing: at(-90 * time.Second), LastStatus: 200, LatencyMS: 123.4, NextPing: at(8 * time.Minute), Account: "render", History: status.History{UptimeDay: to(0.9931)}},
		{Name: "web", State: status.StateDown, Awake: to(false), LastPing: at(-3 * time.Hour), LastError: "status 503, expected 2xx; the page begins with: Service \x1b[31mSuspended\r\n, please come back much later", Failures: 4},
		{Name: "new", State: status.StateUnknown, Skipped: "its window is closed", NextPing: at(50 * time.Hour)},
	}
	s.Accounts = []status.Account{{Name: "render", Targets: []string{"api", "web"}, UsedHours: 612.34, LimitHours: 750, Renews: *at(84 * time.Hour), ColdStarts: 3}}
	s.Upstreams = []status.Upstream{
		{Name: "a.example.com:443", Pool: 1, Winner: true, State: "awake", ScoreMS: to(81.), LastLoad: at(-20 * time.Second)},
		{Name: "b.example.com:443", Pool: 1, State: "unknown", LastLoad: at(-25 * time.Second), Failures: 2, LastError: "no such host"},
	}
	s.Channels = []status.Channel{
		{
			Name: "gemini", Host: "generativelanguage.googleapis.com", Tier: 1, Attempts: 12345, Answered: 12000, Refused: 345,
			LastRefusal: &status.Refusal{At: *at(-2 * time.Minute), Status: 429, Scope: "key and model", Reason: "day quota"},
			Keys: status.Keys{Total: 300, Usable: 291, Groups: []status.KeyGroup{
				{State: status.KeyDead, Reason: "dead key", Count: 2, Names: []string{"…0007", "…0123"}},
				{State: status.KeyPartly, Reason: "day quota", Count: 7, Names: []string{"…0201", "…0202", "…0203", "…0204", "…0205"}, Until: *at(20 * time.Hour)},
			}},
			Quotas: []status.Quota{{Unit: "requests", Period: "day", Limit: 6000, Used: 4321}, {Unit: "tokens", Period: "minute", Limit: 250000, Used: 0}},
		},
		{Name: "free", Tier: 2, Cooldowns: []status.Cooldown{{Model: "gpt-4o-mini", Until: *at(15 * time.Second), Reason: "overloaded"}, {Until: *at(5 * time.Minute), Reason: "challenge page"}}},
	}
	s.Clients = []status.Client{{Name: "alice", Requests: 120, Tokens: 98765, Limits: []status.Quota{{Unit: "requests", Period: "day", Limit: 1000, Used: 120}}}, {Name: "bob"}}
	s.ClientsTotal = 52
	s.DNS.Upstreams = []status.DNSUpstream{
		{Name: "dns.nextdns.io#1", Tier: 1, Queries: 45678, Failures: 3, LatencyMS: 18, Quota: &status.Quota{Unit: "requests", Period: "month", Limit: 300000, Used: 45678}},
		{Name: "d.adguard-dns.com#1", Tier: 2, CooldownUntil: at(30 * time.Second), LastError: "timeout"},
	}
	s.DNS.Clients = []status.DNSClient{{Name: "phones", Queries: 40000, Limited: 12}}
	s.Events = []status.Event{{At: *at(-3 * time.Hour), Kind: status.EventDown, Subject: "web", Message: "web is down: status 503"}}
	return s
}

// The terminal shows everything, and nothing of it moves the cursor.
func TestStatusTables(t *testing.T) {
	const golden = "testdata/status.txt"
	var out strings.Builder
	s := everything()
	if err := writeStatus(&out, s, problemsOf(s)); err != nil {
		t.Fatal(err)
	}
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(out.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
	if strings.ContainsAny(out.String(), "\x1b\r") {
		t.Errorf("a control character is in it: %q", &out)
	}
	out.Reset()
	if err := writeStatus(&out, status.New(statusNow), nil); err != nil || !strings.Contains(out.String(), "has none of") {
		t.Errorf("got %q, %v", &out, err)
	}
}

func TestProblems(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*status.Status)
		says   string
	}{
		"nothing there":     {func(*status.Status) {}, ""},
		"failing, not down": {func(s *status.Status) { s.Targets = []status.Target{{Name: "a", State: status.StateFailing}} }, ""},
		"down": {func(s *status.Status) {
			s.Targets = []status.Target{{Name: "a", State: status.StateDown, LastError: "status 500"}}
		}, "target a is down: status 500"},
		"no hours": {func(s *status.Status) { s.Accounts = []status.Account{{Name: "a", UsedHours: 750, LimitHours: 750}} }, "account a has used up its hours"},
		"not loaded yet": {func(s *status.Status) {
			s.Upstreams = []status.Upstream{{Pool: 1}, {Pool: 1, Failures: 1}}
		}, ""},
		"a pool of two that fails": {func(s *status.Status) {
			s.Upstreams = []status.Upstream{{Pool: 1, Failures: 1}, {Pool: 1, Failures: 1}, {Pool: 2, Winner: true}}
		}, "none of the upstreams of pool 1 has loaded its page"},
		"no usable key": {func(s *status.Status) {
			s.Channels = []status.Channel{{Name: "a", Keys: status.Keys{Total: 2}}, {Name: "open"}}
		}, "channel a has no key that may be used"},
		"a dead key": {func(s *status.Status) {
			s.Channels = []status.Channel{{Name: "a", Keys: status.Keys{Total: 2, Usable: 1, Groups: []status.KeyGroup{{State: status.KeyDead, Count: 1}}}}}
		}, "channel a has 1 dead of 2 keys"},
		"one DNS upstream left": {func(s *status.Status) {
			s.DNS.Upstreams = []status.DNSUpstream{{CooldownUntil: at(1)}, {Quota: &status.Quota{Limit: 5, Used: 4}}}
		}, ""},
		"no DNS upstream left": {func(s *status.Status) {
			s.DNS.Upstreams = []status.DNSUpstream{{CooldownUntil: at(1)}, {Quota: &status.Quota{Limit: 5, Used: 5}}}
		}, "no DNS upstream may be asked"},
	} {
		s := status.New(statusNow)
		tc.change(s)
		got := strings.Join(problemsOf(s), "; ")
		if (tc.says == "") != (got == "") || !strings.Contains(got, tc.says) {
			t.Errorf("%s: got %q, want %q", name, got, tc.says)
		}
	}
}

// adminAPI is one that answers by method and path.
func adminAPI(t *testing.T, answers map[string]string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.Method+" "+r.URL.EscapedPath()]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if strings.Contains(answer, `"error"`) {
			w.WriteHeader(http.StatusNotFound)
		}
		fmt.Fprint(w, answer)
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestStatusExitCode(t *testing.T) {
	well := status.New(statusNow)
	well.Targets = []status.Target{{Name: "api", State: status.StateUp}}
	ill, newer := everything(), status.New(statusNow)
	newer.Version++
	for name, tc := range map[string]struct {
		status *status.Status
		out    string
		says   string
	}{
		"well":  {well, "All is well.", ""},
		"ill":   {ill, "Problem: target web is down", "exiting with status 2"},
		"newer": {newer, "", "reads version 1"},
	} {
		text, err := json.Marshal(tc.status)
		if err != nil {
			t.Fatal(err)
		}
		address := adminAPI(t, map[string]string{"GET /freetier/status": string(text)})
		out, _, err := run(t, newStatus(), "--address", address)
		if !strings.Contains(out, tc.out) || (tc.says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %s, %v", name, out, err)
		}
		if name == "newer" {
			continue
		}
		if out, _, _ := run(t, newStatus(), "--address", address, "--json"); strings.TrimSpace(out) != string(text) {
			t.Errorf("%s: got %s, want %s", name, out, text)
		}
	}
	if _, _, err := run(t, newStatus(), "--address", adminAPI(t, nil)); err == nil || !strings.Contains(err.Error(), "status 404: is it a Caddy with these modules") {
		t.Errorf("got %v", err)
	}
	if _, _, err := run(t, newStatus(), "--address", "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "is the server running") {
		t.Errorf("got %v", err)
	}
}

func TestPingExitCode(t *testing.T) {
	address := adminAPI(t, map[string]string{
		"POST /keepalive/targets/a%20b/ping": `{"name":"a b","healthy":true,"last_status":204,"last_latency_ms":12.3}`,
		"POST /keepalive/targets/ill/ping":   `{"name":"ill","healthy":false,"last_error":"status 500\u001b[2J"}`,
		"POST /keepalive/targets/none/ping":  `{"name":"none","healthy":null}`,
		"POST /keepalive/targets/tow/ping":   `{"error":"no target is named \"tow\""}`,
		"GET /keepalive/targets":             `[{"name":"one"},{"name":"two"}]`,
	})
	for target, want := range map[string][2]string{
		"a b":  {"a b is healthy: status 204, 12 ms\n", ""},
		"ill":  {"ill is not healthy: status 500?[2J\n", "exiting with status 2"},
		"none": {"none is not healthy: \n", "exiting with status 2"},
		"tow":  {"", "no target is named \"tow\"\nthe targets are one two"},
	} {
		out, _, err := run(t, newPing(), target, "--address", address)
		if out != want[0] || (want[1] == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want[1]) {
			t.Errorf("%s: got %q, %v, want %q", target, out, err, want)
		}
	}
	out, _, err := run(t, newPing(), "a b", "--address", address, "--json")
	if err != nil || !strings.HasPrefix(out, `{"name":"a b",`) {
		t.Errorf("got %q, %v", out, err)
	}
}

// The admin API is found as `caddy reload` finds it.
func TestServerOf(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	find := func(args ...string) string {
		t.Helper()
		cmd := newStatus()
		if err := cmd.ParseFlags(args); err != nil {
			t.Fatal(err)
		}
		address, err := serverOf(cmd)
		if err != nil {
			return err.Error()
		}
		return address
	}
	if got := find(); got != "localhost:2019" {
		t.Errorf("without a file: %s", got)
	}
	if err := os.WriteFile("config.json", []byte(`{"admin":{"listen":"localhost:3000"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"localhost:3000": {"--config", "config.json"},
		"localhost:4000": {"--address", "localhost:4000", "--config", "config.json"},
	} {
		if got := find(args...); got != want {
			t.Errorf("%v: got %s, want %s", args, got, want)
		}
	}
	if got := find("--config", "missing.json"); !slices.Contains(strings.Fields(got), "--address") {
		t.Errorf("got %s", got)
	}
}

// Problems come in the same order each time.
func TestOrderOfProblems(t *testing.T) {
	s := status.New(statusNow)
	var want []string
	for pool := 1; pool <= 9; pool++ {
		s.Upstreams = append(s.Upstreams, status.Upstream{Name: "a.example.com:443", Pool: pool, Failures: 1})
		want = append(want, fmt.Sprintf("none of the upstreams of pool %d has loaded its page", pool))
	}
	for range 10 {
		if got := problemsOf(s); !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}
