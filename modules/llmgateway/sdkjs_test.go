package llmgateway

import (
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// npmInstall installs what the script needs, as the lock file has it.
func npmInstall(t testing.TB, dir string) {
	t.Helper()
	npm := caddytest.Program(t, "npm")
	if _, err := os.Stat(dir + "/node_modules/.package-lock.json"); err == nil {
		return
	}
	cmd := exec.CommandContext(t.Context(), npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	t.Skipf("npm ci: %v", err)
}

// provider answers like OpenAI and Anthropic, once it has found the model's own
// name where it belongs.
func provider(t testing.TB) http.HandlerFunc {
	const usage = `"usage":{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46}`
	const (
		text      = `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],` + usage + `}`
		toolCall  = `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"t","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Kōbe\"}"}}]},"finish_reason":"tool_calls"}],` + usage + `}`
		delta     = `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"TEXT"}}]}` + "\n\n"
		finish    = `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
		last      = `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],` + usage + `}` + "\n\ndata: [DONE]\n\n"
		message   = `{"id":"m","type":"message","role":"assistant","model":"m","content":[CONTENT],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":12,"output_tokens":34}}`
		streamed  = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":12,\"output_tokens\":1}}}\n\n"
		block     = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n"
		textDelta = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hello\"}}\n\nevent: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
		end       = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":34}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
	)
	limited := caddytest.Sequence(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After-Ms", "200")
		caddytest.JSON(429, openAIError)(w, r)
	}, caddytest.JSON(200, text))
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		has := func(s string) bool { return strings.Contains(string(body), s) }
		stream, tools := has(`"stream":true`), has(`"tools":`)
		switch path := r.URL.Path; {
		case path == "/v1/chat/completions" && has(`"model":"own-limited"`):
			limited(w, r)
		case path == "/v1/chat/completions" && !has(`"model":"own-chat"`):
			caddytest.JSON(404, "{}")(w, r)
		case path == "/v1/chat/completions" && stream:
			caddytest.Events(strings.ReplaceAll(delta, "TEXT", "hel"), strings.ReplaceAll(delta, "TEXT", "lo"), finish, last)(w, r)
		case path == "/v1/chat/completions" && tools:
			caddytest.JSON(200, toolCall)(w, r)
		case path == "/v1/chat/completions":
			caddytest.JSON(200, text)(w, r)
		case path == "/v1/embeddings" && has(`"model":"own-embed"`):
			caddytest.JSON(200, `{"object":"list","model":"m","data":[{"object":"embedding","index":0,"embedding":[0.5,-1]}],"usage":{"prompt_tokens":1,"total_tokens":1}}`)(w, r)
		case path == "/v1/audio/transcriptions" && formModel(r, body) == "own-audio":
			caddytest.JSON(200, `{"text":"hello"}`)(w, r)
		case path == "/v1/images/edits" && formModel(r, body) == "own-image":
			caddytest.JSON(200, `{"created":1,"data":[{"b64_json":"AAAA"}]}`)(w, r)
		case path == "/v1/messages" && !has(`"model":"own-claude"`) || r.Header.Get("X-Api-Key") != "k-anthropic":
			caddytest.JSON(404, "{}")(w, r)
		case stream:
			caddytest.Events(streamed, block, textDelta, end)(w, r)
		case tools:
			caddytest.JSON(200, strings.ReplaceAll(message, "CONTENT", `{"type":"tool_use","id":"t","name":"weather","input":{"city":"Kōbe"}}`))(w, r)
		default:
			caddytest.JSON(200, strings.ReplaceAll(message, "CONTENT", `{"type":"text","text":"hello"}`))(w, r)
		}
	}
}

// formModel returns the model of a form, if the form is whole.
func formModel(r *http.Request, body []byte) string {
	_, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	form, err := multipart.NewReader(strings.NewReader(string(body)), params["boundary"]).ReadForm(1 << 20)
	if err != nil || len(form.File) == 0 || len(form.Value["model"]) != 1 {
		return ""
	}
	return form.Value["model"][0]
}

// The SDKs for JavaScript pass a script through the gateway: chats, streams,
// tools, embeddings, uploads, lists, a 429 that recovers, and mistakes.
func TestJavaScriptSDKs(t *testing.T) {
	node := caddytest.Program(t, "node")
	npmInstall(t, "testdata/sdk")
	up := caddytest.NewUpstream(t, provider(t))
	g := start(t, `
		channel openai `+up.URL+`/v1 {
			api_key k-openai
			models  chat as own-chat
			models  embed as own-embed
			models  audio as own-audio
			models  image as own-image
			models  limited as own-limited
		}
		channel anthropic `+up.URL+` {
			api_key k-anthropic
			auth    x-api-key
			models  claude as own-claude
		}`)
	cmd := exec.CommandContext(t.Context(), node, "script.mjs")
	cmd.Dir = "testdata/sdk"
	cmd.Env = append(os.Environ(), "BASE_URL="+g.URL, "AI_SDK_LOG_WARNINGS=false")
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "\n") != 22 {
		t.Errorf("%v\n%s", err, out)
	}
}
