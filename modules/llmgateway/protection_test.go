package llmgateway

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
)

// randomRefusal is what an upstream says to each request of one client.
type randomRefusal struct {
	status   int
	header   http.Header
	body     string
	inStream bool
}

// mutate returns a JSON value with members removed, renamed and added.
func mutate(r *rand.Rand, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any)
		for name, member := range v {
			switch r.IntN(8) {
			case 0:
			case 1:
				out[[]string{"code", "type", "message", "status", "reason", "error", "detail", "x"}[r.IntN(8)]] = mutate(r, member)
			default:
				out[name] = mutate(r, member)
			}
		}
		if r.IntN(4) == 0 {
			out[[]string{"code", "type", "error_type", "param", "extra"}[r.IntN(5)]] = []any{"invalid_request_error", "rate_limit_exceeded", 429, nil, "x"}[r.IntN(5)]
		}
		return out
	case []any:
		out := []any{}
		for _, element := range v {
			out = append(out, mutate(r, element))
		}
		return out
	}
	return v
}

func newRandomRefusal(r *rand.Rand) *randomRefusal {
	tc := scopeCases[r.IntN(len(scopeCases))]
	refused := &randomRefusal{status: tc.status, header: make(http.Header), body: tc.body, inStream: r.IntN(4) == 0}
	for name, value := range tc.header {
		refused.header.Set(name, value)
	}
	if r.IntN(2) == 0 {
		refused.status = 200 + r.IntN(400)
	}
	var v any
	if json.Unmarshal([]byte(tc.body), &v) == nil && r.IntN(4) > 0 {
		body, _ := json.Marshal(mutate(r, v))
		refused.body = string(body)
	}
	for range r.IntN(3) {
		name := []string{"Retry-After", "X-Ratelimit-Reset", "X-Ratelimit-Remaining-Requests", "Content-Type", "X-Ratelimit-Limit"}[r.IntN(5)]
		refused.header.Set(name, []string{"0", "7", "999999", "soon", "text/html", "application/json", "-1"}[r.IntN(7)])
	}
	if refused.inStream {
		refused.status = 200
		refused.header.Set("Content-Type", "text/event-stream")
		refused.body = "data: " + refused.body + "\n\n"
	}
	return refused
}

func (x *randomRefusal) write(w http.ResponseWriter) {
	for name, values := range x.header {
		w.Header()[name] = values
	}
	w.WriteHeader(x.status)
	if x.status >= 200 && x.status != 204 && x.status != 304 {
		io.WriteString(w, x.body)
	}
}

// Whatever the responses to one client's requests look like, one request tries
// three keys of a channel and puts two in cooldown at most, those aside that no
// request can be the reason for, and another client is answered all the same.
func TestPoolIsProtected(t *testing.T) {
	const keys = 12
	var current atomic.Pointer[randomRefusal]
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); strings.Contains(string(body), "BAD") {
			current.Load().write(w)
			return
		}
		caddytest.JSON(200, completion)(w, r)
	})
	g, clock, _ := startAt(t, "client eve eve-key\nchannel a "+up.URL+" {\napi_key"+manyKeys(keys)+"\nmodels m\n}")
	rounds := 300
	if n, err := strconv.Atoi(os.Getenv("PROTECTION_ROUNDS")); err == nil {
		rounds = n
	}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	for round := range rounds {
		refused := newRandomRefusal(r)
		current.Store(refused)
		since := len(up.Requests())
		eve := g.do(t, http.MethodPost, "/v1/chat/completions", evesRequest, "Authorization", "Bearer eve-key")
		tried := make(map[string]bool)
		for _, req := range up.Requests()[since:] {
			tried[bearer(req)] = true
		}
		certain := refusal.Classify(refusal.Input{
			Status: refused.status, Header: refused.header, Body: []byte(strings.TrimPrefix(refused.body, "data: ")), InStream: refused.inStream,
			Dialect: refusal.DialectChat, Model: "m", Now: clock.Now(),
		}).NamedByField
		cooled := 0
		for name := range g.cooldowns(t) {
			if strings.Contains(name, "…") {
				cooled++
			}
		}
		problem := ""
		switch {
		case !certain && len(tried) > 3:
			problem = fmt.Sprintf("%d keys tried", len(tried))
		case !certain && cooled > 2:
			problem = fmt.Sprintf("%d keys in cooldown", cooled)
		case eve.StatusCode == 401:
			problem = "the client is told that its key is wrong"
		case certain && len(tried) > defaultRetries+1:
			problem = fmt.Sprintf("%d keys tried", len(tried))
		}
		if clean := g.chat(t, "m"); clean.StatusCode != 200 {
			problem += " another client got status " + clean.Status
		}
		if problem != "" {
			t.Fatalf("seed %d, round %d: %s, after %d %v %s", seed, round, problem, refused.status, refused.header, refused.body)
		}
		g.Admin(http.MethodDelete, "/llm-gateway/cooldowns")
	}
}

// A lone key that is refused every second time, without a time to wait for, is
// never worse off than without the gateway.
func TestLoneKey(t *testing.T) {
	var count atomic.Int64
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if count.Add(1)%2 == 0 {
			caddytest.JSON(429, `{"error":{"message":"Rate limit reached","code":"rate_limit_exceeded"}}`)(w, r)
			return
		}
		caddytest.JSON(200, completion)(w, r)
	})
	g, _, _ := startAt(t, "channel a "+up.URL+" {\napi_key k\nmodels m\n}")
	answered := 0
	for range 20 {
		if g.chat(t, "m").StatusCode == 200 {
			answered++
		}
	}
	if answered != 10 || count.Load() != 20 {
		t.Errorf("%d of 20 requests answered, %d calls, want 10 and 20", answered, count.Load())
	}
}

// What a provider states is believed up to max_cooldown.
func TestMaxCooldown(t *testing.T) {
	for options, want := range map[string]string{"": "1h0m0s", "max_cooldown 10m": "10m0s"} {
		up := caddytest.NewUpstream(t, rateLimited("999999"))
		g, clock, _ := startAt(t, options+"\nchannel a "+up.URL+" {\napi_key k\nmodels m\n}")
		g.chat(t, "m").wantStatus(t, 429)
		for _, states := range g.cooldowns(t) {
			if got := states[0].Until.Sub(clock.Now()).String(); got != want {
				t.Errorf("%q: a cooldown of %s, want %s", options, got, want)
			}
		}
	}
}

// A request waits for the end of a cooldown that comes soon enough, and hears
// otherwise why nobody can answer.
func TestWait(t *testing.T) {
	up := caddytest.NewUpstream(t, byKey(map[string]http.HandlerFunc{
		"k1": rateLimited("17"), "k2": rateLimited("40"), "k3": caddytest.JSON(401, deadKey),
	}))
	options := "channel a " + up.URL + " {\napi_key k1 k2 k3\nmodels m\n}"
	g, clock, config := startAt(t, options)
	g.chat(t, "m")
	a := g.chat(t, "m")
	a.wantError(t, 429, "rate_limit_exceeded")
	if want := "All candidates for m are unavailable: 2 rate limited (first free in 17 s), 1 dead key."; !strings.Contains(a.text, want) || a.Header.Get("Retry-After") != "17" {
		t.Errorf("Retry-After %s, %s, want %s", a.Header.Get("Retry-After"), a.text, want)
	}

	g.Reload(config("wait 20s\n" + options))
	g.client.CloseIdleConnections()
	up.Handle(caddytest.JSON(200, completion))
	since := len(up.Requests())
	answered := make(chan answer)
	go func() { answered <- g.chat(t, "m") }()
	if err := clock.BlockUntilContext(t.Context(), 2); err != nil { // the wait, and what always waits
		t.Fatal(err)
	}
	if got := asked(up, &since); got != "" {
		t.Errorf("asked with %s before the cooldown was over", got)
	}
	waitFor(t, clock, 17*time.Second, answered).wantStatus(t, 200)
	if got := asked(up, &since); got == "" {
		t.Error("no key was asked after it")
	}
}

// A model that is overloaded is asked again after a while if nobody else is left.
func TestOverloadedModelIsAskedAgain(t *testing.T) {
	var count atomic.Int64
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if count.Add(1) == 1 {
			caddytest.JSON(529, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`)(w, r)
			return
		}
		caddytest.JSON(200, completion)(w, r)
	})
	g := start(t, "channel a "+up.URL+" {\napi_key k1 k2\nmodels m\n}")
	g.chat(t, "m").wantStatus(t, 200)
	if n := count.Load(); n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
}

// A request that crashes the backend, and that an SDK repeats, puts no channel in
// cooldown.
func TestRepeatedCrash(t *testing.T) {
	up := caddytest.NewUpstream(t, refuseBad(500, "application/json", `{"error":{"message":"internal error"}}`))
	spare := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g, _, _ := startAt(t, "lb_policy first\nchannel a "+up.URL+" {\napi_key k1 k2\nmodels m\n}\nchannel b "+spare.URL+" {\napi_key k\nmodels m\n}")
	for range 5 {
		a := g.do(t, http.MethodPost, "/v1/chat/completions", evesRequest)
		a.wantStatus(t, 200)
	}
	if found := g.cooldowns(t); len(found) > 0 {
		t.Errorf("in cooldown are %v", found)
	}
	since := 0
	asked(up, &since)
	g.chat(t, "m").wantStatus(t, 200)
	if got := asked(up, &since); got == "" {
		t.Error("the channel is not asked first any more")
	}
}

// Rules of the user come before the built-in ones, a channel's before the
// gateway's.
func TestRefusalRules(t *testing.T) {
	spare := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	refusing := caddytest.JSON(403, `{"error":{"message":"Daily limit of this plan"}}`)
	for rule, want := range map[string]string{
		`refusal 403 "daily limit" key_model 6h`: "map[0001 m1:6h0m0s 0002 m1:6h0m0s]",
		`refusal 4xx model 3m`:                   "map[m1:3m0s]",
		`refusal * next_channel`:                 "map[]",
		`refusal 403 channel 2m`:                 "map[channel:2m0s]",
		`refusal 403 "daily limit" key 1d`:       "map[0001:24h0m0s 0002:24h0m0s]",
	} {
		up := caddytest.NewUpstream(t, refusing)
		g, clock, _ := startAt(t, "key_policy round_robin\nrefusal 403 capacity 9m\nchannel a "+up.URL+" {\napi_key a-long-key-0001 a-long-key-0002 a-long-key-0003\nmodels m1\n"+rule+"\n}\nchannel b "+spare.URL+" {\napi_key k\nmodels m1\ntier 2\n}")
		g.chat(t, "m1").wantStatus(t, 200)
		got := make(map[string]string)
		for name, until := range namesInCooldown(t, g) {
			got[name] = until.Sub(clock.Now()).String()
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s: in cooldown are %v, want %s", rule, got, want)
		}
	}
	up := caddytest.NewUpstream(t, refusing)
	g, _, _ := startAt(t, "refusal 403 client\nchannel a "+up.URL+" {\napi_key k1 k2\nmodels m1\n}\nchannel b "+spare.URL+" {\napi_key k\nmodels m1\ntier 2\n}")
	g.chat(t, "m1").wantStatus(t, 403)
}

// Token counts are not charged, and their refusals say nothing about chats.
func TestTokenCountsAreAuxiliary(t *testing.T) {
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/count_tokens") {
			rateLimited("40")(w, r)
			return
		}
		caddytest.JSON(200, completion)(w, r)
	})
	g, clock, _ := startAt(t, `
		client bob bob-key {
			limit 2/day
		}
		channel a `+up.URL+` {
			api_key k
			quota   2/day
			models  m
		}`)
	for range 3 {
		g.do(t, http.MethodPost, "/v1/messages/count_tokens", chatBody("m"), "Authorization", "Bearer bob-key").wantStatus(t, 429)
	}
	for range 2 {
		g.chat(t, "m", "Authorization", "Bearer bob-key").wantStatus(t, 200)
	}
	g.chat(t, "m", "Authorization", "Bearer bob-key").wantStatus(t, 429)

	var statuses []int
	for range 70 {
		statuses = append(statuses, g.do(t, http.MethodGet, "/v1/models", "").StatusCode)
	}
	if i := slices.Index(statuses, 429); i != 60 {
		t.Errorf("the first list of models that is refused is number %d, want 60", i)
	}
	clock.Advance(1e9)
	g.do(t, http.MethodGet, "/v1/models", "").wantStatus(t, 200)
}

// OpenAI's SDK repeats what fails. A request that crashes the backend each time
// puts neither the channel nor its keys in cooldown.
func TestSDKRepeatsCrash(t *testing.T) {
	up := caddytest.NewUpstream(t, refuseBad(500, "application/json", `{"error":{"message":"internal error"}}`))
	g, _, _ := startAt(t, "channel a "+up.URL+" {\napi_key k1 k2\nmodels m\n}")
	client := openai.NewClient(option.WithBaseURL(g.URL+"/v1"), option.WithAPIKey("alice-key"), option.WithHTTPClient(g.client), option.WithMaxRetries(2))
	_, err := client.Chat.Completions.New(t.Context(), openai.ChatCompletionNewParams{
		Model: "m", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("BAD")},
	})
	if err == nil {
		t.Error("the request was answered")
	}
	if n := len(up.Requests()); n < 2 {
		t.Errorf("%d calls, want those with two keys at least", n)
	}
	if found := g.cooldowns(t); len(found) > 0 {
		t.Errorf("in cooldown are %v", found)
	}
	g.chat(t, "m").wantStatus(t, 200)
}
