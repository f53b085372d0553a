package fastestswagger_test

import (
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

func TestAdmin(t *testing.T) {
	a, b, c := newPlatform(t, caddytest.Echo), newPlatform(t, caddytest.Echo), newPlatform(t, caddytest.Echo)
	s := start(t, "", "", a, b, c)
	why := func(what string, want ...string) {
		t.Helper()
		for i, u := range s.upstreams() {
			if !strings.Contains(u.Why, want[i]) {
				t.Errorf("%s: why is %q, want %q", what, u.Why, want[i])
			}
		}
	}
	why("at first", "not been loaded", "not been loaded", "not been loaded")
	s.loaded(a, 100*time.Millisecond, swagger)
	why("with one", "the only one", "not been loaded", "not been loaded")
	s.loaded(b, 110*time.Millisecond, swagger)
	s.loaded(c, 0, caddytest.Answer(http.StatusNotFound, "", ""))
	why("with two", "the fastest: 100 ms against 210 ms of "+b.Addr(), "slower than the winner "+a.Addr(), "last load failed")

	s.again(3, a, b, c)
	s.loaded(c, 0, swagger)
	why("with three", "the fastest", "slower", "just come up")

	status, body := s.Admin(http.MethodGet, "/fastest-swagger/upstreams")
	var entries []map[string]any
	if err := json.Unmarshal(body, &entries); err != nil || status != http.StatusOK {
		t.Fatalf("status %d: %v", status, err)
	}
	var keys []string
	for key := range entries[2] {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	want := []string{
		"condition", "consecutive_failures", "failures", "in_flight", "last_error", "last_load_ms", "last_probe",
		"page", "samples", "score_ms", "upstream", "why", "winner",
	}
	if !slices.Equal(keys, want) {
		t.Errorf("keys %v, want %v", keys, want)
	}
	if e := entries[2]; e["upstream"] != c.Addr() || e["page"] != page || e["score_ms"] != nil || e["last_load_ms"] != 0.0 || e["failures"] != 1.0 {
		t.Errorf("got %v", e)
	}
	if status, _ := s.Admin(http.MethodPost, "/fastest-swagger/upstreams"); status != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d, want 405", status)
	}
	s.Reload("http://" + s.addr + " {\n\trespond ok\n}")
	if got := s.upstreams(); got == nil || len(got) != 0 {
		t.Errorf("without a policy: got %v, want an empty list", got)
	}
}

func TestMetrics(t *testing.T) {
	a, b := newPlatform(t, caddytest.Echo), newPlatform(t, caddytest.Echo)
	s := start(t, "", "", a, b)
	counts := map[string]float64{
		`caddy_fastest_swagger_probes_total{result="passed",upstream="` + a.Addr() + `"}`: 1,
		`caddy_fastest_swagger_probes_total{result="failed",upstream="` + b.Addr() + `"}`: 1,
		`caddy_fastest_swagger_load_seconds_count{upstream="` + a.Addr() + `"}`:           1,
		`caddy_fastest_swagger_load_seconds_sum{upstream="` + a.Addr() + `"}`:             .1,
	}
	before := make(map[string]float64) // of earlier tests, whose ports have come again
	for series := range counts {
		before[series] = s.Metric(series)
	}
	s.loaded(a, 100*time.Millisecond, swagger)
	s.loaded(b, 0, caddytest.Reset)
	s.Reload(proxy(s.addr, "", "header_up X-Reload 1", a, b)) // a new registry
	for series, want := range counts {
		if got := s.Metric(series) - before[series]; math.Abs(got-want) > 1e-9 {
			t.Errorf("%s grows by %v, want %v", series, got, want)
		}
	}
	for series, want := range map[string]float64{
		`caddy_fastest_swagger_winner{upstream="` + a.Addr() + `"}`: 1,
		`caddy_fastest_swagger_winner{upstream="` + b.Addr() + `"}`: 0,
	} {
		if got := s.Metric(series); got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
	if _, metrics := s.Admin(http.MethodGet, "/metrics"); !strings.Contains(string(metrics), `caddy_fastest_swagger_winner{upstream="`+b.Addr()) {
		t.Error("who does not win has no series")
	}
}

// Transitions are logged once each.
func TestLogs(t *testing.T) {
	a, b := newPlatform(t, caddytest.Echo), newPlatform(t, caddytest.Echo)
	s := start(t, "", "", a, b)
	broken := caddytest.Answer(http.StatusServiceUnavailable, "", "")
	for i, answer := range []http.HandlerFunc{swagger, broken, broken, swagger, swagger} {
		if i > 0 {
			s.again(2, a, b)
		}
		s.loaded(a, 100*time.Millisecond, answer)
		s.loaded(b, 100*time.Millisecond, swagger)
	}
	for text, want := range map[string]int{
		"upstream is down":                    1,
		"upstream is still down":              1,
		"upstream is up again":                1,
		"another upstream is the fastest now": 3, // a, then b while a is down, then a again
		`"level":"info"`:                      5,
	} {
		if n := s.Logs.Count(`"logger":"http.reverse_proxy.selection_policies.fastest-swagger"`, text); n != want {
			t.Errorf("%q is logged %d times, want %d\n%s", text, n, want, s.Logs)
		}
	}
}
