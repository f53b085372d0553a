package llmgateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/preset"
)

// internet is a proxy through which every https host is the same server.
func internet(t testing.TB, handler http.HandlerFunc) (*caddytest.Upstream, string) {
	t.Helper()
	up := caddytest.NewTLSUpstream(t, handler)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		there, err := net.Dial("tcp", up.Listener.Addr().String())
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		here, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			there.Close()
			return
		}
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() {
			_, _ = io.Copy(there, here)
			there.Close()
		}()
		_, _ = io.Copy(here, there)
		here.Close()
	}))
	t.Cleanup(proxy.Close)
	return up, proxy.URL
}

// withProvider are the lines of a channel that reaches a preset's hosts through
// the proxy.
func withProvider(proxy, lines string) string {
	return "channel a {\nmodels *\nproxy " + proxy + "\ntransport {\ntls_insecure_skip_verify\n}\n" + lines + "\n}"
}

var dialectRequests = []struct{ path, body string }{
	{"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"Hi"}]}`},
	{"/v1/responses", `{"model":"m","input":"Hi"}`},
	{"/v1/messages", `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}`},
	{"/v1beta/models/m:generateContent", `{"contents":[{"role":"user","parts":[{"text":"Hi"}]}]}`},
	{"/v1/embeddings", `{"model":"m"}`},
}

// A channel with a preset is asked where the provider serves the client's
// dialect, with the key as that API takes it, and for chat completions where it
// does not.
func TestProviderBases(t *testing.T) {
	up, proxy := internet(t, caddytest.JSON(200, `{"output":[{"type":"message","content":[{"type":"output_text","text":"x"}]}],"choices":[{"message":{"content":"x"},"finish_reason":"stop"}],"content":[{"type":"text","text":"x"}],"candidates":[{"content":{"parts":[{"text":"x"}]}}],"data":[]}`))
	for provider, want := range map[string][]string{
		"gemini": {
			"generativelanguage.googleapis.com/v1beta/openai/chat/completions Authorization",
			"generativelanguage.googleapis.com/v1beta/openai/chat/completions Authorization",
			"generativelanguage.googleapis.com/v1beta/openai/chat/completions Authorization",
			"generativelanguage.googleapis.com/v1beta/models/m:generateContent X-Goog-Api-Key",
			"generativelanguage.googleapis.com/v1beta/openai/embeddings Authorization",
		},
		"openrouter": {
			"openrouter.ai/api/v1/chat/completions Authorization",
			"openrouter.ai/api/v1/responses Authorization",
			"openrouter.ai/api/v1/messages Authorization",
			"",
			"openrouter.ai/api/v1/embeddings Authorization",
		},
		"zai": {
			"api.z.ai/api/paas/v4/chat/completions Authorization",
			"api.z.ai/api/paas/v4/chat/completions Authorization",
			"api.z.ai/api/anthropic/v1/messages Authorization",
			"",
			"api.z.ai/api/paas/v4/embeddings Authorization",
		},
		"dashscope intl": {
			"dashscope-intl.aliyuncs.com/compatible-mode/v1/chat/completions Authorization", "",
			"dashscope-intl.aliyuncs.com/compatible-mode/v1/chat/completions Authorization", "", "",
		},
		"dashscope": {"", "", "dashscope.aliyuncs.com/apps/anthropic/v1/messages Authorization", "", ""},
		"anthropic": {
			"api.anthropic.com/v1/chat/completions X-Api-Key", "",
			"api.anthropic.com/v1/messages X-Api-Key 2023-06-01", "", "",
		},
		"cloudflare": {
			"api.cloudflare.com/client/v4/accounts/acc-1/ai/v1/chat/completions Authorization",
			"api.cloudflare.com/client/v4/accounts/acc-1/ai/v1/responses Authorization", "", "", "",
		},
		"gemini\nauth api-key": {
			"generativelanguage.googleapis.com/v1beta/openai/chat/completions Api-Key", "", "",
			"generativelanguage.googleapis.com/v1beta/models/m:generateContent Api-Key", "",
		},
	} {
		t.Run(provider, func(t *testing.T) {
			key := "sk-channel-key-1"
			if provider == "cloudflare" {
				key = "acc-1/" + key
			}
			g := start(t, withProvider(proxy, "api_key "+key+"\nprovider "+provider))
			for i, r := range dialectRequests {
				if want[i] == "" {
					continue
				}
				g.do(t, http.MethodPost, r.path, r.body).wantStatus(t, 200)
				list := up.Requests()
				got := list[len(list)-1]
				shown := got.Host + got.URI
				for _, name := range []string{"Authorization", "X-Goog-Api-Key", "X-Api-Key", "Api-Key"} {
					if v := got.Header.Get(name); strings.HasSuffix(v, "sk-channel-key-1") {
						shown += " " + name
					} else if v != "" {
						t.Errorf("%s: the channel got %s: %s", r.path, name, v)
					}
				}
				if r.path == "/v1/messages" && got.Header.Get("Anthropic-Version") != "" {
					shown += " " + got.Header.Get("Anthropic-Version")
				}
				if shown != want[i] {
					t.Errorf("%s: the channel got %s, want %s", r.path, shown, want[i])
				}
			}
		})
	}
}

// With a URL of its own a channel with a preset is asked there, in all dialects.
func TestProviderWithURL(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(429, `{"error":{"code":"insufficient_quota","message":"You exceeded your current quota","type":"insufficient_quota"}}`))
	g := start(t, "wait off\nchannel a "+up.URL+"/base {\nmodels *\nprovider dashscope\napi_key sk-channel-key-1\n}")
	for _, r := range dialectRequests[:3] {
		a := g.do(t, http.MethodPost, r.path, strings.Replace(r.body, `"m"`, `"m`+r.path+`"`, 1))
		a.wantStatus(t, 429)
		list := up.Requests()
		if got, want := list[len(list)-1].URI, "/base"+strings.TrimPrefix(r.path, "/v1"); got != want {
			t.Errorf("the channel got %s, want %s", got, want)
		}
	}
	// What dashscope means by these words is a rate limit, not an empty account.
	_, body := g.Admin(http.MethodGet, "/llm-gateway/channels")
	if !bytes.Contains(body, []byte(`"reason":"rate limit"`)) || bytes.Contains(body, []byte("credit")) {
		t.Errorf("the refusal was not read as dashscope's: %s", body)
	}
}

func TestProviderMistakes(t *testing.T) {
	gateway := func(channel string) string {
		return "http://127.0.0.1:1 {\nllm_gateway {\nclient me key-of-me-123\nchannel " + channel + "\nmodels m\napi_key sk-channel-key-1\n}\n}\n}\n"
	}
	for _, test := range []struct{ name, channel, says string }{
		{"unknown", "a {\nprovider nobody", "provider: unknown provider \"nobody\": it is one of gemini"},
		{"another spelling", "a {\nprovider kimi", "write moonshot"},
		{"retired", "a {\nprovider github", "retired on 2026-07-30"},
		{"region", "a {\nprovider dashscope us", "it is one of cn, intl"},
		{"no regions", "a {\nprovider groq eu", "has no regions"},
		{"no URL", "a {", "channel a: the channel has no URL"},
		{"no URL of the provider", "a {\nprovider azure", "has no URL of its own"},
		{"no provider", "a {\nprovider", "write: provider <provider> [<region>]"},
		{"twice", "a {\nprovider groq\nprovider gemini", "given twice"},
		{"no account", "a {\nprovider cloudflare", "write <account>/<token>"},
	} {
		err := caddytest.Validate(gateway(test.channel))
		if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "Caddyfile:") {
			t.Errorf("%s: got %v, want its place and %q", test.name, err, test.says)
		}
	}
	for _, right := range []string{"a https://a.example {\nprovider azure", "a {\nprovider deepseek", "a https://models.github.ai/inference {"} {
		if err := caddytest.Validate(gateway(right)); err != nil {
			t.Errorf("%s: %v", right, err)
		}
	}
}

// Every preset and region loads.
func TestProvidersLoad(t *testing.T) {
	var channels strings.Builder
	for _, p := range preset.All() {
		for i, r := range p.Regions {
			fmt.Fprintf(&channels, "channel %s-%d {\nprovider %s %s\nmodels m\napi_key acc/sk-channel-key-1\n}\n", p.Name, i, p.Name, r.Name)
		}
	}
	g := start(t, channels.String())
	_, body := g.Admin(http.MethodGet, "/llm-gateway/channels")
	var answer []struct{ Name, Host string }
	if err := json.Unmarshal(body, &answer); err != nil || len(answer) < 30 {
		t.Errorf("the admin API answers %s (%v)", body, err)
	}
}
