package translate_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/strictprovider"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/translate"
)

// TestRecordedAgents has what Codex, Claude Code and the Gemini CLI have sent (see
// RECORD_AGENTS in the tests of the gateway), towards each other dialect: strict
// providers take it, each tool arrives, and a turn begins with the bytes of the one
// before it.
func TestRecordedAgents(t *testing.T) {
	files, err := filepath.Glob("testdata/agents/*.jsonl")
	if err != nil || len(files) != 6 {
		t.Fatalf("there are %d recordings (%v), want 6", len(files), err)
	}
	models := map[neutral.Dialect]string{neutral.Chat: "deepseek-v4", neutral.Responses: "gpt-5.4", neutral.Messages: "claude-opus-5", neutral.Gemini: "gemini-3-flash"}
	lists := map[neutral.Dialect]string{neutral.Chat: "messages", neutral.Responses: "input", neutral.Messages: "messages", neutral.Gemini: "contents"}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		from := neutral.Responses
		switch name := filepath.Base(file); {
		case strings.HasPrefix(name, "claude"):
			from = neutral.Messages
		case strings.HasPrefix(name, "gemini"):
			from = neutral.Gemini
		}
		for _, to := range dialects {
			if to == from {
				continue
			}
			var begin []byte
			for i, line := range bytes.Split(bytes.TrimSpace(content), []byte("\n")) {
				r := read(t, from, string(line))
				sent, err := translate.Write(r, to, neutral.Target{Model: models[to], Vendor: "other"})
				if err != nil {
					t.Fatalf("%s, request %d to %s: %v", file, i, to, err)
				}
				provider := strictprovider.Provider{Dialect: to, Vendor: "other"}
				if err := provider.Check(models[to], sent.Body); err != nil {
					t.Errorf("%s, request %d: %s refuses it: %v", file, i, to, err)
				}
				for j := range r.Tools {
					if name := r.Names.Sent(r.Tools[j].ToolRef); r.Tools[j].IsClientTool() && !bytes.Contains(sent.Body, []byte(`"name":"`+name+`"`)) {
						t.Errorf("%s, request %d: %s is not declared to %s", file, i, name, to)
					}
				}
				if !bytes.HasPrefix(sent.Body, begin) {
					t.Errorf("%s, request %d to %s does not begin with the bytes of the one before it", file, i, to)
				}
				var fields map[string]json.RawMessage
				var elements []json.RawMessage
				if json.Unmarshal(sent.Body, &fields) != nil || json.Unmarshal(fields[lists[to]], &elements) != nil || len(elements) == 0 {
					t.Fatalf("%s, request %d to %s has no conversation", file, i, to)
				}
				begin = sent.Body[:bytes.LastIndex(sent.Body, elements[len(elements)-1])]
			}
		}
	}
}

// TestSignatureOfCall has a signature that the client has kept on a call alone, as the
// Gemini CLI does: it goes back to the vendor that gave it, and to no other.
func TestSignatureOfCall(t *testing.T) {
	for vendor, want := range map[string]bool{"v": true, "other": false} {
		sig := neutral.Sig{Vendor: vendor, Value: "c2ln"}
		body := `{"contents":[{"role":"user","parts":[{"text":"hi"}]},{"role":"model","parts":[{"functionCall":{"id":"c","name":"f","args":{}},"thoughtSignature":"` + sig.Mark() +
			`"}]},{"role":"user","parts":[{"functionResponse":{"id":"c","name":"f","response":{"output":"x"}}}]}]}`
		got, dropped := write(t, read(t, neutral.Gemini, body), neutral.Responses, "gpt-5.4")
		if is := strings.Contains(got, `{"type":"reasoning","summary":[],"encrypted_content":"c2ln"},{"type":"function_call"`); is != want {
			t.Errorf("of %s: the signature is sent: %v, want %v, in %s", vendor, is, want, got)
		}
		if is := dropped == ""; is != want {
			t.Errorf("of %s: dropped %q", vendor, dropped)
		}
	}
}
