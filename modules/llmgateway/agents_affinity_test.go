package llmgateway

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/strictprovider"
)

// The agents' conversations keep one of four keys over ten turns, in their own
// dialect and over chat.
func TestAgentsKeepTheirKey(t *testing.T) {
	needAgents(t)
	const turns = 10
	type run struct {
		task     agentTask
		home     string
		provider *strictprovider.Provider

		mu   sync.Mutex
		keys map[string]int // by which the conversation was answered
	}
	var runs []*run
	var config strings.Builder
	for _, tc := range []struct {
		task           agentTask
		tool, argument string
	}{
		{agentTask{agent: "Codex", model: "gpt-5.5", native: neutral.Responses}, "exec_command", `{"cmd":"cat FILE"}`},
		{agentTask{agent: "Claude Code", model: "claude-opus-5", native: neutral.Messages}, "Read", `{"file_path":"FILE"}`},
		{agentTask{agent: "Gemini CLI", model: "gemini-3.8-flash", native: neutral.Gemini}, "read_file", `{"file_path":"FILE"}`},
	} {
		for _, dialect := range []neutral.Dialect{tc.task.native, neutral.Chat} {
			r := &run{task: tc.task, home: workplace(t), keys: make(map[string]int)}
			r.task.model += "-" + string(dialect)
			r.provider = &strictprovider.Provider{Dialect: dialect, Vendor: "v", Text: greeting}
			for i := range turns - 1 {
				file := filepath.Join(r.home, fmt.Sprintf("file-%d.txt", i))
				if err := os.WriteFile(file, fmt.Appendf(nil, "This is file %d.", i), 0o600); err != nil {
					t.Fatal(err)
				}
				r.provider.Steps = append(r.provider.Steps, strictprovider.Step{Calls: []strictprovider.Call{{Tool: tc.tool, Arguments: strings.Replace(tc.argument, "FILE", file, 1)}}})
			}
			up := caddytest.NewUpstream(t, func(w http.ResponseWriter, req *http.Request) {
				body, _ := io.ReadAll(req.Body)
				req.Body = io.NopCloser(bytes.NewReader(body))
				if bytes.Contains(body, []byte(`"`+tc.tool+`"`)) {
					r.mu.Lock()
					r.keys[strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")+req.Header.Get("X-Api-Key")+req.Header.Get("X-Goog-Api-Key")]++
					r.mu.Unlock()
				}
				r.provider.ServeHTTP(w, req)
			})
			n := len(runs)
			fmt.Fprintf(&config, "channel c%d %s {\napi_key key-number-%d1 key-number-%d2 key-number-%d3 key-number-%d4\nmodels %s as %s\nspeaks %s\n}\n",
				n, baseOf(up, dialect), n, n, n, n, r.task.model, realModels[dialect], dialect)
			runs = append(runs, r)
		}
	}
	g := start(t, config.String())
	for _, r := range runs {
		t.Run(r.task.agent+" "+r.task.model, func(t *testing.T) {
			t.Parallel()
			if said := agentFor(r.task, r.home).ask(t, g); !strings.Contains(said, greeting) {
				t.Errorf("it says %q", said)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			all := 0
			for _, n := range r.keys {
				all += n
			}
			if len(r.keys) != 1 || all < turns {
				t.Errorf("%d turns went to the keys %v, want at least %d with one key", all, r.keys, turns)
			}
		})
	}
}
