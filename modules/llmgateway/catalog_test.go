package llmgateway

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// Wildcards are filled from what the channels list, in the background; a
// channel that hangs keeps no request and no other channel.
func TestWildcardModels(t *testing.T) {
	openai := caddytest.NewUpstream(t, caddytest.JSON(200, `{"object":"list","data":[{"id":"gpt-4o"},{"id":"o1-mini"},{"id":"gpt-3.5-turbo"},{"id":"gpt-*"},{"id":"gpt-k-openai"},{"id":"x\ny"}]}`))
	gemini := caddytest.NewUpstream(t, caddytest.JSON(200, `{"models":[{"name":"models/gemini-2.5-pro"},{"name":"models/gpt-4o"}]}`))
	broken := caddytest.NewUpstream(t, caddytest.Sequence(caddytest.JSON(500, "{}"), caddytest.JSON(200, `[{"id":"meta/llama"}]`)))
	hanging := caddytest.NewUpstream(t, caddytest.Hang)
	options := `
		client alice alice-key
		client bob bob-key {
			models gpt-4* gemini*
		}
		channel hanging ` + hanging.URL + ` {
			api_key k
			models  *
		}
		channel openai ` + openai.URL + `/openai/v1 {
			api_key k-openai
			header_up X-Title t
			models  first gpt-* claude-* as x
			models  gpt-* o1*
		}
		channel gemini ` + gemini.URL + `/v1beta {
			api_key k-gemini
			auth    query key
			models  *
		}
		channel broken ` + broken.URL + ` {
			api_key k
			auth    x-api-key
			models  *
		}`
	clock := clockwork.NewFakeClockAt(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, options), caddytest.WithFakeClock(clock))
	g := &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}
	if got := g.modelsOf(t, "alice-key"); got != "openai/first" {
		t.Errorf("before any channel was asked: %s", got)
	}
	hanging.Next(t)
	list := "openai/first openai/gpt-4o openai/gpt-3.5-turbo openai/o1-mini gemini/gemini-2.5-pro"
	g.waitForModels(t, list)
	if got, want := g.modelsOf(t, "bob-key"), "openai/gpt-4o gemini/gemini-2.5-pro"; got != want {
		t.Errorf("bob's models: %s, want %s", got, want)
	}
	g.do(t, http.MethodGet, "/v1/models/o1-mini", "").wantStatus(t, 200)
	g.do(t, http.MethodGet, "/v1/models/o1-mini", "", "Authorization", "Bearer bob-key").wantError(t, 404, "model_not_found")
	if got := openai.Next(t); got.URI != "/openai/v1/models" || bearer(got) != "k-openai" || got.Header.Get("X-Title") != "t" {
		t.Errorf("openai was asked %s with %v", got.URI, got.Header)
	}
	if got := gemini.Next(t); got.URI != "/v1beta/models?key=k-gemini" {
		t.Errorf("gemini was asked %s", got.URI)
	}
	if got := broken.Next(t); got.Header.Get("X-Api-Key") != "k" || got.Header.Get("Anthropic-Version") == "" {
		t.Errorf("broken was asked with %v", got.Header)
	}

	// A failure is tried again before the hour is over, and the rest after it.
	advance := func(d time.Duration, want string) {
		t.Helper()
		turnUntil(t, clock, d, "the models are "+want, func() bool { return g.modelsOf(t, "alice-key") == want })
	}
	list += " broken/meta/llama"
	advance(catalogRetry, list)
	openai.Handle(caddytest.JSON(200, `{"data":[{"id":"gpt-5"}]}`))
	advance(catalogInterval, "openai/first openai/gpt-5 gemini/gemini-2.5-pro gemini/gpt-4o broken/meta/llama")

	// A reload goes on with what is known.
	before := len(openai.Requests())
	g.Reload(site(addr, "cooldown 61s\n"+options))
	g.client.CloseIdleConnections()
	if got := g.modelsOf(t, "alice-key"); !strings.Contains(got, "openai/gpt-5") {
		t.Errorf("after a reload: %s", got)
	}
	if n := len(openai.Requests()); n != before {
		t.Errorf("the channel was asked again after a reload")
	}
}

// A channel is asked for its models as its dialect's SDK would ask.
func TestCatalogOfDialects(t *testing.T) {
	for _, test := range []struct{ name, path, speaks, uri, header string }{
		{"messages", "", "speaks messages", "/v1/models", "X-Api-Key"},
		{"messages with a base of their own", "/v1", "speaks messages URL/anthropic", "/anthropic/v1/models", "X-Api-Key"},
		{"gemini", "", "speaks gemini", "/v1beta/models", "X-Goog-Api-Key"},
		{"gemini with its version", "/v1beta", "speaks gemini", "/v1beta/models", "X-Goog-Api-Key"},
		{"gemini with a base of its own", "/v1", "speaks gemini URL/google/v1", "/google/v1/models", "X-Goog-Api-Key"},
		{"messages before chat", "/openai/v1", "speaks messages URL/anthropic\nspeaks chat", "/openai/v1/models", "Authorization"},
		{"chat with a base of its own", "/v1", "speaks chat URL/openai/v1", "/openai/v1/models", "Authorization"},
	} {
		t.Run(test.name, func(t *testing.T) {
			up := caddytest.NewUpstream(t, caddytest.JSON(200, `{"data":[{"id":"m"}]}`))
			addr := caddytest.Addr(t)
			channel := "channel a " + up.URL + test.path + " {\napi_key key-of-a\nmodels *\n" + strings.ReplaceAll(test.speaks, "URL", up.URL) + "\n}"
			c := caddytest.Start(t, site(addr, "client alice alice-key\n"+channel))
			g := &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}
			g.waitForModels(t, "a/m")
			got := up.Next(t)
			if got.URI != test.uri || !strings.HasSuffix(got.Header.Get(test.header), "key-of-a") {
				t.Errorf("asked for %s with %v, want %s with the key in %s", got.URI, got.Header, test.uri, test.header)
			}
			if version := got.Header.Get("Anthropic-Version"); (version != "") != (test.header == "X-Api-Key") {
				t.Errorf("the version of Anthropic's API is %q", version)
			}
		})
	}
}
