package llmgateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
)

// What providers say in the bodies of refusals, in their own forms.
const (
	googleMinute = `{"error":{"code":429,"message":"You exceeded your current quota.","status":"RESOURCE_EXHAUSTED","details":[` +
		`{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]},` +
		`{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.5s"}]}}`
	googleDay = `{"error":{"code":429,"message":"You exceeded your current quota.","status":"RESOURCE_EXHAUSTED","details":[` +
		`{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},` +
		`{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34s"}]}}`
	openRouter = `{"error":{"message":"Rate limit exceeded: free-models-per-day.","code":429,"metadata":{"headers":` +
		`{"X-RateLimit-Limit":"50","X-RateLimit-Remaining":"0","X-RateLimit-Reset":"%d"}}}}`
)

// A key is in cooldown as long as the body says, where no header does, and the client
// gets the body whole.
func TestRefusalsInBodies(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)                       // when startAt begins
	midnight := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)                    // of California
	openRouterFree := fmt.Sprintf(openRouter, noon.Add(time.Hour).UnixMilli()) // a day's quota ends with the day
	for name, test := range map[string]struct {
		body string
		wait time.Duration
	}{
		"Google, minute":          {googleMinute, 34500 * time.Millisecond},
		"Google, day":             {googleDay, midnight.Sub(noon)},
		"Google, compatible form": {"[" + googleMinute + "\n]\n", 34500 * time.Millisecond},
		"OpenRouter":              {openRouterFree, 12 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			up := caddytest.NewUpstream(t, caddytest.JSON(429, test.body))
			g, clock, _ := startAt(t, "channel a "+up.URL+" {\napi_key k\nmodels *\n}")
			a := g.chat(t, "m:free")
			a.wantStatus(t, 429)
			if a.text != test.body {
				t.Errorf("the client got %.100s", a.text)
			}
			up.Handle(caddytest.JSON(200, completion))
			clock.Advance(test.wait - time.Millisecond)
			g.chat(t, "m:free").wantStatus(t, 429)
			clock.Advance(time.Millisecond)
			g.chat(t, "m:free").wantStatus(t, 200)
		})
	}
}

// A refusal whose body does not come delays the next try by a second at most.
func TestRefusalHangs(t *testing.T) {
	up := caddytest.NewUpstream(t, byKey(map[string]http.HandlerFunc{
		"k1": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(429)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
		"k2": caddytest.JSON(200, completion),
	}))
	g := start(t, "client alice alice-key\nchannel a "+up.URL+" {\napi_key k1\nmodels m\n}\nchannel b "+up.URL+" {\napi_key k2\nmodels m\ntier 2\n}")
	g.chat(t, "m").wantStatus(t, 200)
	up.WaitLeft(t)
}

// A refusal that the gateway words in the client's dialect has the type that OpenAI's
// API gives errors with its status.
func TestTypesOfRefusals(t *testing.T) {
	for status, want := range map[int]string{400: "invalid_request_error", 404: "invalid_request_error", 413: "invalid_request_error", 429: "requests"} {
		up := caddytest.NewUpstream(t, caddytest.JSON(status, `{"type":"error","error":{"type":"some_error","message":"no"}}`))
		g := speaking(t, up, "messages")
		res := g.do(t, http.MethodPost, "/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"hi"}]}`)
		var body struct{ Error struct{ Type string } }
		if err := json.Unmarshal([]byte(res.text), &body); err != nil || body.Error.Type != want {
			t.Errorf("status %d: the type is %q, want %q: %v %s", status, body.Error.Type, want, err, res.text)
		}
	}
}

// An overloaded channel has the status that the client's dialect gives that, once it
// is translated.
func TestStatusOfOverload(t *testing.T) {
	for _, o := range []struct {
		channel string
		status  int
		client  string
		want    int
	}{{"messages", 529, "gemini", 503}, {"chat", 503, "messages", 529}} {
		up := caddytest.NewUpstream(t, caddytest.JSON(o.status, `{"error":{"type":"overloaded_error","message":"Overloaded"}}`))
		path, body := requestIn(o.client, false)
		if got := speaking(t, up, o.channel).do(t, http.MethodPost, path, body).StatusCode; got != o.want {
			t.Errorf("a %s client of a %s channel that answers %d: status %d, want %d", o.client, o.channel, o.status, got, o.want)
		}
	}
	for _, client := range []neutral.Dialect{neutral.Chat, neutral.Responses, neutral.Messages, neutral.Gemini} {
		if got := overloadedIn(client, http.StatusBadGateway); got != http.StatusBadGateway {
			t.Errorf("%s: a 502 becomes a %d", client, got)
		}
	}
}
