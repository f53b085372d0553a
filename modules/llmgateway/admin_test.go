package llmgateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
)

// withCooldowns runs a gateway whose channels have cooldowns of all scopes.
func withCooldowns(t *testing.T) (*testGateway, *clockwork.FakeClock) {
	t.Helper()
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g, clock, _ := startAt(t, `
		channel a `+up.URL+` {
			api_key sk-channel-a-0001 sk-channel-a-0002 sk-channel-a-0003
			models  m n
		}
		channel b `+up.URL+`/v1 {
			api_key sk-channel-b-0001 short12
			models  *
		}`)
	now := clock.Now()
	hour := cooldown.Cooldown{Until: now.Add(time.Hour), Reason: string(refusal.ReasonDayQuota)}
	guess := cooldown.Cooldown{Length: 10 * time.Minute, MaxLength: time.Hour, Reason: string(refusal.ReasonDead)}
	a, b := channelOf(t, "a"), channelOf(t, "b")
	a.cooldowns.Start("m", hour, now)
	a.keys()[0].cooldowns.Start(cooldown.All, guess, now)
	a.keys()[1].cooldowns.Start("m", hour, now)
	a.keys()[1].cooldowns.Start("n", hour, now)
	a.keys()[2].cooldowns.Start("m", hour, now)
	b.cooldowns.Start(cooldown.All, guess, now)
	b.keys()[0].cooldowns.Start("m", hour, now)
	b.keys()[1].cooldowns.Start("requested", cooldown.Cooldown{Until: now.Add(time.Hour), Requested: true}, now)
	return g, clock
}

func channelOf(t testing.TB, name string) *Channel {
	t.Helper()
	for _, g := range loadedGateways() {
		if c := channelNamed(g.channels, name); c != nil {
			return c
		}
	}
	t.Fatalf("there is no channel %s", name)
	return nil
}

func TestLiftCooldowns(t *testing.T) {
	for query, want := range map[string]int{
		"":                             8,
		"?channel=a":                   5,
		"?channel=b":                   3,
		"?key=…0001":                   2,
		"?key=%E2%80%A60001":           2,
		"?key=0001":                    2,
		"?channel=a&key=…0001":         1,
		"?channel=a&key=…0002":         2,
		"?channel=a&key=…0002&model=m": 1,
		"?key=…":                       1, // keys too short to show a part of
		"?model=m":                     4,
		"?channel=a&model=n":           1,
		"?model=requested":             1,
		"?channel=b&model=never-seen":  0, // b has any model
	} {
		t.Run(query, func(t *testing.T) {
			g, clock := withCooldowns(t)
			before := inCooldown(clock)
			if before != 8 {
				t.Fatalf("%d cooldowns, want 8", before)
			}
			status, body := g.Admin(http.MethodDelete, "/llm-gateway/cooldowns"+query)
			var answer struct{ Lifted *int }
			if err := json.Unmarshal(body, &answer); err != nil || status != 200 || answer.Lifted == nil {
				t.Fatalf("status %d, %v: %s", status, err, body)
			}
			if *answer.Lifted != want {
				t.Errorf("%d lifted, want %d", *answer.Lifted, want)
			}
			if after := inCooldown(clock); after != before-want {
				t.Errorf("%d cooldowns are left, want %d", after, before-want)
			}
			if status, body := g.Admin(http.MethodDelete, "/llm-gateway/cooldowns"+query); status != 200 || string(body) != "{\"lifted\":0}\n" {
				t.Errorf("a second time: status %d: %s", status, body)
			}
		})
	}
}

// inCooldown counts the cooldowns of all channels and keys.
func inCooldown(clock clockwork.Clock) (n int) {
	for _, item := range cooldownItems() {
		n += len(item.Breaker.List(clock.Now()))
	}
	return n
}

// What DELETE does not know it names with what there is; it lifts nothing, and
// repeats no value, which may be a key.
func TestLiftNothing(t *testing.T) {
	g, clock := withCooldowns(t)
	for query, want := range map[string]struct {
		status int
		text   string
	}{
		"?channel=nope":                {404, "there is no such channel; there are: a, b"},
		"?channel=A":                   {404, "there are: a, b"},
		"?key=sk-channel-a-0001":       {404, "there is no such key; there are: …, …0001, …0002, …0003"},
		"?channel=b&key=…0003":         {404, "there are: …, …0001"},
		"?channel=a&model=nope":        {404, "there is no such model; there are: m, n"},
		"?channel=a&key=0003&model=x*": {404, "there are: m, n"},
		"?keys=sk-channel-a-0001":      {400, "channel, key, model"},
		"?sk-channel-a-0001":           {400, "unknown parameter"},
		"?channel=a&channel=b":         {400, "given 2 times"},
		"?channel=":                    {400, "the parameter channel is empty"},
		"?key":                         {400, "the parameter key is empty"},
		"?key=%zz":                     {400, "cannot be read"},
		"?a;b":                         {400, "cannot be read"},
	} {
		status, body := g.Admin(http.MethodDelete, "/llm-gateway/cooldowns"+query)
		var answer struct{ Error string }
		_ = json.Unmarshal(body, &answer)
		if status != want.status || !strings.Contains(answer.Error, want.text) {
			t.Errorf("%s: status %d, want %d with %q: %s", query, status, want.status, want.text, body)
		}
		if strings.Contains(string(body), "sk-channel") {
			t.Errorf("%s: a key is shown: %s", query, body)
		}
	}
	if n := inCooldown(clock); n != 8 {
		t.Errorf("%d cooldowns are left, want 8", n)
	}
}

// Other methods get 405 and are told which there are.
func TestAdminMethods(t *testing.T) {
	withCooldowns(t)
	admin := new(Admin)
	for _, route := range admin.Routes() {
		allow := map[string]string{"/llm-gateway/channels": "GET, HEAD", "/llm-gateway/cooldowns": "DELETE", "/llm-gateway/check": "POST"}[route.Pattern]
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"} {
			w := httptest.NewRecorder()
			err := route.Handler.ServeHTTP(w, httptest.NewRequest(method, route.Pattern, nil))
			if strings.Contains(allow, method) {
				if err != nil || w.Code != 200 {
					t.Errorf("%s %s: %v, status %d", method, route.Pattern, err, w.Code)
				}
				continue
			}
			var refused caddy.APIError
			if !errors.As(err, &refused) || refused.HTTPStatus != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %v, want 405", method, route.Pattern, err)
			}
			if got := w.Header().Get("Allow"); got != allow {
				t.Errorf("%s %s: Allow %q, want %q", method, route.Pattern, got, allow)
			}
		}
	}
}

func TestAdminChannels(t *testing.T) {
	g, clock := withCooldowns(t)
	first := channelOf(t, "a").keys()[0].stats
	for range 3 {
		first.recordAttempt()
	}
	first.recordAnswered()
	first.recordRefusal(lastRefusal{At: clock.Now(), Status: 429, Scope: "key and model", Reason: "rate limit"})
	later := clock.Now().Add(time.Second)
	first.recordRefusal(lastRefusal{At: later, Status: 401, Scope: "key", Reason: "dead\nkey " + strings.Repeat("é", 500)})
	status, body := g.Admin(http.MethodGet, "/llm-gateway/channels")
	var states []channelState
	if err := json.Unmarshal(body, &states); err != nil || status != 200 || len(states) != 2 {
		t.Fatalf("status %d, %v: %s", status, err, body)
	}
	a := states[0]
	if a.Attempts != 3 || a.Answered != 1 || a.Refused != 2 || a.LastRefusal == nil || !a.LastRefusal.At.Equal(later) {
		t.Errorf("the channel's sums: %+v", a.statsState)
	}
	key := a.Keys[0]
	if key.Key != "…0001" || key.Attempts != 3 || key.Answered != 1 || key.Refused != 2 {
		t.Errorf("the first key: %+v", key)
	}
	if last := key.LastRefusal; last == nil || last.Status != 401 || last.Scope != "key" ||
		!strings.HasPrefix(last.Reason, "dead key é") || len(last.Reason) > longestReason {
		t.Errorf("its last refusal: %+v", last)
	}
	if want := (cooldownState{Until: clock.Now().Add(10 * time.Minute), Guessed: true, Reason: "dead key"}); len(key.Cooldowns) != 1 || key.Cooldowns[0] != want {
		t.Errorf("its cooldowns: %+v, want %+v", key.Cooldowns, want)
	}
	if want := (cooldownState{Model: "m", Until: clock.Now().Add(time.Hour), Reason: "day quota"}); len(a.Cooldowns) != 1 || a.Cooldowns[0] != want {
		t.Errorf("the channel's cooldowns: %+v, want %+v", a.Cooldowns, want)
	}
	if second := a.Keys[1]; second.LastRefusal != nil || len(second.Cooldowns) != 2 {
		t.Errorf("the second key: %+v", second)
	}
	if strings.Contains(string(body), "sk-channel") || strings.Contains(string(body), "short12") {
		t.Errorf("a key is shown: %s", body)
	}
	for _, query := range []string{"?sumary", "?summary&x", "?summary&summary", "?channel=a"} {
		if status, body := g.Admin(http.MethodGet, "/llm-gateway/channels"+query); status != 400 {
			t.Errorf("%s: status %d: %s", query, status, body)
		}
	}
}

func TestAdminSummary(t *testing.T) {
	g, clock := withCooldowns(t)
	channelOf(t, "a").keys()[2].stats.recordAttempt()
	status, body := g.Admin(http.MethodGet, "/llm-gateway/channels?summary")
	var got []channelSummary
	if err := json.Unmarshal(body, &got); err != nil || status != 200 || len(got) != 2 {
		t.Fatalf("status %d, %v: %s", status, err, body)
	}
	a := got[0]
	// The third key can still be asked for n.
	if a.Keys != 3 || a.Usable != 1 || a.Dead != 1 || a.Exhausted != 0 || a.Attempts != 1 {
		t.Errorf("channel a: %+v", a)
	}
	if want := (cooldownCounts{Key: 1, KeyModel: 2, ChannelModel: 1}); a.InCooldown != want {
		t.Errorf("channel a: in cooldown %+v, want %+v", a.InCooldown, want)
	}
	b := got[1]
	if b.Keys != 2 || b.Usable != 2 || b.Dead != 0 {
		t.Errorf("channel b: %+v", b)
	}
	if want := (cooldownCounts{Channel: 1, KeyModel: 2}); b.InCooldown != want {
		t.Errorf("channel b: in cooldown %+v, want %+v", b.InCooldown, want)
	}
	channelOf(t, "a").cooldowns.Start("n", cooldown.Cooldown{Until: clock.Now().Add(time.Hour)}, clock.Now())
	channelOf(t, "a").keys()[2].cooldowns.LiftEverything(clock.Now())
	if got := newChannelSummary(channelOf(t, "a"), clock.Now()).Usable; got != 0 {
		t.Errorf("%d keys are usable while all models are in cooldown for the channel", got)
	}
	clock.Advance(2 * time.Hour)
	if got := newChannelSummary(channelOf(t, "a"), clock.Now()); got.Usable != 3 || got.InCooldown != (cooldownCounts{}) {
		t.Errorf("when all are over: %+v", got)
	}
}

// The summary and an error stay small, whatever the number of keys.
func TestAdminManyKeys(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	var keys strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&keys, " sk-one-of-many-%05d", i)
	}
	g, clock, _ := startAt(t, "channel a "+up.URL+" {\napi_key"+keys.String()+"\nmodels m\n}")
	for i, k := range channelOf(t, "a").keys() {
		if i%2 == 0 {
			k.cooldowns.Start(cooldown.All, cooldown.Cooldown{Until: clock.Now().Add(time.Hour), Reason: "dead key"}, clock.Now())
		}
	}
	status, body := g.Admin(http.MethodGet, "/llm-gateway/channels?summary")
	if status != 200 || len(body) > 1000 || !strings.Contains(string(body), `"dead":5000`) {
		t.Errorf("status %d, %d bytes: %.500s", status, len(body), body)
	}
	status, body = g.Admin(http.MethodDelete, "/llm-gateway/cooldowns?key="+url.QueryEscape("…nope"))
	if status != 404 || len(body) > 1000 || !strings.Contains(string(body), "and 9980 more") {
		t.Errorf("status %d, %d bytes: %.500s", status, len(body), body)
	}
	if status, body = g.Admin(http.MethodDelete, "/llm-gateway/cooldowns?channel=a"); status != 200 || string(body) != "{\"lifted\":5000}\n" {
		t.Errorf("status %d: %s", status, body)
	}
}
