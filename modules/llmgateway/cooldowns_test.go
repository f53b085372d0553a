package llmgateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// startAt runs a gateway on a clock that the test turns. Unless the options say
// so, no request waits for the end of a cooldown.
func startAt(t *testing.T, options string) (*testGateway, *clockwork.FakeClock, func(options string) string) {
	t.Helper()
	clock := clockwork.NewFakeClockAt(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	addr := caddytest.Addr(t)
	config := func(options string) string {
		if !strings.Contains(options, "wait ") {
			options = "wait off\n" + options
		}
		return site(addr, "client alice alice-key\n"+options)
	}
	c := caddytest.Start(t, config(options), caddytest.WithFakeClock(clock))
	return &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}, clock, config
}

// asked returns the keys with which the upstream was asked since the last call.
func asked(up *caddytest.Upstream, since *int) string {
	requests := up.Requests()
	var keys []string
	for _, r := range requests[*since:] {
		keys = append(keys, bearer(r))
	}
	*since = len(requests)
	slices.Sort(keys)
	return strings.Join(keys, " ")
}

func limited(retryAfter string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", retryAfter)
		caddytest.JSON(429, `{"error":{"message":"slow down"}}`)(w, r)
	}
}

// rateLimited refuses with a reason in a field.
func rateLimited(retryAfter string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", retryAfter)
		caddytest.JSON(429, openAIError)(w, r)
	}
}

// After a 429 the key is in cooldown for that model as long as the provider says. Then
// one request tries it again.
func TestRetryAfterCoolsDownKeyAndModel(t *testing.T) {
	good := caddytest.JSON(200, completion)
	up := caddytest.NewUpstream(t, byKey(map[string]http.HandlerFunc{"k1": limited("7"), "k2": good}))
	g, clock, _ := startAt(t, "key_policy round_robin\nchannel a "+up.URL+" {\napi_key k1 k2\nmodels m other\n}")
	since := 0
	g.chat(t, "m").wantStatus(t, 200)
	if got := asked(up, &since); got != "k1 k2" {
		t.Fatalf("asked with %s", got)
	}
	for range 4 {
		g.chat(t, "m").wantStatus(t, 200)
	}
	if got := asked(up, &since); got != "k2 k2 k2 k2" {
		t.Errorf("while k1 is in cooldown: asked with %s", got)
	}
	up.Handle(good)
	for range 2 {
		g.chat(t, "other").wantStatus(t, 200)
	}
	if got := asked(up, &since); got != "k1 k2" {
		t.Errorf("for another model: asked with %s", got)
	}
	clock.Advance(7*time.Second - time.Millisecond)
	g.chat(t, "m").wantStatus(t, 200)
	g.chat(t, "m").wantStatus(t, 200)
	if got := asked(up, &since); got != "k2 k2" {
		t.Errorf("just before its time: asked with %s", got)
	}
	clock.Advance(time.Millisecond)
	g.chat(t, "m").wantStatus(t, 200)
	g.chat(t, "m").wantStatus(t, 200)
	if got := asked(up, &since); got != "k1 k2" {
		t.Errorf("after it: asked with %s", got)
	}
	if n := g.Logs.Count("API key in cooldown"); n != 1 {
		t.Errorf("%d lines about the cooldown, want 1", n)
	}
	if n := g.Logs.Count("API key works again"); n != 1 {
		t.Errorf("%d lines about the recovery, want 1", n)
	}
}

// When all keys are in cooldown the client hears when to come again, in its own dialect,
// and no key is asked.
func TestAllInCooldown(t *testing.T) {
	up := caddytest.NewUpstream(t, byKey(map[string]http.HandlerFunc{"k1": limited("30"), "k2": limited("20")}))
	g, clock, _ := startAt(t, "channel a "+up.URL+" {\napi_key k1 k2\nmodels m\n}")
	first := g.chat(t, "m")
	first.wantStatus(t, 429)
	if !strings.Contains(first.text, "slow down") {
		t.Errorf("the provider's own answer was lost: %s", first.text)
	}
	since := len(up.Requests())
	clock.Advance(5500 * time.Millisecond)
	a := g.chat(t, "m")
	a.wantError(t, 429, "rate_limit_exceeded")
	if got := a.Header.Get("Retry-After"); got != "15" {
		t.Errorf("Retry-After: %s, want 15", got)
	}
	if got := asked(up, &since); got != "" {
		t.Errorf("asked with %s", got)
	}
	a = g.do(t, http.MethodPost, "/v1/messages", chatBody("m"))
	a.wantStatus(t, 429)
	if !strings.Contains(a.text, `"rate_limit_error"`) {
		t.Errorf("not Anthropic's envelope: %s", a.text)
	}
}

// A dead key is in cooldown for all models, twice as long after each failed
// trial, and comes back with one that succeeds. As the only one it is tried all
// the same, but not more than twice a minute.
func TestDeadKey(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(401, deadKey))
	g, clock, _ := startAt(t, "channel a "+up.URL+" {\napi_key k1\nmodels m other\n}")
	since := 0
	g.chat(t, "m").wantError(t, 503, "channel_key_refused")
	asked(up, &since)
	for range 3 {
		a := g.chat(t, "other")
		a.wantError(t, 503, "channel_key_refused")
		if !strings.Contains(a.text, "All candidates for other are unavailable: 1 dead key.") {
			t.Errorf("the client hears %s", a.text)
		}
		clock.Advance(30*time.Second - 1)
		g.chat(t, "m").wantStatus(t, 503)
		if got := asked(up, &since); got != "" {
			t.Errorf("asked with %s before half a minute was over", got)
		}
		clock.Advance(1)
		g.chat(t, "other").wantStatus(t, 503)
		if got := asked(up, &since); got != "k1" {
			t.Errorf("after half a minute: asked with %q", got)
		}
	}
	for _, lasts := range []time.Duration{10, 20, 40} {
		found := g.cooldowns(t)["a …"]
		if len(found) != 1 || found[0].Model != "" {
			t.Fatalf("in cooldown are %v", found)
		}
		if lasts == 20 || lasts == 40 {
			if want := clock.Now().Add(lasts * time.Minute); !found[0].Until.Equal(want) {
				t.Errorf("until %v, want %v", found[0].Until, want)
			}
		}
		clock.Advance(found[0].Until.Sub(clock.Now()))
		g.chat(t, "m").wantStatus(t, 503)
	}
	clock.Advance(80 * time.Minute)
	up.Handle(caddytest.JSON(200, completion))
	g.chat(t, "m").wantStatus(t, 200)
	g.chat(t, "other").wantStatus(t, 200)
	if found := g.cooldowns(t); len(found) > 0 {
		t.Errorf("in cooldown are %v", found)
	}
}

// While the trial is under way nobody else uses the key. A client that leaves
// decides nothing.
func TestOneTrial(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(403, deadKey))
	g, clock, _ := startAt(t, "channel a "+up.URL+" {\napi_key k1\nmodels m\n}")
	g.chat(t, "m").wantStatus(t, 503)
	up.Next(t)
	up.Handle(caddytest.Hang)
	clock.Advance(10 * time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+"/v1/chat/completions", strings.NewReader(chatBody("m")))
	req.Header.Set("Authorization", "Bearer alice-key")
	left := make(chan struct{})
	go func() {
		defer close(left)
		_, _ = g.client.Do(req)
	}()
	up.Next(t)
	g.chat(t, "m").wantError(t, 503, "channel_key_refused")
	cancel()
	<-left
	up.WaitLeft(t)
	g.Logs.Wait(t, "http.log.access", `"status":499`)
	up.Handle(caddytest.JSON(200, completion))
	g.chat(t, "m").wantStatus(t, 200)
}

// A channel that fails three times in a row is asked last, also for other
// requests, until a trial succeeds. If there is nothing else it is asked all
// the same. The failures of one conversation say nothing about the channel.
func TestFailingChannel(t *testing.T) {
	bad := caddytest.NewUpstream(t, caddytest.JSON(500, "{}"))
	good := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g, clock, _ := startAt(t, `
		lb_policy first
		channel bad `+bad.URL+` {
			api_key k1
			models  m only-bad
		}
		channel good `+good.URL+` {
			api_key k1
			models  m
		}`)
	since := 0
	for i, turn := range []struct{ conversation, want string }{{"a", "k1"}, {"a", "k1"}, {"a", "k1"}, {"a", "k1"}, {"b", "k1"}, {"b", ""}, {"a", ""}} {
		g.chatOf(t, turn.conversation, "m").wantStatus(t, 200)
		if got := asked(bad, &since); got != turn.want {
			t.Errorf("request %d: the bad channel was asked with %q, want %q", i+1, got, turn.want)
		}
	}
	g.chat(t, "only-bad").wantStatus(t, 500)
	asked(bad, &since)
	bad.Handle(caddytest.JSON(200, completion))
	clock.Advance(30 * time.Second)
	g.chat(t, "m").wantStatus(t, 200)
	g.chat(t, "m").wantStatus(t, 200)
	if got := asked(bad, &since); got != "k1 k1" {
		t.Errorf("after its cooldown the channel was asked with %q", got)
	}
}

// Cooldowns outlive a reload, and the admin API shows them.
func TestCooldownsOutliveReload(t *testing.T) {
	up := caddytest.NewUpstream(t, byKey(map[string]http.HandlerFunc{
		"a-long-key-0001": limited("100"), "a-long-key-0002": caddytest.JSON(200, completion),
	}))
	options := "key_policy round_robin\nchannel a " + up.URL + " {\napi_key a-long-key-0001 a-long-key-0002\nmodels m\n}"
	g, clock, config := startAt(t, options)
	g.chat(t, "m").wantStatus(t, 200)
	since := len(up.Requests())
	for i := range 3 {
		g.Reload(config(fmt.Sprintf("retries %d\n", i+1) + options))
		g.client.CloseIdleConnections() // Caddy has closed them
		g.chat(t, "m").wantStatus(t, 200)
		g.chat(t, "m").wantStatus(t, 200)
	}
	if got := asked(up, &since); strings.Contains(got, "0001") {
		t.Errorf("asked with %s", got)
	}

	status, body := g.Admin(http.MethodGet, "/llm-gateway/channels")
	var states []channelState
	if err := json.Unmarshal(body, &states); err != nil || status != 200 || len(states) != 1 || len(states[0].Keys) != 2 {
		t.Fatalf("status %d, %v: %s", status, err, body)
	}
	first, second := states[0].Keys[0], states[0].Keys[1]
	want := cooldownState{Model: "m", Until: clock.Now().Add(100 * time.Second), Reason: "rate limit"}
	if first.Key != "…0001" || len(first.Cooldowns) != 1 || !first.Cooldowns[0].Until.Equal(want.Until) || first.Cooldowns[0].Model != "m" || first.Cooldowns[0].Reason != want.Reason {
		t.Errorf("the first key: %+v", first)
	}
	if len(second.Cooldowns) != 0 {
		t.Errorf("the second key: %+v", second)
	}
	if strings.Contains(string(body), "a-long-key") {
		t.Errorf("the admin API shows a key: %s", body)
	}
	if status, _ := g.Admin(http.MethodDelete, "/llm-gateway/channels"); status != 405 {
		t.Errorf("DELETE: status %d", status)
	}
}
