package llmgateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

const agentsDir = "testdata/agents"

// agent is a coding agent that asks one question.
type agent struct {
	name     string
	program  string   // below agentsDir
	args     []string // GATEWAY stands for the gateway's URL
	env      []string
	path     string // where it asks
	stream   string // a response, as the API streams it
	plain    string // the same as one JSON text
	refusal  string // what it says of an error with the message in refused
	isSilent bool   // it gets no heartbeats
	settings string // of the Gemini CLI
	home     string // where it works, one of its own if empty
}

const refusedMessage = "this prompt is not for us"

// agents returns the agents, and what a channel sends them.
func agents() []agent {
	item := `{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Hello from the channel","annotations":[]}]}`
	response := func(status, output string) string {
		return `{"id":"resp_1","object":"response","created_at":1,"status":"` + status + `","model":"m","output":[` + output +
			`],"usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":0},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":12}}`
	}
	events := func(list ...string) string {
		var text strings.Builder
		for i := 0; i < len(list); i += 2 {
			fmt.Fprintf(&text, "event: %s\ndata: {\"type\":%q,%s}\n\n", list[i], list[i], list[i+1])
		}
		return text.String()
	}
	message := func(content, reason string) string {
		return `{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[` + content + `],"stop_reason":` + reason +
			`,"stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":3}}`
	}
	return []agent{
		{
			name: "Codex", program: "node_modules/.bin/codex", path: "/v1/responses",
			args: []string{
				"exec", "--skip-git-repo-check", "-m", "m", "-c", `model_provider="gateway"`, "-c", "model_providers.gateway.request_max_retries=0",
				"-c", `model_providers.gateway={name="gateway",base_url="GATEWAY/v1",wire_api="responses",env_key="GATEWAY_KEY",stream_max_retries=0}`, "Say hello.",
			},
			env: []string{"GATEWAY_KEY=alice-key"},
			stream: events("response.created", `"sequence_number":0,"response":`+response("in_progress", ""),
				"response.output_item.added", `"sequence_number":1,"output_index":0,"item":`+strings.Replace(item, "completed", "in_progress", 1),
				"response.output_text.delta", `"sequence_number":2,"output_index":0,"content_index":0,"item_id":"msg_1","delta":"Hello from the channel","logprobs":[]`,
				"response.output_item.done", `"sequence_number":3,"output_index":0,"item":`+item,
				"response.completed", `"sequence_number":4,"response":`+response("completed", item)),
			plain: response("completed", item), refusal: refusedMessage,
		},
		{
			name: "Claude Code", program: "node_modules/@anthropic-ai/claude-code-" + npmPlatform() + "/claude", path: "/v1/messages",
			args: []string{"-p", "Say hello.", "--model", "m"},
			env: []string{
				"ANTHROPIC_BASE_URL=GATEWAY", "ANTHROPIC_API_KEY=alice-key", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "DISABLE_AUTOUPDATER=1",
				"CLAUDE_CODE_MAX_RETRIES=0", "ANTHROPIC_SMALL_FAST_MODEL=m", "IS_SANDBOX=1",
			},
			stream: events("message_start", `"message":`+message("", "null"),
				"content_block_start", `"index":0,"content_block":{"type":"text","text":""}`,
				"content_block_delta", `"index":0,"delta":{"type":"text_delta","text":"Hello from the channel"}`,
				"content_block_stop", `"index":0`,
				"message_delta", `"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":3}`,
				"message_stop", `"x":0`),
			plain: message(`{"type":"text","text":"Hello from the channel"}`, `"end_turn"`), refusal: refusedMessage,
		},
		{
			name: "Gemini CLI", program: "node_modules/.bin/gemini", path: "streamGenerateContent", isSilent: true,
			settings: `{"security":{"auth":{"selectedType":"gemini-api-key"}}}`,
			args:     []string{"-m", "m", "-p", "Say hello."},
			env:      []string{"GOOGLE_GEMINI_BASE_URL=GATEWAY", "GEMINI_API_KEY=alice-key", "GEMINI_CLI_TRUST_WORKSPACE=true", "NO_BROWSER=1"},
			stream:   `data: {"candidates":[{"content":{"role":"model","parts":[{"text":"Hello from the channel"}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":3,"totalTokenCount":12}}` + "\n\n",
		},
	}
}

// npmPlatform is npm's name of this machine.
func npmPlatform() string {
	arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	return runtime.GOOS + "-" + arch
}

// ask runs the agent in a home of its own and returns what it says.
func (a *agent) ask(t *testing.T, g *testGateway) string {
	t.Helper()
	dir, err := filepath.Abs(agentsDir)
	if err != nil {
		t.Fatal(err)
	}
	home := a.home
	if home == "" {
		home = t.TempDir()
	}
	if a.settings != "" {
		file := filepath.Join(home, ".gemini", "settings.json")
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(a.settings), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	args := make([]string, len(a.args))
	for i, arg := range a.args {
		args[i] = strings.ReplaceAll(arg, "GATEWAY", g.URL)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(dir, a.program), args...)
	cmd.Dir = home
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "NO_PROXY=*", "TERM=dumb"}
	for _, variable := range a.env {
		cmd.Env = append(cmd.Env, strings.ReplaceAll(variable, "GATEWAY", g.URL))
	}
	cmd.WaitDelay = 5 * time.Second
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		fmt.Fprintf(&said, "\n%v", err)
	}
	return said.String()
}

// late answers after some heartbeats have been sent.
func (a *agent) late(t testing.TB, fails bool, then http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case !strings.Contains(r.URL.Path, a.path):
			caddytest.JSON(404, `{"error":{"message":"not here"}}`)(w, r)
			return
		case strings.HasSuffix(r.URL.Path, "count_tokens"):
			caddytest.JSON(200, `{"input_tokens":9}`)(w, r)
			return
		case a.path != "streamGenerateContent" && !bytes.Contains(body, []byte(`"stream":true`)):
			// Claude Code asks so again when a stream has failed.
			if !fails {
				t.Errorf("%s asks again without a stream", a.name)
			}
			then(w, r)
			return
		}
		caddytest.Slow(2500*time.Millisecond, then)(w, r)
	}
}

// The agents take a stream that begins with heartbeats, whether it goes on as one,
// as a response that is none, or as an error.
func TestAgents(t *testing.T) {
	needAgents(t)
	for _, a := range agents() {
		up := caddytest.NewUpstream(t, caddytest.JSON(500, "{}"))
		g := start(t, "heartbeat 1s\nchannel a "+up.URL+" {\napi_key k\nmodels *\nauth none\n}")
		cases := map[string]struct {
			handler http.HandlerFunc
			want    string
		}{
			"a stream": {caddytest.Answer(200, "text/event-stream", a.stream), "Hello from the channel"},
		}
		if !a.isSilent {
			cases["a plain response"] = struct {
				handler http.HandlerFunc
				want    string
			}{caddytest.JSON(200, a.plain), "Hello from the channel"}
			cases["an error"] = struct {
				handler http.HandlerFunc
				want    string
			}{caddytest.JSON(400, `{"type":"error","error":{"type":"invalid_request_error","code":"invalid_prompt","message":"`+refusedMessage+`"}}`), a.refusal}
		}
		for name, tc := range cases {
			t.Run(a.name+", "+name, func(t *testing.T) {
				g.Logs.Forget()
				up.Handle(a.late(t, tc.want == a.refusal, tc.handler))
				said := a.ask(t, g)
				if !strings.Contains(said, tc.want) {
					t.Errorf("it says %q, want %q in it", said, tc.want)
				}
			})
		}
	}
}
