package llmgateway

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

func demoGateway(clientKey, url, apiKey string) string {
	auth := "auth none"
	if apiKey != "" {
		auth = "api_key " + apiKey
	}
	return fmt.Sprintf(`http://127.0.0.1:1 {
	llm_gateway {
		client other key-of-another
		client me good-client-key %s
		channel demo http://127.0.0.1:9003/v1 {
			api_key demo-free-key
			models m
		}
		channel b %s {
			%s
			models m
		}
	}
}
`, clientKey, url, auth)
}

// The example's key, which everybody knows, opens no channel that is worth
// anything, wherever the key and the channel's keys come from.
func TestDemoKeyBesideChannel(t *testing.T) {
	t.Setenv("DEMO", "demo-key")
	t.Setenv("DEMO_API", "demo-paid-key")
	t.Setenv("REAL_API", "sk-real-key-of-mine")
	const local = "http://127.0.0.1:9004/v1"
	for _, tc := range []struct{ name, clientKey, url, apiKey string }{
		{"another host", "demo-key", "https://api.openai.com/v1", "sk-real-key-of-mine"},
		{"another host, demo's key", "demo-key", "https://api.openai.com/v1", "demo-paid-key"},
		{"another host without a key", "demo-key", "http://192.168.1.10:11434/v1", ""},
		{"real key", "demo-key", local, "sk-real-key-of-mine"},
		{"one real key of two", "demo-key", local, "demo-paid-key sk-real-key-of-mine"},
		{"real key of a variable", "demo-key", local, "{env.REAL_API}"},
		{"key of a channel of the demo", "demo-paid-key", local, "{env.REAL_API}"},
	} {
		caddytest.Mistakes(t, []caddytest.Mistake{{
			Name: tc.name, Caddyfile: demoGateway(tc.clientKey, tc.url, tc.apiKey), Line: 4,
			Says: []string{"client me has the public key of the demo", "channel b is no demo", "CLIENT_KEYS='{env.CLIENT_KEY}'"},
		}})
	}
	for _, tc := range []struct{ name, clientKey, url, apiKey string }{
		{"variable", "{env.DEMO}", "https://api.openai.com/v1", "sk-real-key-of-mine"},
		{"variables", "{env.DEMO}", local, "{env.REAL_API}"},
	} {
		wantLoadError(t, tc.name, demoGateway(tc.clientKey, tc.url, tc.apiKey),
			"Caddyfile:4: client me has the public key of the demo", "channel b is no demo")
	}
	for _, tc := range []struct{ name, clientKey, url, apiKey string }{
		{"demo", "demo-key", local, "demo-paid-key"},
		{"demo of variables", "{env.DEMO}", "http://localhost:9004", "demo-paid-key"},
		{"demo without keys", "demo-key", "http://[::1]:11434/v1", ""},
		{"key of its own", "demo-key-of-mine", "https://api.openai.com/v1", "sk-real-key-of-mine"},
	} {
		if err := caddytest.Validate(demoGateway(tc.clientKey, tc.url, tc.apiKey)); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// A file that changes later does not open the gateway either.
func TestDemoKeyInFile(t *testing.T) {
	client, channel := filepath.Join(t.TempDir(), "client"), filepath.Join(t.TempDir(), "channel")
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct{ client, channel, change, to, status string }{
		"client":  {"key-of-mine-1", "sk-real-key-of-mine", client, "demo-key", "200 401"},
		"channel": {"demo-key", "demo-paid-key", channel, "sk-real-key", "401 200"},
	} {
		t.Run(name, func(t *testing.T) {
			write(client, tc.client)
			write(channel, tc.channel)
			up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
			clock := clockwork.NewFakeClockAt(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
			addr := caddytest.Addr(t)
			c := caddytest.Start(t, site(addr, "client me {file."+client+"}\nchannel a "+up.URL+" {\napi_key {file."+channel+"}\nmodels m\n}"),
				caddytest.WithFakeClock(clock))
			g := &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}
			write(tc.change, tc.to)
			turnUntil(t, clock, keyFileInterval, "the keys are reloaded", func() bool {
				return g.Logs.Count("keys reloaded from their files") > 0
			})
			if n := g.Logs.Count("has the public key of the demo"); n != 1 {
				t.Errorf("%d warnings", n)
			}
			var statuses []string
			for _, key := range []string{"key-of-mine-1", "demo-key"} {
				statuses = append(statuses, fmt.Sprint(g.chat(t, "m", "Authorization", "Bearer "+key).StatusCode))
			}
			if got := strings.Join(statuses, " "); got != tc.status {
				t.Errorf("statuses %s, want %s", got, tc.status)
			}
			for _, r := range up.Requests() {
				if bearer(r) == "sk-real-key" {
					t.Error("the channel was asked with a real key")
				}
			}
		})
	}
}
