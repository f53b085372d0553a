package llmgateway

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// Refusals in the words of providers.
const (
	flagged  = `{"error":{"code":403,"message":"m requires moderation. Your input was flagged","metadata":{"reasons":["violence/graphic"],"flagged_input":"BAD"}}}`
	tooMany  = `{"error":{"code":402,"message":"This request requires more credits, or fewer max_tokens. You requested up to 65536 tokens, but can only afford 3919."}}`
	noOrg    = `{"error":{"message":"OpenAI-Organization header should match organization for API key","type":"invalid_request_error","param":null,"code":"mismatched_organization"}}`
	noAccess = `{"error":{"message":"Project does not have access to model m","type":"invalid_request_error","param":null,"code":"model_not_found"}}`
	tooLong  = `{"error":{"message":"The number of prompt tokens for free accounts is limited to 4096. (ApiKey: sk-AbC****wxyz)","type":"chatanywhere_error","code":"403 FORBIDDEN"}}`
	page     = `<!DOCTYPE html><title>Attention Required! Your API key is invalid</title>`

	deadKey  = `{"error":{"message":"Incorrect API key provided: sk-ab***yz.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`
	deadText = `{"code":"The caller does not have permission","error":"Incorrect API key provided: xa***ab"}`
	leaked   = `{"error":{"code":403,"message":"Your API key was reported as leaked. Please use another API key.","status":"PERMISSION_DENIED"}}`
	noCredit = `{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}`
)

// manyKeys are n keys of a channel.
func manyKeys(n int) string {
	var keys strings.Builder
	for i := range n {
		fmt.Fprintf(&keys, " key-number-%04d", i)
	}
	return keys.String()
}

// eve's request is refused by every key, others are not.
const evesRequest = `{"model":"m","messages":[{"role":"user","content":"BAD"}]}`

func refuseBad(status int, contentType, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, 1000)
		n, _ := r.Body.Read(body)
		if strings.Contains(string(body[:n]), "BAD") {
			caddytest.Answer(status, contentType, text)(w, r)
			return
		}
		caddytest.JSON(200, completion)(w, r)
	}
}

// A request that all keys refuse asks three of them at most, puts none in
// cooldown, goes on to another channel, and keeps nobody else from an answer,
// however often it comes.
func TestRefusedRequestHarmsNobody(t *testing.T) {
	for name, refusal := range map[string]struct {
		status int
		text   string
		calls  int
		client int // the status that the client gets
	}{
		"nothing":          {403, `{}`, 2, 403},
		"no body":          {401, ``, 2, 503},
		"no JSON":          {403, `Forbidden`, 2, 403},
		"payment required": {402, `{"error":{"message":"Payment needed"}}`, 2, 402},
		"moderation":       {403, flagged, 1, 403},
		"max_tokens":       {402, tooMany, 1, 402},
		"organisation":     {401, noOrg, 1, 400},
		"context":          {403, tooLong, 1, 403},
		"a page":           {403, page, 1, 503},
	} {
		t.Run(name, func(t *testing.T) {
			up := caddytest.NewUpstream(t, refuseBad(refusal.status, "application/json", refusal.text))
			spare := caddytest.NewUpstream(t, caddytest.JSON(200, `{"choices":[{"text":"spare"}]}`))
			n := 20
			if name == "moderation" || name == "nothing" {
				n = 300
			}
			g, clock, _ := startAt(t, `
				channel a `+up.URL+` {
					api_key`+manyKeys(n)+`
					models  m other
				}
				channel b `+spare.URL+` {
					api_key k
					models  with-spare
					tier    2
				}
				channel a2 `+up.URL+`/2/v1 {
					api_key`+manyKeys(n)+`
					models  with-spare
				}`)
			for range 10 {
				since := len(up.Requests())
				a := g.do(t, http.MethodPost, "/v1/chat/completions", evesRequest)
				a.wantStatus(t, refusal.client)
				if refusal.client != 503 && a.text != refusal.text {
					t.Errorf("the client got %s", a.text)
				}
				if calls := len(up.Requests()) - since; calls != refusal.calls {
					t.Errorf("%d calls, want %d", calls, refusal.calls)
				}
				for _, model := range []string{"m", "other"} {
					g.chat(t, model).wantStatus(t, 200)
				}
				clock.Advance(200 * time.Millisecond)
			}
			if found := g.cooldowns(t); len(found) > 0 {
				t.Errorf("in cooldown are %v", found)
			}
			since := len(up.Requests())
			a := g.do(t, http.MethodPost, "/v1/chat/completions", strings.Replace(evesRequest, `"m"`, `"with-spare"`, 1))
			want := "b"
			if name == "moderation" || name == "organisation" {
				want = "a2" // nobody would serve it
			}
			if calls := len(up.Requests()) - since; a.Header.Get("X-Gateway-Channel") != want || calls != refusal.calls {
				t.Errorf("status %d from %s after %d calls, want %s", a.StatusCode, a.Header.Get("X-Gateway-Channel"), calls, want)
			}
		})
	}
}

// A single key that refuses without a reason may be asked again at once.
func TestSingleKeyWithoutReason(t *testing.T) {
	for status, want := range map[int]int{401: 503, 402: 402, 403: 403} {
		up := caddytest.NewUpstream(t, refuseBad(status, "application/json", "{}"))
		g, _, _ := startAt(t, "channel a "+up.URL+" {\napi_key k\nmodels m\n}")
		for range 3 {
			g.do(t, http.MethodPost, "/v1/chat/completions", evesRequest).wantStatus(t, want)
			g.chat(t, "m").wantStatus(t, 200)
		}
	}
}

// A key that refuses what another key answers is in cooldown: without a reason
// for the model, and as long as the option says; with one as long as that is
// good for. Texts are believed of two keys, fields of all.
func TestRefusedKeys(t *testing.T) {
	const minute = time.Minute
	constant, dead, credit := []time.Duration{minute, minute}, []time.Duration{10 * minute, 20 * minute}, []time.Duration{60 * minute, 120 * minute}
	for name, tc := range map[string]struct {
		status int
		text   string
		model  string // in cooldown, "" for all
		dead   int    // so many keys are refused
		lasts  []time.Duration
	}{
		"no reason":          {403, `{}`, "m", 1, constant},
		"text":               {403, leaked, "", 2, dead},
		"flat text":          {403, deadText, "", 2, dead},
		"text about credit":  {402, noCredit, "", 2, credit},
		"field":              {401, deadKey, "", 4, dead},
		"field about credit": {402, `{"error":{"code":"insufficient_balance"}}`, "", 2, credit},
	} {
		t.Run(name, func(t *testing.T) {
			isDead := func(key string) bool { return key < fmt.Sprintf("key-number-%04d", tc.dead) }
			up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				if isDead(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")) {
					caddytest.JSON(tc.status, tc.text)(w, r)
					return
				}
				caddytest.JSON(200, completion)(w, r)
			})
			g, clock, _ := startAt(t, "key_policy round_robin\nchannel a "+up.URL+" {\napi_key"+manyKeys(5)+"\nmodels m other\n}")
			g.chat(t, "m").wantStatus(t, 200)
			if calls := len(up.Requests()); calls != tc.dead+1 {
				t.Errorf("%d calls, want %d", calls, tc.dead+1)
			}
			for round, lasts := range tc.lasts {
				found := g.cooldowns(t)
				if len(found) != tc.dead {
					t.Fatalf("round %d: in cooldown are %v, want %d keys", round, found, tc.dead)
				}
				for key, states := range found {
					if len(states) != 1 || states[0].Model != tc.model || !states[0].Until.Equal(clock.Now().Add(lasts)) {
						t.Errorf("round %d: %s: %+v, want %q for %v", round, key, states, tc.model, lasts)
					}
				}
				since := len(up.Requests())
				for range 5 {
					g.chat(t, "m").wantStatus(t, 200)
				}
				for _, r := range up.Requests()[since:] {
					if isDead(bearer(r)) {
						t.Errorf("round %d: %s was used in its cooldown", round, bearer(r))
					}
				}
				clock.Advance(lasts)
				for range 5 {
					g.chat(t, "m").wantStatus(t, 200) // and each key's trial
				}
			}
		})
	}
}

// Where a channel has no other key, a text that names the key is believed.
func TestSingleRefusedKey(t *testing.T) {
	for _, text := range []string{leaked, deadText, deadKey} {
		up := caddytest.NewUpstream(t, caddytest.JSON(403, text))
		g, _, _ := startAt(t, "channel a "+up.URL+" {\napi_key k\nmodels m other\n}")
		g.chat(t, "m").wantError(t, 503, "channel_key_refused")
		g.chat(t, "other").wantError(t, 503, "channel_key_refused")
		if calls := len(up.Requests()); calls != 1 {
			t.Errorf("%d calls with a dead key, want 1", calls)
		}
	}
}

// An error inside a stream or a 200 is about the key too.
func TestRefusedInside200(t *testing.T) {
	for _, contentType := range []string{"application/json", "text/event-stream"} {
		text := deadKey
		if contentType == "text/event-stream" {
			text = ": wait\n\n" + sse(deadKey)
		}
		up := caddytest.NewUpstream(t, byKey(map[string]http.HandlerFunc{
			"key-number-0000": caddytest.Answer(200, contentType, text),
			"key-number-0001": caddytest.JSON(200, completion),
		}))
		g, _, _ := startAt(t, "key_policy round_robin\nchannel a "+up.URL+" {\napi_key"+manyKeys(2)+"\nmodels m other\n}")
		g.chat(t, "m").wantStatus(t, 200)
		if found := g.cooldowns(t); len(found["a …0000"]) != 1 || found["a …0000"][0].Model != "" || found["a …0000"][0].Reason != "dead key" {
			t.Errorf("%s: in cooldown are %v", contentType, found)
		}
	}
}

// The trial of a key is not lost on a request that is refused for what it is:
// its cooldown does not grow, and the next request makes the trial.
func TestTrialOfBadRequest(t *testing.T) {
	for name, refusal := range map[string]http.HandlerFunc{
		"no reason":   refuseBad(403, "application/json", "{}"),
		"moderation":  refuseBad(403, "application/json", flagged),
		"bad request": refuseBad(400, "application/json", "{}"),
		"too large":   refuseBad(413, "application/json", "{}"),
	} {
		t.Run(name, func(t *testing.T) {
			up := caddytest.NewUpstream(t, caddytest.JSON(401, deadKey))
			g, clock, _ := startAt(t, "channel a "+up.URL+" {\napi_key k\nmodels m\n}")
			g.chat(t, "m").wantStatus(t, 503)
			up.Handle(refusal)
			clock.Advance(10 * time.Minute)
			for range 3 {
				g.do(t, http.MethodPost, "/v1/chat/completions", evesRequest)
			}
			for _, states := range g.cooldowns(t) {
				for _, s := range states {
					if s.Reason == "dead key" {
						t.Errorf("the cooldown has grown: %+v", s)
					}
				}
			}
			g.chat(t, "m").wantStatus(t, 200)
			g.chat(t, "m").wantStatus(t, 200)
		})
	}
}

// A request tries three keys and puts two in cooldown for a rate limit. Where
// two accounts say nothing but 429 it is the model's. A quota of a day is no
// request's doing.
func TestRateLimitsOfOneRequest(t *testing.T) {
	for text, want := range map[string]struct{ calls, cooldowns int }{"": {2, 1}, googleMinute: {3, 2}, googleDay: {6, 6}} {
		up := caddytest.NewUpstream(t, caddytest.JSON(429, text))
		g, _, _ := startAt(t, "channel a "+up.URL+" {\napi_key"+manyKeys(6)+"\nmodels m\n}")
		g.chat(t, "m").wantStatus(t, 429)
		if calls, found := len(up.Requests()), g.cooldowns(t); calls != want.calls || len(found) != want.cooldowns {
			t.Errorf("%.40s: %d calls, in cooldown are %v, want %+v", text, calls, found, want)
		}
	}
}

// Names that clients choose, of a channel's wildcard, fill neither the memory
// nor the log nor the admin API.
func TestCooldownsOfChosenNames(t *testing.T) {
	up := caddytest.NewUpstream(t, rateLimited("100"))
	g, _, _ := startAt(t, "channel a "+up.URL+" {\napi_key"+manyKeys(2)+"\nmodels configured\nmodels alias-* as fixed\nmodels wild-*\n}")
	for i := range 300 {
		g.chat(t, fmt.Sprintf("wild-%d", i)).wantStatus(t, 429)
		g.chat(t, fmt.Sprintf("alias-%d", i)).wantStatus(t, 429)
	}
	for range 10 {
		g.chat(t, "wild-"+strings.Repeat("x", 3900)).wantStatus(t, 429)
	}
	if n := len(up.Requests()); n != 2*300+2+2*10 {
		t.Errorf("%d calls", n) // and none for fixed, once it is in cooldown
	}
	g.chat(t, "configured").wantStatus(t, 429)
	found := g.cooldowns(t)
	for key, states := range found {
		if len(states) != 64+2 {
			t.Errorf("%s: %d cooldowns, want 66", key, len(states))
		}
	}
	if _, body := g.Admin(http.MethodGet, "/llm-gateway/channels"); len(body) > 20_000 {
		t.Errorf("the admin API answers %d bytes", len(body))
	}
	if n := g.Logs.Count("API key in cooldown", `"level":"info"`); n != 2*2 {
		t.Errorf("%d lines about cooldowns, want those of two configured names", n)
	}
}

// A request without a model has a cooldown of its own.
func TestCooldownWithoutModel(t *testing.T) {
	up := caddytest.NewUpstream(t, limited("100"))
	g, _, _ := startAt(t, "default_channel a\nchannel a "+up.URL+" {\napi_key k\nmodels m\n}")
	g.do(t, http.MethodGet, "/v1/files", "").wantStatus(t, 429)
	up.Handle(caddytest.JSON(200, completion))
	g.chat(t, "m").wantStatus(t, 200)
	g.do(t, http.MethodGet, "/v1/files", "").wantError(t, 429, "rate_limit_exceeded")
}

// Where 403 is not tried again there is no second opinion.
func TestRefusedWithoutRetry(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(403, "{}"))
	g, _, _ := startAt(t, "retry_on 429\nchannel a "+up.URL+" {\napi_key"+manyKeys(2)+"\nmodels m\n}")
	for range 3 {
		g.chat(t, "m").wantStatus(t, 403)
	}
	if calls := len(up.Requests()); calls != 3 {
		t.Errorf("%d calls, want 3", calls)
	}
}
