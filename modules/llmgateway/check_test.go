package llmgateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/keycheck"
)

// providerMock stands in for several providers: it is the proxy through which
// the channels go, so that these keep the providers' hosts. What a key is worth
// stands in the key. Lists of models answer 200 to any key.
func providerMock(t *testing.T) *caddytest.Upstream {
	return caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if key == "" {
			key = r.Header.Get("X-Goog-Api-Key")
		}
		status, body := mockOf(r, key)
		w.Header().Set("Content-Type", "application/json")
		if strings.HasPrefix(body, "<") {
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("Cf-Mitigated", "challenge")
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
}

const mockPage = "<html><title>Just a moment...</title></html>"

// mockOf is what a provider answers. The refusals are the providers' own, as
// docs/refusals.md has them.
func mockOf(r *http.Request, key string) (status int, body string) {
	is := func(state string) bool { return strings.Contains(key, state) }
	if strings.HasSuffix(r.URL.Path, "/models") {
		return 200, `{"object":"list","data":[{"id":"text-embedding-1"},{"id":"m1"},{"id":"m2"}]}`
	}
	if is("blocked") {
		return 403, mockPage
	}
	switch host := r.URL.Hostname(); host {
	case "generativelanguage.googleapis.com":
		switch {
		case is("dead"):
			return 400, `{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}`
		case is("empty"):
			return 429, `{"error":{"code":429,"message":"Your prepayment credits are depleted.","status":"RESOURCE_EXHAUSTED"}}`
		case is("limited"):
			return 429, `{"error":{"code":429,"message":"You exceeded your current quota.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier","quotaValue":"20"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34s"}]}}`
		}
		return 200, `{"candidates":[{"content":{"role":"model","parts":[{"text":"H"}]},"finishReason":"MAX_TOKENS"}],"usageMetadata":{"promptTokenCount":2,"candidatesTokenCount":1,"totalTokenCount":3}}`
	case "api.groq.com":
		switch {
		case is("dead"):
			return 401, `{"error":{"message":"Invalid API Key","type":"invalid_request_error","code":"invalid_api_key"}}`
		case is("empty"):
			return 400, `{"error":{"message":"Organization has been restricted. Please reach out to support.","type":"invalid_request_error","code":"organization_restricted"}}`
		case is("limited"):
			return 429, `{"error":{"message":"Rate limit reached for model m1 on tokens per day (TPD): Limit 100000, Used 97050, Requested 3619. Please try again in 9m38.016s.","type":"tokens","code":"rate_limit_exceeded"}}`
		}
	case "openrouter.ai":
		switch {
		case r.URL.Path == "/api/v1/key" && is("dead"):
			return 401, `{"error":{"message":"User not found.","code":401}}`
		case r.URL.Path == "/api/v1/key":
			return 200, `{"data":{"label":"k","limit":null,"limit_remaining":null,"usage":0,"is_free_tier":true}}`
		case is("empty"):
			return 402, `{"error":{"code":402,"message":"Insufficient credits. Add more using https://openrouter.ai/credits","metadata":{"limit_source":"openrouter_credits"}}}`
		case is("limited"):
			return 429, `{"error":{"code":429,"message":"Rate limit exceeded: free-models-per-day","metadata":{"limit_source":"openrouter_free_tier_daily"}}}`
		}
	case "api.cloudflare.com":
		verify := strings.HasSuffix(r.URL.Path, "/tokens/verify")
		switch {
		case verify && is("dead"):
			return 401, `{"success":false,"errors":[{"code":1000,"message":"Invalid API Token"}],"result":null}`
		case verify && strings.Contains(r.URL.Path, "/user/") && is("account"):
			return 401, `{"success":false,"errors":[{"code":1000,"message":"Invalid API Token"}],"result":null}`
		case verify:
			return 200, `{"success":true,"result":{"id":"1","status":"active"},"errors":[]}`
		case is("limited"):
			return 429, `{"success":false,"errors":[{"code":3036,"message":"You have used up your daily free allocation of 10,000 neurons"}]}`
		}
	case "api-inference.modelscope.cn":
		switch {
		case is("dead"):
			return 401, `{"errors":{"message":"Authentication failed, please make sure that a valid ModelScope token is supplied."},"request_id":"1"}`
		case is("limited"):
			return 429, `{"errors":{"message":"We have to rate limit you."},"request_id":"1"}`
		}
	case "gen.pollinations.ai":
		switch {
		case r.URL.Path == "/account/key" && is("dead"):
			return 401, `{"status":401,"success":false,"error":{"code":"UNAUTHORIZED","message":"Authentication required"}}`
		case r.URL.Path == "/account/key":
			return 200, `{"valid":true,"type":"secret"}`
		case is("empty"):
			return 402, `{"status":402,"success":false,"error":{"code":"PAYMENT_REQUIRED","message":"Insufficient pollen balance"}}`
		}
	}
	return 200, completion
}

// sixProviders are channels at six providers, reached through a proxy. Each key is
// named after what a check should find out.
func sixProviders(proxy string) string {
	var config strings.Builder
	for _, p := range []struct{ name, url, models, keys string }{
		{"gemini", "http://generativelanguage.googleapis.com/v1beta", "m1", "k-gemini-good-0001 k-gemini-dead-0002 k-gemini-empty-0003 k-gemini-limited-0004 k-gemini-blocked-0005"},
		{"groq", "http://api.groq.com/openai/v1", "m1", "k-groq-good-0011 k-groq-dead-0012 k-groq-limited-0014 k-groq-blocked-0015"},
		{"openrouter", "http://openrouter.ai/api/v1", "m1", "k-or-good-0021 k-or-dead-0022 k-or-empty-0023 k-or-limited-0024 k-or-blocked-0025"},
		{"cloudflare", "http://api.cloudflare.com/client/v4/accounts/{account}/ai/v1", "@cf/m1", "acc1/k-cf-good-0031 acc1/k-cf-dead-0032 acc2/k-cf-account-good-0036 acc1/k-cf-limited-0034"},
		{"modelscope", "http://api-inference.modelscope.cn/v1", "m*", "k-ms-good-0041 k-ms-dead-0042 k-ms-limited-0044"},
		{"pollinations", "http://gen.pollinations.ai/v1", "m1", "k-po-good-0051 k-po-dead-0052 k-po-empty-0053"},
	} {
		fmt.Fprintf(&config, "channel %s %s {\nproxy %s\napi_key %s\nmodels %s\n", p.name, p.url, proxy, p.keys, p.models)
		if p.name == "gemini" {
			config.WriteString("auth x-goog-api-key\n")
		}
		config.WriteString("}\n")
	}
	return config.String()
}

// wantVerdicts are what a check of sixProviders should find out.
var wantVerdicts = map[string]keycheck.Verdict{
	"gemini …0001": "good", "gemini …0002": "dead", "gemini …0003": "no credit", "gemini …0004": "limited", "gemini …0005": "blocked",
	"groq …0011": "good", "groq …0012": "dead", "groq …0014": "limited", "groq …0015": "blocked",
	"openrouter …0021": "good", "openrouter …0022": "dead", "openrouter …0023": "no credit", "openrouter …0024": "limited", "openrouter …0025": "blocked",
	"cloudflare …0031": "good", "cloudflare …0032": "dead", "cloudflare …0034": "limited", "cloudflare …0036": "good",
	"modelscope …0041": "good", "modelscope …0042": "dead", "modelscope …0044": "limited",
	"pollinations …0051": "good", "pollinations …0052": "dead", "pollinations …0053": "no credit",
}

// checkAll checks all keys through the admin API.
func checkAll(t *testing.T, g *testGateway, query string) (results map[string]keycheck.Result, text string) {
	t.Helper()
	status, body := g.Admin(http.MethodPost, "/llm-gateway/check"+query)
	if status != 200 {
		t.Fatalf("status %d: %s", status, body)
	}
	results = make(map[string]keycheck.Result)
	lines := strings.Split(strings.TrimSpace(string(body)), "\n")
	var begin keycheck.Start
	if err := json.Unmarshal([]byte(lines[0]), &begin); err != nil || begin.Keys != len(lines)-1 {
		t.Errorf("the first line is %s, and there are %d others", lines[0], len(lines)-1)
	}
	for _, line := range lines[1:] {
		var result keycheck.Result
		if err := json.Unmarshal([]byte(line), &result); err != nil {
			t.Fatal(err)
		}
		results[result.Channel+" "+result.Key] = result
	}
	return results, string(body)
}

// A check names the dead, the empty, the limited, the blocked and the good keys of
// six providers, also where a list of models answers 200 to a bad key.
func TestCheck(t *testing.T) {
	up := providerMock(t)
	g, clock, _ := startAt(t, sixProviders(up.URL))
	results, text := checkAll(t, g, "")
	for name, want := range wantVerdicts {
		if got := results[name]; got.Verdict != want {
			t.Errorf("%s: got %+v, want %s", name, got, want)
		}
	}
	if len(results) != len(wantVerdicts) {
		t.Errorf("%d results, want %d", len(results), len(wantVerdicts))
	}
	if until := results["gemini …0004"].Until; !until.After(clock.Now()) {
		t.Errorf("limited until %v", until)
	}
	if strings.Contains(text, "k-") {
		t.Errorf("the answer shows a key: %s", text)
	}
	// What a field has named is in cooldown; the blocked and the good are not.
	for _, c := range []struct {
		channel, key string
		want         int
	}{
		{"gemini", "0002", 1}, {"gemini", "0004", 1}, {"gemini", "0001", 0}, {"gemini", "0005", 0}, {"groq", "0012", 1},
	} {
		for _, k := range channelOf(t, c.channel).keys() {
			if k.name() != "…"+c.key {
				continue
			}
			if n := len(k.cooldowns.List(clock.Now())); n != c.want {
				t.Errorf("%s %s has %d cooldowns, want %d", c.channel, c.key, n, c.want)
			}
		}
	}
}

// The calls of a check count against the keys' quotas, and one that is exhausted is
// not passed.
func TestCheckCountsQuotas(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "channel a "+up.URL+" {\napi_key sk-channel-a-0001\nmodels m\nquota 2/day\n}\nchannel b "+up.URL+" {\nauth none\nmodels m\n}")
	for i, want := range []keycheck.Verdict{"good", "good", "limited"} {
		results, _ := checkAll(t, g, "?channel=a")
		if got := results["a …0001"]; got.Verdict != want || len(results) != 1 {
			t.Errorf("check %d: got %+v, want %s", i+1, results, want)
		}
	}
	if n := len(up.Requests()); n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
	results, _ := checkAll(t, g, "?channel=b")
	if got := results["b (no key)"]; got.Verdict != "good" {
		t.Errorf("without a key: got %+v", results)
	}
	if status, body := g.Admin(http.MethodPost, "/llm-gateway/check?channel=c"); status != 404 || !strings.Contains(string(body), "there are: a, b") {
		t.Errorf("an unknown channel: status %d: %s", status, body)
	}
	if status, _ := g.Admin(http.MethodGet, "/llm-gateway/check"); status != 405 {
		t.Errorf("GET: status %d", status)
	}
}

// There is one check at a time, and it ends when its client leaves.
func TestOneCheckAtATime(t *testing.T) {
	up := caddytest.NewUpstream(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	g := start(t, "channel a "+up.URL+" {\napi_key sk-channel-a-0001\nmodels m\n}")
	first, leave := httptest.NewRequest(http.MethodPost, "/llm-gateway/check", nil), make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { leave <- new(Admin).serveCheck(httptest.NewRecorder(), first.WithContext(ctx)) }()
	up.Next(t)
	if status, body := g.Admin(http.MethodPost, "/llm-gateway/check"); status != 409 || !strings.Contains(string(body), "another check") {
		t.Errorf("status %d: %s", status, body)
	}
	cancel()
	if err := <-leave; err != nil {
		t.Error(err)
	}
	up.Handle(caddytest.JSON(200, completion))
	if results, _ := checkAll(t, g, ""); results["a …0001"].Verdict != "good" {
		t.Errorf("after it: %+v", results)
	}
}

// What is wrong is named, whatever it is.
func TestCheckVerdicts(t *testing.T) {
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		want    keycheck.Verdict
		reason  string
	}{
		"unknown model": {caddytest.JSON(404, `{"error":{"message":"The model m does not exist","code":"model_not_found"}}`), "unknown model", "unknown model"},
		"no output":     {caddytest.JSON(200, `{"choices":[]}`), "failing", "no output"},
		"web page":      {caddytest.JSON(200, `<html>hello</html>`), "failing", ""},
		"error in 200":  {caddytest.JSON(200, `{"error":{"message":"Incorrect API key provided","code":"invalid_api_key"}}`), "dead", "dead key"},
		"5xx":           {caddytest.JSON(500, `{"error":{"message":"oops"}}`), "failing", "server error"},
		"overloaded":    {caddytest.JSON(529, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`), "overloaded", "overloaded"},
		"cut off":       {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "unreachable", "network error"},
		"unclear":       {caddytest.JSON(403, `{"error":"Forbidden"}`), "unclear", "unclear"},
		"max_tokens": {func(w http.ResponseWriter, r *http.Request) {
			var body map[string]any
			_ = json.NewDecoder(r.Body).Decode(&body)
			if body["max_tokens"] != nil {
				caddytest.JSON(400, `{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.","type":"invalid_request_error","param":"max_tokens","code":"unsupported_parameter"}}`)(w, r)
				return
			}
			caddytest.JSON(200, completion)(w, r)
		}, "good", ""},
	} {
		t.Run(name, func(t *testing.T) {
			up := caddytest.NewUpstream(t, tc.handler)
			g := start(t, "channel a "+up.URL+" {\napi_key sk-channel-a-0001\nmodels m\n}")
			results, _ := checkAll(t, g, "")
			if got := results["a …0001"]; got.Verdict != tc.want || tc.reason != "" && got.Reason != tc.reason {
				t.Errorf("got %+v, want %s", got, tc.want)
			}
		})
	}
}

// Each dialect has a call of its own, where and as the channel is asked in it.
func TestCheckDialects(t *testing.T) {
	for name, tc := range map[string]struct{ url, options, want, key, answer string }{
		"chat":      {"", "models m", "/v1/chat/completions", "Authorization", completion},
		"base":      {"/api/v1", "models a as m", "/api/v1/chat/completions", "Authorization", completion},
		"messages":  {"", "models m\nauth x-api-key", "/v1/messages", "X-Api-Key", `{"type":"message","role":"assistant","content":[{"type":"text","text":"H"}],"stop_reason":"max_tokens"}`},
		"speaks":    {"/v1", "models m\nspeaks messages", "/v1/messages", "X-Api-Key", `{"type":"message","role":"assistant","content":[{"type":"text","text":"H"}],"stop_reason":"max_tokens"}`},
		"gemini":    {"/v1beta", "models m\nauth x-goog-api-key", "/v1beta/models/m:generateContent", "X-Goog-Api-Key", `{"candidates":[{"content":{"parts":[{"text":"H"}]},"finishReason":"MAX_TOKENS"}]}`},
		"responses": {"/v1", "models m\nspeaks responses messages", "/v1/responses", "Authorization", `{"object":"response","status":"incomplete","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"H"}]}]}`},
		"two":       {"/v1", "models m\nspeaks messages chat", "/v1/chat/completions", "Authorization", completion},
		"embedding": {"/v1", "models text-embedding-1", "/v1/embeddings", "Authorization", `{"object":"list","data":[{"embedding":[0.1]}]}`},
		"not first": {"/v1", "models whisper-1 m", "/v1/chat/completions", "Authorization", completion},
	} {
		t.Run(name, func(t *testing.T) {
			up := caddytest.NewUpstream(t, caddytest.JSON(200, tc.answer))
			g := start(t, "channel a "+up.URL+tc.url+" {\napi_key sk-channel-a-0001\n"+tc.options+"\n}")
			results, text := checkAll(t, g, "")
			if got := results["a …0001"]; got.Verdict != "good" {
				t.Errorf("got %s", text)
			}
			sent := up.Next(t)
			if sent.URI != tc.want || !strings.HasSuffix(sent.Header.Get(tc.key), "sk-channel-a-0001") {
				t.Errorf("sent to %s with %v, want %s and %s", sent.URI, sent.Header, tc.want, tc.key)
			}
		})
	}
}

// A bare 401 is a dead key where the same call works with another key of the
// channel, and else unclear.
func TestCheckBareRefusal(t *testing.T) {
	for keys, want := range map[string]keycheck.Verdict{
		"sk-channel-a-0001 sk-channel-a-0002": "dead",
		"sk-channel-a-0002":                   "unclear",
	} {
		up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.Header.Get("Authorization"), "2") {
				caddytest.JSON(401, `{"error":"no"}`)(w, r)
				return
			}
			caddytest.JSON(200, completion)(w, r)
		})
		g := start(t, "channel a "+up.URL+" {\napi_key "+keys+"\nmodels m\n}")
		if results, _ := checkAll(t, g, ""); results["a …0002"].Verdict != want {
			t.Errorf("%s: got %+v, want %s", keys, results, want)
		}
		g.Stop()
	}
}
