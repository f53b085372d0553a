package llmgateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// harmlessCalls are tools of the agents that need no permission, with arguments
// that are valid for them.
var harmlessCalls = map[string]string{
	"get_goal":       `{}`,
	"TaskList":       `{}`,
	"list_directory": `{"dir_path":".","path":"."}`,
}

// chatProvider answers chat completions as a strict provider: it calls a tool
// that the request declares, and answers when it gets the result.
type chatProvider struct {
	t *testing.T

	mu      sync.Mutex
	called  string // the tool
	results int    // of it that came back
}

func (p *chatProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var request struct {
		Stream   bool
		Messages []struct{ Role string }
		Tools    []struct {
			Type     string
			Function struct{ Name string }
		}
	}
	if err := json.Unmarshal(body, &request); err != nil || r.URL.Path != "/v1/chat/completions" {
		p.t.Errorf("%s got %.300s: %v", r.URL.Path, body, err)
		caddytest.JSON(404, `{"error":{"message":"not here"}}`)(w, r)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range request.Messages {
		if m.Role == "tool" {
			p.results++
		}
	}
	if p.called == "" && p.results == 0 && request.Stream {
		for _, tool := range request.Tools {
			if arguments, ok := harmlessCalls[tool.Function.Name]; ok {
				p.called = tool.Function.Name
				start := fmt.Sprintf(`{"index":0,"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":%q,"arguments":""}}]}}`, p.called)
				rest := fmt.Sprintf(`{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":%q}}]},"finish_reason":"tool_calls"}`, arguments)
				caddytest.Events(sse(`{"id":"c","choices":[`+start+`]}`, `{"id":"c","choices":[`+rest+`]}`, `{"id":"c","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":3}}`)+"data: [DONE]\n\n")(w, r)
				return
			}
		}
	}
	answer := responsesIn["chat"]
	if request.Stream {
		caddytest.Events(strings.ReplaceAll(answer.stream, "there", "from the channel"))(w, r)
		return
	}
	caddytest.JSON(200, strings.ReplaceAll(answer.whole, "there", "from the channel"))(w, r)
}

func needAgents(t *testing.T) {
	if _, err := os.Stat(filepath.Join(agentsDir, "node_modules")); err != nil && os.Getenv("CI") == "" {
		t.Skip("the agents take 760 MB: npm ci --ignore-scripts in " + agentsDir)
	}
	installPackages(t, agentsDir)
}

// Codex, Claude Code and the Gemini CLI work over an account that speaks nothing
// but chat completions, with a call of one of their tools.
func TestAgentsOverChat(t *testing.T) {
	needAgents(t)
	for _, a := range agents() {
		t.Run(a.name, func(t *testing.T) {
			provider := &chatProvider{t: t}
			up := caddytest.NewUpstream(t, provider.ServeHTTP)
			g := start(t, "channel a "+up.URL+"/v1 {\napi_key k\nmodels *\nspeaks chat\n}")
			if said := a.ask(t, g); !strings.Contains(said, "Hello from the channel") {
				t.Errorf("it says %q", said)
			}
			if provider.called == "" || provider.results == 0 {
				t.Errorf("called %q, %d results came back", provider.called, provider.results)
			}
		})
	}
}

// The same over accounts that speak one of the other dialects.
func TestAgentsOverDialects(t *testing.T) {
	needAgents(t)
	for _, a := range agents() {
		for _, dialect := range []string{"responses", "messages", "gemini"} {
			if strings.Contains(a.path, "/"+dialect) || dialect == "gemini" && a.isSilent {
				continue // its own, as TestAgents has it
			}
			t.Run(a.name+" over "+dialect, func(t *testing.T) {
				up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
					body, _ := io.ReadAll(r.Body)
					answer := responsesIn[dialect]
					if strings.Contains(string(body), `"stream":true`) || strings.Contains(r.URL.Path, "streamGenerateContent") {
						caddytest.Events(strings.ReplaceAll(answer.stream, "there", "from the channel"))(w, r)
						return
					}
					caddytest.JSON(200, strings.ReplaceAll(answer.whole, "there", "from the channel"))(w, r)
				})
				base := map[string]string{"responses": "/v1", "messages": "", "gemini": "/v1beta"}[dialect]
				g := start(t, "channel a "+up.URL+base+" {\napi_key k\nmodels *\nspeaks "+dialect+"\n}")
				if said := a.ask(t, g); !strings.Contains(said, "Hello from the channel") {
					t.Errorf("it says %q", said)
				}
			})
		}
	}
}
