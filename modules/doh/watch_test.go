package doh_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

func TestAdminAndMetrics(t *testing.T) {
	good := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	bad := caddytest.NewTLSUpstream(t, caddytest.Answer(http.StatusTooManyRequests, "", ""))
	addr := caddytest.Addr(t)
	config := site(addr, up(t, bad, "/s3cret-1", "name the-bad", "weight 7"), up(t, good, "/s3cret-2", "tier 2"))
	clock := clockwork.NewFakeClock()
	c := caddytest.Start(t, config, caddytest.WithFakeClock(clock))
	const queries = 5
	for range queries {
		query := question("www.example.", dns.TypeA)
		answer(t, query, post(t, c.Client(), "http://"+addr+"/dns-query", pack(t, query)))
	}
	c.Reload(config + "# the same again\n")

	status, body := c.Admin(http.MethodGet, "/doh/upstreams")
	var got []map[string]any
	if err := json.Unmarshal(body, &got); err != nil || status != http.StatusOK || len(got) != 2 {
		t.Fatalf("status %d, %v: %s", status, err, body)
	}
	want := []map[string]any{
		{
			"name": "the-bad", "tier": 1.0, "weight": 7.0, "queries": 3.0, "failures": 3.0, "consecutive_failures": 3.0, "last_error": "status 429",
			"cooldown_until": clock.Now().Add(30 * time.Second).UTC().Format(time.RFC3339Nano),
		},
		{"name": "127.0.0.1#1", "tier": 2.0, "weight": 1.0, "queries": 5.0, "failures": 0.0, "consecutive_failures": 0.0},
	}
	for i := range want {
		for key, value := range want[i] {
			if got[i][key] != value {
				t.Errorf("%s of upstream %d is %v, want %v", key, i+1, got[i][key], value)
			}
		}
	}
	if status, _ := c.Admin(http.MethodPost, "/doh/upstreams"); status != http.StatusMethodNotAllowed {
		t.Errorf("status %d for POST", status)
	}

	// Counts go on over reloads and tests, so only a lower bound is known.
	for _, series := range []string{
		`caddy_doh_queries_total{method="POST"}`,
		`caddy_doh_responses_total{rcode="NOERROR"}`,
		`caddy_doh_upstream_queries_total{upstream="the-bad"}`,
		`caddy_doh_upstream_failures_total{kind="status",upstream="the-bad"}`,
		`caddy_doh_upstream_duration_seconds_count{upstream="127.0.0.1#1"}`,
	} {
		if n := c.Metric(series); n < 3 {
			t.Errorf("%s is %v, want 3 or more", series, n)
		}
	}
	_, metrics := c.Admin(http.MethodGet, "/metrics")
	for name, text := range map[string]string{"the admin answer": string(body), "the metrics": string(metrics), "the log": c.Logs.String()} {
		// Caddy logs the configuration itself, at debug level.
		for line := range strings.Lines(text) {
			if strings.Contains(line, "s3cret") && !strings.Contains(line, "adjusted config") {
				t.Errorf("%s shows a path: %s", name, line)
			}
		}
	}
	if n := c.Logs.Count("upstream in cooldown", "the-bad"); n != 1 {
		t.Errorf("the failing upstream was logged %d times, want once", n)
	}
	bad.Handle(caddytest.DoH(caddytest.Records(t, "@ 60 IN A 192.0.2.1")))
	clock.Advance(30 * time.Second)
	for range 2 {
		query := question("www.example.", dns.TypeA)
		answer(t, query, post(t, c.Client(), "http://"+addr+"/dns-query", pack(t, query)))
	}
	if n := c.Logs.Count("upstream works again", "the-bad"); n != 1 {
		t.Errorf("its recovery was logged %d times, want once", n)
	}
	if since := time.Since(caddytest.Awake(t).LastSeen(good.Addr())); since > time.Minute {
		t.Errorf("the upstream was last touched %v ago", since)
	}
}

// No log holds a query name, unless it is asked for.
func TestLogs(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	plain, proxied, logged := caddytest.Addr(t), caddytest.Addr(t), caddytest.Addr(t)
	c := caddytest.Start(t, site(plain, up(t, u, "/"))+
		site(logged, up(t, u, "/"), "log_queries")+
		proxy(proxied, []string{up(t, u, "/")}))
	msg := pack(t, question("secret-name.example.", dns.TypeA))
	const encoded = "c2VjcmV0LW5hbW" // "secret-nam" at its place in base64
	for _, addr := range []string{plain, logged} {
		get(t, c.Client(), "http://"+addr+"/dns-query", msg)
		get(t, c.Client(), "http://"+addr+"/dns-query", msg[:20])
	}
	u.Handle(caddytest.Reset)
	get(t, c.Client(), "http://"+plain+"/dns-query", msg)
	get(t, c.Client(), "http://"+proxied+"/dns-query", msg)
	c.Stop() // all is logged then
	requests := 0
	for line := range strings.Lines(c.Logs.String()) {
		switch {
		case strings.Contains(line, logged):
			if strings.Contains(line, "handled request") {
				requests++
			}
		case strings.Contains(line, "secret-nam"), strings.Contains(line, encoded):
			// At debug level Caddy's reverse_proxy shows what it forwards.
			if !strings.Contains(line, `"logger":"http.handlers.reverse_proxy"`) {
				t.Errorf("the log shows a name: %s", line)
			}
		case strings.Contains(line, "handled request"):
			t.Errorf("a request was logged: %s", line)
		}
	}
	if requests != 2 {
		t.Errorf("%d requests were logged with log_queries, want 2", requests)
	}
}

// A configuration that is refused halfway leaves nothing behind.
func TestRefusedConfiguration(t *testing.T) {
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, "upstream https://a.example/"))
	for _, rest := range []string{
		"upstream https://c.example/ {\n\t\t\ttls_ca /does/not/exist.pem\n\t\t}",
		"upstream https://c.example/{env.NOT_SET}",
		"upstream https://c.example/{env.HOME}\n\t\tclient alice {env.NOT_SET}",
	} {
		if err := c.TryReload(site(addr, "upstream https://b.example/", rest)); err == nil {
			t.Errorf("accepted: %s", rest)
		}
	}
	if _, body := c.Admin(http.MethodGet, "/doh/upstreams"); strings.Count(string(body), `"name"`) != 1 {
		t.Errorf("the upstreams are %s, want that of the running configuration", body)
	}
}

// Fifty reloads under load lose neither a query nor a goroutine.
func TestReloads(t *testing.T) {
	good := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	bad := caddytest.NewTLSUpstream(t, caddytest.Reset)
	before := caddytest.Goroutines()
	addr := caddytest.Addr(t)
	config := func(i int) string {
		return site(addr, up(t, good, "/"), up(t, bad, fmt.Sprintf("/%d", i)), "hedge 20ms") + fmt.Sprintf("# %d\n", i)
	}
	c := caddytest.Start(t, config(0))
	msg := string(pack(t, question("www.example.", dns.TypeA)))
	stop := make(chan struct{})
	var (
		clients sync.WaitGroup
		answers atomic.Int64
	)
	for range 4 {
		client := c.Client()
		clients.Go(func() {
			for {
				select {
				case <-stop:
					client.CloseIdleConnections()
					return
				default:
				}
				// While one configuration's listener replaces the other's, Caddy
				// resets connections, whatever the handler: such a query was
				// never received, and clients send it again.
				resp, err := client.Post("http://"+addr+"/dns-query", messageType, strings.NewReader(msg))
				for tries := 0; err != nil && tries < 100; tries++ {
					resp, err = client.Post("http://"+addr+"/dns-query", messageType, strings.NewReader(msg))
				}
				if err != nil {
					t.Errorf("a query was lost: %v", err)
					return
				}
				resp.Body.Close()
				answers.Add(1)
				if resp.StatusCode != http.StatusOK || resp.Header.Get("Cache-Control") != "max-age=60" {
					t.Errorf("status %d, %v", resp.StatusCode, resp.Header)
				}
			}
		})
	}
	for i := range 50 {
		answered := answers.Load()
		c.Reload(config(i + 1))
		for answers.Load() == answered && !t.Failed() {
			time.Sleep(time.Millisecond)
		}
	}
	close(stop)
	clients.Wait()
	_, body := c.Admin(http.MethodGet, "/doh/upstreams")
	if n := strings.Count(string(body), `"name"`); n != 2 {
		t.Errorf("%d upstreams after the reloads, want 2: %s", n, body)
	}
	c.Stop()
	if c.Logs.Count("panic") > 0 {
		t.Errorf("a handler panicked: %s", c.Logs)
	}
	bad.CloseClientConnections()
	good.CloseClientConnections()
	caddytest.NoLeak(t, before)
}
