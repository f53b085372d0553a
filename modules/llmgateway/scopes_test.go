package llmgateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// scopeCase is a refusal of a provider and what it does to the pool: channel a has
// three keys of three accounts, channel b of the next tier always answers.
type scopeCase struct {
	name string

	// Who refuses what, and how.
	keys   string // whose requests are refused, "" for all
	about  string // what the body contains that is refused
	status int
	header map[string]string
	body   string
	proxy  string // a provider's host, which is reached by way of the upstream

	// What comes of the first request, for model m1 unless it says otherwise.
	request string // the rest of the body
	model   string
	calls   int           // to a
	from    string        // who answers
	cools   string        // what is in cooldown: "0001 m1", "0001", "m1" or "channel"
	lasts   time.Duration // 0: it does not matter

	// What comes of the next ones.
	then  string // model, and who answers
	then2 string
}

const gemini429 = `{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"You exceeded your current quota%s","details":[` +
	`{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPer%sPerProjectPerModel-FreeTier"%s}]},` +
	`{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"%s"}]}}`

// toMidnight are the hours from when startAt begins to midnight in California.
const toMidnight = 20 * time.Hour

var scopeCases = []scopeCase{
	{
		name: "dead key, Gemini", keys: "0001", status: 400,
		body:  `{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}`,
		calls: 2, from: "a", cools: "0001", lasts: 10 * time.Minute, then: "m1 a", then2: "m2 a",
	},
	{
		name: "dead key, in an array", keys: "0001", status: 400,
		body:  `[{"error":{"code":400,"message":"API key expired. Please renew the API key.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}]`,
		calls: 2, from: "a", cools: "0001",
	},
	{
		name: "dead key, flat", keys: "0001", status: 400,
		body:  `{"code":"Client specified an invalid argument","error":"Incorrect API key provided: xa***ab."}`,
		calls: 2, from: "a", cools: "0001",
	},
	{
		name: "day quota, Gemini", keys: "0001", about: `"m1"`, status: 429, body: fmt.Sprintf(gemini429, "", "Day", `,"quotaValue":"20"`, "34s"),
		calls: 2, from: "a", cools: "0001 m1", lasts: toMidnight, then: "m2 a",
	},
	{
		name: "day quota with Retry-After", keys: "0001", about: `"m1"`, status: 429, header: map[string]string{"Retry-After": "34"}, body: fmt.Sprintf(gemini429, "", "Day", `,"quotaValue":"20"`, "34s"),
		calls: 2, from: "a", cools: "0001 m1", lasts: toMidnight,
	},
	{
		name: "minute, Gemini", keys: "0001", about: `"m1"`, status: 429, body: fmt.Sprintf(gemini429, "", "Minute", "", "17s"),
		calls: 2, from: "a", cools: "0001 m1", lasts: 17 * time.Second, then: "m2 a",
	},
	{
		name: "no free tier", about: `"m1"`, status: 429, body: fmt.Sprintf(gemini429, "… limit: 0, model: m1", "Day", `,"quotaValue":"0"`, "34s"),
		calls: 2, from: "b", cools: "m1", lasts: 10 * time.Minute, then: "m1 b", then2: "m2 a",
	},
	{
		name: "no free tier, without the value", about: `"m1"`, status: 429, body: fmt.Sprintf(gemini429, "… limit: 0, model: m1", "Day", "", "34s"),
		calls: 2, from: "b", cools: "m1", lasts: 10 * time.Minute, then: "m1 b", then2: "m2 a",
	},
	{
		name: "region", status: 400, body: `[{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}]`,
		calls: 1, from: "b", cools: "channel", lasts: time.Hour, then: "m1 b", then2: "m2 b",
	},
	{
		name: "leaked key", keys: "0001", status: 403, body: `{"error":{"code":403,"message":"Your API key was reported as leaked. Please use another API key.","status":"PERMISSION_DENIED"}}`,
		calls: 2, from: "a", cools: "0001", lasts: 10 * time.Minute,
	},
	{
		name: "above a minute's tokens", about: "xxxxxxxx", status: 413, header: map[string]string{"x-ratelimit-remaining-tokens": "6000"},
		body:    `{"error":{"message":"Request too large for model m1 in organization org_1 on tokens per minute (TPM): Limit 6000, Requested 9012, please reduce your message size and try again.","type":"tokens","code":"rate_limit_exceeded"}}`,
		request: `"prompt":"xxxxxxxxxx"`, calls: 1, from: "b", then: "m1 a",
	},
	{
		name: "tokens of a day", keys: "0001", about: `"m1"`, status: 429, header: map[string]string{"Retry-After": "578", "x-ratelimit-remaining-requests": "812"},
		body:  `{"error":{"message":"Rate limit reached for model m1 in organization org_1 on tokens per day (TPD): Limit 100000, Used 97050, Requested 3619. Please try again in 9m38.016s.","type":"tokens","code":"rate_limit_exceeded"}}`,
		calls: 2, from: "a", cools: "0001 m1", lasts: 578 * time.Second, then: "m2 a",
	},
	{
		name: "restricted organization", keys: "0001", status: 400,
		body:  `{"error":{"message":"Organization has been restricted. Please reach out to support.","type":"invalid_request_error","code":"organization_restricted"}}`,
		calls: 2, from: "a", cools: "0001",
	},
	{
		name: "flagged", about: "FLAG", status: 403,
		body:    `{"error":{"code":403,"message":"m1 requires moderation. Your input was flagged","metadata":{"reasons":["violence"],"flagged_input":"FLAG","provider_name":"x","model_slug":"m1"}}}`,
		request: `"prompt":"FLAG"`, calls: 1, from: "403", then: "m1 a",
	},
	{
		name: "max_tokens above the credit", about: "65536", status: 402,
		body:    `{"error":{"code":402,"message":"This request requires more credits, or fewer max_tokens. You requested up to 65536 tokens, but can only afford 3919."}}`,
		request: `"max_tokens":65536`, calls: 1, from: "b", then: "m1 a",
	},
	{
		name: "free tier of the account", keys: "0001", about: ":free", status: 429, model: "x:free",
		body:  `{"error":{"code":429,"message":"Rate limit exceeded: free-models-per-day","metadata":{"limit_source":"openrouter_free_tier_daily","headers":{"X-RateLimit-Limit":"50","X-RateLimit-Remaining":"0","X-RateLimit-Reset":"1772409600000"}}}}`,
		calls: 2, from: "a", cools: "0001 *:free", lasts: 12 * time.Hour, then: "m1 a",
	},
	{
		name: "shared pool", about: `"m1"`, status: 429,
		body:  `{"error":{"code":429,"message":"Provider returned error","metadata":{"raw":"m1 is temporarily rate-limited upstream. Please retry shortly.","provider_name":"x","limit_source":"upstream_provider_shared_pool"}}}`,
		calls: 1, from: "b", cools: "m1", lasts: 15 * time.Second, then: "m1 b", then2: "m2 a",
	},
	{
		name: "free variant ended", about: `"m1"`, status: 404,
		body:  `{"error":{"code":404,"message":"No endpoints","error_type":"not_found","availability":{"code":"free_variant_ended","retryable":false,"requested_models":["m1"],"fallback_models":["m1-paid"],"docs_url":"https://openrouter.ai/docs"}}}`,
		calls: 1, from: "b", cools: "m1", lasts: 10 * time.Minute, then: "m1 b", then2: "m2 a",
	},
	{
		name: "daily allocation", keys: "0001", status: 429,
		body:  `{"success":false,"result":null,"messages":[],"errors":[{"code":3036,"message":"You have used up your daily free allocation of 10,000 neurons."}]}`,
		calls: 2, from: "a", cools: "0001", lasts: 12 * time.Hour, then: "m2 a",
	},
	{
		name: "challenge page", status: 403, header: map[string]string{"Content-Type": "text/html", "Cf-Mitigated": "challenge"}, body: `<!DOCTYPE html><title>Just a moment...</title>`,
		calls: 1, from: "b", cools: "channel", lasts: 5 * time.Minute, then: "m1 b",
	},
	{
		name: "degraded", about: `"m1"`, status: 400, header: map[string]string{"Content-Type": "application/problem+json"},
		body:  `{"status":400,"title":"Bad Request","detail":"Function id '0000-1111': DEGRADED function cannot be invoked"}`,
		calls: 1, from: "b", cools: "m1", lasts: 2 * time.Minute, then: "m1 b", then2: "m2 a",
	},
	{
		name: "unknown field", about: "top_k", status: 422,
		body:    `{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","top_k"],"msg":"Extra inputs are not permitted"}]},"type":"invalid_request_error","param":null,"code":null}`,
		request: `"top_k":1`, calls: 1, from: "b", then: "m1 a",
	},
	{
		name: "prompt of free accounts", about: "xxxxxxxx", status: 403,
		body:    `{"error":{"message":"The number of prompt tokens for free accounts is limited to 4096. (ApiKey: sk-AbC****wxyz)","type":"chatanywhere_error","param":null,"code":"403 FORBIDDEN"}}`,
		request: `"prompt":"xxxxxxxxxx"`, calls: 1, from: "b", then: "m1 a",
	},
	{
		name: "free grant of a model", keys: "0001", about: `"m1"`, status: 403,
		body:  `{"error":{"code":"AllocationQuota.FreeTierOnly","message":"The free tier of the model has been exhausted.","type":"AllocationQuota.FreeTierOnly"}}`,
		calls: 2, from: "a", cools: "0001 m1", lasts: time.Hour, then: "m2 a",
	},
	{
		name: "insufficient_quota, anybody", keys: "0001", about: `"m1"`, status: 429,
		body:  `{"error":{"code":"insufficient_quota","message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota"}}`,
		calls: 2, from: "a", cools: "0001", lasts: time.Hour,
	},
	{
		name: "insufficient_quota, DashScope", keys: "0001", about: `"m1"`, status: 429, proxy: "dashscope.aliyuncs.com",
		body:  `{"error":{"code":"insufficient_quota","message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota"}}`,
		calls: 2, from: "a", cools: "0001 m1", lasts: 5 * time.Second, then: "m2 a",
	},
	{
		name: "queue", about: `"m1"`, status: 429,
		body:  `{"message":"We're experiencing high traffic right now! Please try again soon.","type":"too_many_requests_error","param":"queue","code":"queue_exceeded"}`,
		calls: 1, from: "b", cools: "m1", lasts: 15 * time.Second, then: "m2 a",
	},
	{
		name: "quota, not queue", keys: "0001", about: `"m1"`, status: 429,
		body:  `{"message":"Requests per minute limit exceeded - too many requests sent.","type":"too_many_requests_error","param":"quota","code":"request_quota_exceeded"}`,
		calls: 2, from: "a", cools: "0001 m1", lasts: 5 * time.Second, then: "m2 a",
	},
	{
		name: "overloaded", status: 503, body: `{"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}`,
		calls: 1, from: "b", cools: "m1", lasts: 15 * time.Second, then: "m2 b",
	},
	{
		name: "origin silent, Cloudflare", status: 524, body: "error code: 524", header: map[string]string{"Content-Type": "text/plain"},
		calls: 1, from: "b", then: "m1 b",
	},
	{
		name: "context length", about: "xxxxxxxx", status: 400,
		body:    `{"error":{"message":"This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`,
		request: `"prompt":"xxxxxxxxxx"`, calls: 1, from: "b", then: "m1 a",
	},
	{
		name: "no endpoints", about: `"m1"`, status: 404, body: `{"error":{"message":"No endpoints found for m1:free.","code":404}}`,
		calls: 1, from: "b", cools: "m1", then: "m1 b", then2: "m2 a",
	},
	{
		name: "no access to the model", keys: "0001", about: `"m1"`, status: 404,
		body:  `{"error":{"message":"The model m1 does not exist or you do not have access to it.","type":"invalid_request_error","code":"model_not_found"}}`,
		calls: 2, from: "a", cools: "0001 m1", then: "m1 a", then2: "m2 a",
	},
	{
		name: "nobody has the model", about: `"m1"`, status: 404,
		body:  `{"error":{"message":"The model m1 does not exist or you do not have access to it.","type":"invalid_request_error","code":"model_not_found"}}`,
		calls: 2, from: "b", cools: "m1", then: "m1 b", then2: "m2 a",
	},
	{
		name: "empty", status: 200, body: `{"id":"","choices":[],"usage":{"completion_tokens":0}}`,
		calls: 1, from: "b", then: "m1 b",
	},
}

func (tc *scopeCase) refuses(r *http.Request, body string) bool {
	return strings.HasSuffix(r.Header.Get("Authorization"), tc.keys) && strings.Contains(body, tc.about)
}

// handler refuses as the provider does, and else answers.
func (tc *scopeCase) handler(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if !tc.refuses(r, string(body)) {
		caddytest.JSON(200, completion)(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	for name, value := range tc.header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(tc.status)
	io.WriteString(w, tc.body)
}

// ask asks for a model and returns who has answered: a channel, or a status of
// refusal.
func (tc *scopeCase) ask(t *testing.T, g *testGateway, model, rest string) string {
	t.Helper()
	if rest != "" {
		rest = "," + rest
	}
	a := g.do(t, http.MethodPost, "/v1/chat/completions", fmt.Sprintf(`{"model":%q%s}`, model, rest))
	if a.StatusCode != 200 {
		return fmt.Sprint(a.StatusCode)
	}
	return a.Header.Get("X-Gateway-Channel")
}

// namesInCooldown returns what is in cooldown, as scopeCase.cools names it.
func namesInCooldown(t *testing.T, g *testGateway) map[string]time.Time {
	found := make(map[string]time.Time)
	for name, states := range g.cooldowns(t) {
		for _, s := range states {
			_, key, isKey := strings.Cut(name, "…")
			switch {
			case isKey:
				found[strings.TrimSpace(key+" "+s.Model)] = s.Until
			case s.Model == "":
				found["channel"] = s.Until
			default:
				found[s.Model] = s.Until
			}
		}
	}
	return found
}

// What providers say decides who is asked next, and what is not used for how
// long.
func TestScopes(t *testing.T) {
	for _, tc := range scopeCases {
		t.Run(tc.name, func(t *testing.T) {
			a := caddytest.NewUpstream(t, tc.handler)
			b := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
			url, transport := a.URL, ""
			if tc.proxy != "" {
				url, transport = "http://"+tc.proxy, "transport {\nnetwork_proxy url "+a.URL+"\n}"
			}
			g, clock, _ := startAt(t, `
				channel a `+url+` {
					api_key a-long-key-0001 a-long-key-0002 a-long-key-0003
					models  m1 m2 x:free y:free
					`+transport+`
				}
				channel b `+b.URL+` {
					api_key b-long-key-0001
					models  m1 m2 x:free y:free
					tier    2
				}`)
			model := tc.model
			if model == "" {
				model = "m1"
			}
			if from := tc.ask(t, g, model, tc.request); from != tc.from {
				t.Errorf("%s: answered by %s, want %s", model, from, tc.from)
			}
			if calls := len(a.Requests()); calls != tc.calls {
				t.Errorf("a was asked %d times, want %d", calls, tc.calls)
			}
			found := namesInCooldown(t, g)
			until, ok := found[tc.cools]
			if tc.cools == "" && len(found) > 0 || tc.cools != "" && (!ok || len(found) != 1) {
				t.Errorf("in cooldown are %v, want %q", found, tc.cools)
			}
			if lasts := until.Sub(clock.Now()); ok && tc.lasts > 0 && lasts.Truncate(time.Second) != tc.lasts.Truncate(time.Second) {
				t.Errorf("for %v, want %v", lasts, tc.lasts)
			}
			for _, then := range []string{tc.then, tc.then2} {
				if then == "" {
					continue
				}
				model, want, _ := strings.Cut(then, " ")
				for range 3 {
					if from := tc.ask(t, g, model, ""); from != want {
						t.Errorf("then %s: answered by %s, want %s", model, from, want)
					}
				}
			}
		})
	}
}
