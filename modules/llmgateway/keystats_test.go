package llmgateway

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// Which key is bad? The admin API, the access log and the metrics say so, and none
// of them shows a key or what the provider said.
func TestWhichKeyIsBad(t *testing.T) {
	const key1, key2 = "sk-a-long-key-0001", "sk-a-long-key-0002"
	dead := `{"error":{"message":"Incorrect API key provided: ` + key1 + `. You said: tell me a secret","type":"invalid_request_error","code":"invalid_api_key"}}`
	up := caddytest.NewUpstream(t, byKey(map[string]http.HandlerFunc{
		key1: caddytest.JSON(401, dead), key2: caddytest.JSON(200, completion),
	}))
	addr := caddytest.Addr(t)
	options := "client alice alice-key\nkey_policy round_robin\nchannel which-key " + up.URL + " {\napi_key " + key1 + " " + key2 + "\nmodels m\n}"
	config := func(options string) string {
		return strings.Replace(site(addr, options), "\tlog\n", "\tlog\n\tlog_append tried {http.llm_gateway.key}\n", 1)
	}
	c := caddytest.Start(t, config(options))
	g := &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}
	for range 4 {
		g.chat(t, "m").wantStatus(t, 200)
	}
	g.Logs.Wait(t, "http.log.access", `"key":"…0002"`, `"outcome":"complete"`, `"attempts":2`, `"tried":"…0002"`)
	if n := g.Logs.Count("API key in cooldown", `"key":"…0001"`, "dead key"); n != 1 {
		t.Errorf("%d lines about the dead key, want 1", n)
	}

	g.Reload(config("retries 3\n" + options))
	g.client.CloseIdleConnections()
	_, body := g.Admin(http.MethodGet, "/llm-gateway/channels")
	var states []channelState
	if err := json.Unmarshal(body, &states); err != nil || len(states) != 1 || len(states[0].Keys) != 2 {
		t.Fatalf("%v: %s", err, body)
	}
	first, second := states[0].Keys[0], states[0].Keys[1]
	if first.Attempts != 1 || first.Answered != 0 || first.Refused != 1 {
		t.Errorf("the dead key: %+v", first.statsState)
	}
	if last := first.LastRefusal; last == nil || last.Status != 401 || last.Scope != "key" || last.Reason != "dead key" || last.At.IsZero() {
		t.Errorf("its last refusal: %+v", last)
	}
	if len(first.Cooldowns) != 1 || first.Cooldowns[0].Model != "" || first.Cooldowns[0].Reason != "dead key" || !first.Cooldowns[0].Guessed {
		t.Errorf("its cooldowns: %+v", first.Cooldowns)
	}
	if second.Attempts != 4 || second.Answered != 4 || second.Refused != 0 || second.LastRefusal != nil {
		t.Errorf("the good key: %+v", second.statsState)
	}
	if _, body := g.Admin(http.MethodGet, "/llm-gateway/channels?summary"); !strings.Contains(string(body), `"keys":2,"usable":1`) || !strings.Contains(string(body), `"dead":1`) {
		t.Errorf("the summary: %s", body)
	}
	for series, want := range map[string]float64{
		`caddy_llm_gateway_refusals_total{channel="which-key",scope="key"}`: 1,
		`caddy_llm_gateway_keys_in_cooldown{channel="which-key"}`:           1,
	} {
		if got := g.Metric(series); got != want {
			t.Errorf("%s: %v, want %v", series, got, want)
		}
	}
	_, metrics := g.Admin(http.MethodGet, "/metrics")
	for name, text := range map[string]string{"the admin API": string(body), "the metrics": string(metrics)} {
		for _, secret := range []string{"sk-a-long", "secret", "Incorrect"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s contains %q:\n%s", name, secret, text)
			}
		}
	}
}

// The access log names the last attempt's key, if one was made, and an attempt
// whose client has left is neither answered nor refused.
func TestKeyInAccessLog(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(401, deadKey))
	g, _, _ := startAt(t, "channel a "+up.URL+" {\napi_key sk-a-long-key-0001\nmodels m n\n}\nchannel b "+up.URL+"/b {\nauth none\nmodels k\n}")
	g.chat(t, "m")
	g.Logs.Wait(t, "http.log.access", `"key":"…0001"`, `"outcome":"refused"`)
	g.chat(t, "unknown").wantStatus(t, 404)
	g.Logs.Wait(t, "http.log.access", `"model":"unknown","attempts":0`)

	up.Handle(caddytest.Hang)
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+"/v1/chat/completions", strings.NewReader(chatBody("k")))
	req.Header.Set("Authorization", "Bearer alice-key")
	left := make(chan struct{})
	go func() {
		defer close(left)
		_, _ = g.client.Do(req)
	}()
	up.Next(t)
	up.Next(t)
	cancel()
	<-left
	g.Logs.Wait(t, "http.log.access", `"channel":"b","sent_model":"k"`, `"status":499`)
	if state := channelOf(t, "b").stats; state.attempts.Load() != 1 || state.answered.Load() != 0 || state.refused.Load() != 0 {
		t.Errorf("the channel without keys: %+v", newStatsState(state))
	}
}
