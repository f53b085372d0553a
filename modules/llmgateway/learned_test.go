package llmgateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
)

// telling is a channel whose first key is told by the header of a response that
// nothing is left of a limit.
func telling(t *testing.T, lines, name, value, resetName, reset string) (*testGateway, *caddytest.Upstream, *clockwork.FakeClock) {
	t.Helper()
	clock := clockwork.NewFakeClockAt(time.Date(2028, 2, 29, 12, 0, 0, 0, time.UTC))
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Header.Get("Authorization"), "1") {
			w.Header().Set(name, value)
			if resetName != "" {
				w.Header().Set(resetName, reset)
			}
		}
		caddytest.JSON(200, completion)(w, r)
	})
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, "client alice alice-key\nwait off\nchannel a "+up.URL+" {\nmodels m other\n"+lines+"\n}"), caddytest.WithFakeClock(clock))
	return &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}, up, clock
}

// keysAsked returns the last characters of the keys that the channel got.
func keysAsked(up *caddytest.Upstream) (keys string) {
	for _, r := range up.Requests() {
		key := r.Header.Get("Authorization")
		keys += key[len(key)-1:]
	}
	return keys
}

// A key of which nothing is left, as its provider tells, is not asked before there
// is more.
func TestLearnedLimits(t *testing.T) {
	for _, test := range []struct {
		provider, name, reset, at string
		wait                      time.Duration
		allModels                 bool
	}{
		{"groq", "X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Tokens", "59.5s", 60 * time.Second, false},
		{"cerebras", "X-Ratelimit-Remaining-Requests-Day", "X-Ratelimit-Reset-Requests-Day", "39600.5", 11*time.Hour + time.Second, false},
		{"mistral", "X-Ratelimitbysize-Remaining-Minute", "", "", time.Minute, false},
		{"modelscope", "Modelscope-Ratelimit-Model-Requests-Remaining", "", "", 4 * time.Hour, false},
		{"modelscope", "Modelscope-Ratelimit-Requests-Remaining", "", "", 4 * time.Hour, true},
		{"openrouter", "X-Ratelimit-Remaining", "X-Ratelimit-Reset", fmt.Sprint(time.Date(2028, 2, 29, 12, 5, 0, 0, time.UTC).UnixMilli()), 5 * time.Minute, false},
		{"anthropic", "Anthropic-Ratelimit-Tokens-Remaining", "Anthropic-Ratelimit-Tokens-Reset", "2028-02-29T12:00:20Z", 20 * time.Second, false},
		// Believed for no more than max_cooldown.
		{"groq", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests", "20h", time.Hour, false},
	} {
		t.Run(test.provider+" "+test.name, func(t *testing.T) {
			g, up, clock := telling(t, "provider "+test.provider+"\nauth bearer\napi_key sk-channel-key-1", test.name, "0", test.reset, test.at)
			g.chat(t, "m").wantStatus(t, 200)
			a := g.chat(t, "m")
			a.wantStatus(t, 429)
			if !strings.Contains(a.text, "1 rate limited (first free in ") {
				t.Errorf("the client got %s", a.text)
			}
			want := 200
			if test.allModels {
				want = 429
			}
			g.chat(t, "other").wantStatus(t, want)
			clock.Advance(test.wait - time.Second)
			g.chat(t, "m").wantStatus(t, 429)
			clock.Advance(time.Second)
			g.chat(t, "m").wantStatus(t, 200)
			if got := len(up.Requests()); got != 3 && !test.allModels || test.allModels && got != 2 {
				t.Errorf("the channel got %d requests", got)
			}
		})
	}
}

// The next request goes to another key, and what was told is shown.
func TestLearnedLimitsOfOneKey(t *testing.T) {
	g, up, clock := telling(t, "key_policy round_robin\nprovider groq\napi_key sk-channel-key-1 sk-channel-key-2", "X-Ratelimit-Remaining-Tokens", "0", "X-Ratelimit-Reset-Tokens", "1m0s")
	for range 6 {
		g.chat(t, "m").wantStatus(t, 200)
	}
	if got := keysAsked(up); strings.Count(got, "1") != 1 {
		t.Errorf("the channel got the keys %s, want 1 only once", got)
	}
	var channels []struct {
		Keys []struct{ Learned []learnedState }
	}
	_, body := g.Admin(http.MethodGet, "/llm-gateway/channels")
	if err := json.Unmarshal(body, &channels); err != nil {
		t.Fatal(err)
	}
	now := clock.Now()
	want := learnedState{Model: "m", Name: "tokens", Renews: now.Add(time.Minute), At: now}
	if got := channels[0].Keys[0].Learned; len(got) != 1 || got[0] != want {
		t.Errorf("the first key has learned %+v, want %+v", got, want)
	}
	if got := channels[0].Keys[1].Learned; len(got) != 0 {
		t.Errorf("the second key has learned %+v, want nothing", got)
	}
	// What was learned can be lifted.
	if status, body := g.Admin(http.MethodDelete, "/llm-gateway/cooldowns?channel=a"); status != 200 {
		t.Fatalf("lifting: status %d: %s", status, body)
	}
	for range 3 {
		g.chat(t, "m").wantStatus(t, 200)
	}
	if got := keysAsked(up); strings.Count(got, "1") != 2 {
		t.Errorf("the channel got the keys %s, want 1 once more", got)
	}
}

// A host that is not known to be the provider may pass on what is another
// account's: there it only counts as long as there is something else.
func TestLearnedLimitsOfUnknownHosts(t *testing.T) {
	g, up, _ := telling(t, "api_key sk-channel-key-1", "X-Ratelimit-Remaining-Requests", "0", "X-Ratelimit-Reset-Requests", "1h")
	for range 3 {
		g.chat(t, "m").wantStatus(t, 200)
	}
	if got := len(up.Requests()); got != 3 {
		t.Errorf("the channel got %d requests, want 3", got)
	}
}

// Of names that clients choose only so many are kept.
func TestLearnedLimitsAreBounded(t *testing.T) {
	var l learnedLimits
	now := time.Unix(1e9, 0)
	l.record("m", []refusal.Limit{{Name: "all", Remaining: 1, AllModels: true, Until: now.Add(time.Hour)}}, time.Hour, now)
	for i := range 1000 {
		l.record(fmt.Sprint(i), []refusal.Limit{{Name: "a", Until: now.Add(time.Hour)}}, time.Hour, now)
	}
	if l.states()[0].Name != "all" {
		t.Errorf("the limit of all models is gone: %+v", l.states()[0])
	}
	if got := len(l.states()); got > mostModels+1 {
		t.Errorf("%d models are kept, want %d", got, mostModels+1)
	}
	if l.until("5", now).IsZero() || !l.until("5", now.Add(time.Hour)).IsZero() {
		t.Errorf("the first models are blocked until %v", l.until("5", now))
	}
	l.record("5", []refusal.Limit{{Name: "a", Remaining: 1, Until: now.Add(time.Hour)}}, time.Hour, now)
	if got := l.until("5", now); !got.IsZero() {
		t.Errorf("a model of which something is left is blocked until %v", got)
	}
}

// Names that clients choose keep no other model's limits from being learned.
func TestLearnedLimitsGoOn(t *testing.T) {
	var l learnedLimits
	now := time.Unix(1e9, 0)
	for i := range 1000 {
		l.record(fmt.Sprint(i), []refusal.Limit{{Name: "a", Remaining: 5, Until: now.Add(time.Hour)}}, time.Hour, now)
		now = now.Add(time.Second)
	}
	l.record("", []refusal.Limit{{Name: "b", Remaining: 5, Until: now.Add(time.Hour)}}, time.Hour, now)
	l.record("m", []refusal.Limit{{Name: "a", Until: now.Add(time.Hour)}}, time.Hour, now)
	if l.until("m", now).IsZero() {
		t.Error("the limit of another model was not learned")
	}
	if got := len(l.states()); got > mostModels+1 {
		t.Errorf("%d models are kept, want %d", got, mostModels+1)
	}
}
