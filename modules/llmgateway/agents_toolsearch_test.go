package llmgateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/strictprovider"
)

// Codex searches for tools of an MCP server, and the model calls one that was found, over
// accounts of each dialect. What was found is declared behind the other tools, whose
// bytes stay as they are in all later turns.
func TestCodexSearchesForTools(t *testing.T) {
	needAgents(t)
	server, err := filepath.Abs(filepath.Join(agentsDir, "weather.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dialect := range []neutral.Dialect{neutral.Chat, neutral.Messages, neutral.Gemini} { // responses is passed on
		t.Run(string(dialect), func(t *testing.T) {
			steps := []strictprovider.Step{
				{Calls: []strictprovider.Call{{Tool: "tool_search", Arguments: `{"query":"weather of region 3"}`}}},
				{Calls: []strictprovider.Call{{Tool: "mcp__weather__weather_3", Arguments: `{"city":"Oslo"}`}}},
			}
			p := &strictprovider.Provider{Dialect: dialect, Vendor: "v", Steps: steps, Text: greeting}
			up := caddytest.NewUpstream(t, p.ServeHTTP)
			g := start(t, fmt.Sprintf("channel a %s {\napi_key k\nmodels * as %s\nspeaks %s\n}", baseOf(up, dialect), realModels[dialect], dialect))
			a := agentFor(agentTask{agent: "Codex", model: "gpt-5.5"}, workplace(t))
			a.args = slices.Insert(a.args, 1, "-c", `mcp_servers.weather={command="node",args=["`+server+`"]}`)
			if said := a.ask(t, g); !strings.Contains(said, greeting) {
				t.Errorf("it says %q", said)
			}
			if refusals := p.Refusals(); len(refusals) > 0 {
				t.Errorf("refused: %q", refusals)
			}
			seen := p.Seen()
			last := seen[len(seen)-1]
			if last.Called != 2 || last.Results != 2 || !bytes.Contains(last.Body, []byte("sunny in Oslo")) {
				t.Errorf("%d steps with calls and %d results came back: %s", last.Called, last.Results, last.Body)
			}
			if !bytes.Contains(last.Body, []byte("Loaded tools: mcp__weather__weather_")) {
				t.Errorf("the model is not told what was found: %s", last.Body)
			}
			begin := ""
			for i, s := range seen {
				tools := declaredIn(t, s.Body)
				if !strings.HasPrefix(tools, begin) {
					t.Errorf("the tools of request %d do not begin with those of the one before it: %s", i, difference([]byte(begin), []byte(tools)))
				}
				begin = strings.TrimRight(tools, "]}")
			}
		})
	}
}

// declaredIn returns the array of a request's tools, without the mark that ends what is
// cached, which moves to the last one.
func declaredIn(t *testing.T, body []byte) string {
	t.Helper()
	var fields struct{ Tools json.RawMessage }
	if err := json.Unmarshal(body, &fields); err != nil || len(fields.Tools) == 0 {
		t.Fatalf("no tools (%v) in %s", err, body)
	}
	return strings.ReplaceAll(string(fields.Tools), `,"cache_control":{"type":"ephemeral"}`, "")
}
