package llmgateway

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// The metrics count what happens, under names of the configuration only, and
// live through reloads.
func TestMetrics(t *testing.T) {
	up := caddytest.NewUpstream(t, byKey(map[string]http.HandlerFunc{
		"k-good": caddytest.JSON(200, `{"choices":[{"message":{"content":"hello"}}],"usage":{"prompt_tokens":12,"completion_tokens":34}}`),
		"k-sse":  caddytest.Events(chunk, `data: {"usage":{"prompt_tokens":1,"completion_tokens":3}}`+"\n\n"),
		"k-401":  caddytest.JSON(401, "{}"), "k-429": caddytest.JSON(429, "{}"), "k-500": caddytest.JSON(500, "{}"),
	}))
	channel := func(name, key, models string) string {
		return "channel metrics-" + name + " " + up.URL + "/" + name + " {\napi_key " + key + "\nmodels " + models + "\n}\n"
	}
	options := "client metrics-client alice-key\nretries 1\nretry_on 503\n" +
		channel("good", "k-good", "wild-* as sent") + channel("sse", "k-sse", "sse-*") + channel("401", "k-401", "m401") + channel("429", "k-429", "m429") + channel("500", "k-500", "m500")
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, options))
	g := &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}
	g.chat(t, "wild-client-sent").wantStatus(t, 200)
	g.Reload(site(addr, "cooldown 61s\n"+options))
	g.client.CloseIdleConnections()
	g.chat(t, "wild-client-sent").wantStatus(t, 200)
	g.chat(t, "sse-client-sent").wantStatus(t, 200)
	g.chat(t, "m401").wantStatus(t, 503)
	g.chat(t, "m429").wantStatus(t, 429)
	g.chat(t, "m500").wantStatus(t, 500)
	g.chat(t, "client-sent").wantStatus(t, 404)

	good := `gen_ai_provider_name="metrics-good",gen_ai_request_model="sent"`
	sse := `gen_ai_provider_name="metrics-sse",gen_ai_request_model="sse-*"`
	for series, want := range map[string]float64{
		`caddy_llm_gateway_requests_total{client="metrics-client"}`:                         7,
		`caddy_llm_gateway_refused_total{client="metrics-client",status="404"}`:             1,
		`caddy_llm_gateway_attempts_total{channel="metrics-good",result="answered"}`:        2,
		`caddy_llm_gateway_attempts_total{channel="metrics-401",result="refused"}`:          1,
		`caddy_llm_gateway_attempts_total{channel="metrics-429",result="limited"}`:          1,
		`caddy_llm_gateway_attempts_total{channel="metrics-500",result="failed"}`:           1,
		`caddy_llm_gateway_keys_in_cooldown{channel="metrics-429"}`:                         1,
		`caddy_llm_gateway_keys_in_cooldown{channel="metrics-good"}`:                        0,
		`gen_ai_client_token_usage_sum{` + good + `,gen_ai_token_type="input"}`:             24,
		`gen_ai_client_token_usage_sum{` + good + `,gen_ai_token_type="output"}`:            68,
		`gen_ai_client_token_usage_bucket{` + good + `,gen_ai_token_type="output",le="16"}`: 0,
		`gen_ai_client_token_usage_bucket{` + good + `,gen_ai_token_type="output",le="64"}`: 2,
		`gen_ai_server_request_duration_seconds_count{` + good + `}`:                        2,
		`gen_ai_server_time_to_first_token_seconds_count{` + good + `}`:                     0,
		`gen_ai_server_time_to_first_token_seconds_count{` + sse + `}`:                      1,
		`gen_ai_server_time_per_output_token_seconds_count{` + sse + `}`:                    1,
	} {
		if got := g.Metric(series); got != want {
			t.Errorf("%s: %v, want %v", series, got, want)
		}
	}
	if _, body := g.Admin(http.MethodGet, "/metrics"); strings.Contains(string(body), "client-sent") {
		t.Error("a client's text is a label")
	}
}
