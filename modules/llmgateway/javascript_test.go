package llmgateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

const sdkDir = "testdata/sdk"

// installSDKs installs the packages of testdata/sdk.
func installSDKs(t *testing.T) {
	t.Helper()
	caddytest.InstallPackages(t, sdkDir)
}

// provider answers as OpenAI, Anthropic and Google do, once the model `busy` has been refused.
func provider(t *testing.T) http.HandlerFunc {
	var refused atomic.Bool
	chat := func(w http.ResponseWriter, r *http.Request, body string) {
		switch {
		case strings.Contains(body, `"model":"busy"`) && !refused.Swap(true):
			w.Header().Set("Retry-After", "1")
			caddytest.JSON(429, `{"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}`)(w, r)
		case strings.Contains(body, `"tools":`):
			caddytest.JSON(200, `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"tool_calls","message":`+
				`{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"weather","arguments":"{}"}}]}}]}`)(w, r)
		case strings.Contains(body, `"stream":true`):
			chunk := func(delta string) string {
				return `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":` + delta + "}]}\n\n"
			}
			caddytest.Events(chunk(`{"role":"assistant","content":"Hel"}`), chunk(`{"content":"lo"}`),
				strings.Replace(chunk(`{}`), `"delta"`, `"finish_reason":"stop","delta"`, 1), "data: [DONE]\n\n")(w, r)
		default:
			caddytest.JSON(200, `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"stop",`+
				`"message":{"role":"assistant","content":"Hello"}}],"usage":{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21}}`)(w, r)
		}
	}
	return func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(raw))
		body := string(raw)
		switch r.URL.Path {
		case "/v1/chat/completions":
			chat(w, r, body)
		case "/v1/messages":
			message(w, r, body)
		case "/v1beta/models/gemini-flash:generateContent":
			caddytest.JSON(200, content("Hello", `,"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":12,"totalTokenCount":21}`))(w, r)
		case "/v1beta/models/gemini-flash:streamGenerateContent":
			caddytest.Events("data: "+content("Hel", "")+"\r\n\r\n", "data: "+content("lo", "")+"\r\n\r\n")(w, r)
		case "/v1/realtime":
			talk(t, w, r)
		case "/v1/embeddings":
			caddytest.JSON(200, `{"object":"list","model":"e","data":[{"object":"embedding","index":0,"embedding":[1,0]},`+
				`{"object":"embedding","index":1,"embedding":[0.5,0.25]}],"usage":{"prompt_tokens":2,"total_tokens":2}}`)(w, r)
		case "/v1/audio/transcriptions":
			file, header, err := r.FormFile("file")
			if err != nil {
				t.Error(err)
				return
			}
			defer file.Close()
			caddytest.JSON(200, fmt.Sprintf(`{"text":"%d bytes for %s"}`, header.Size, r.FormValue("model")))(w, r)
		case "/v1/images/edits":
			_, header, err := r.FormFile("image")
			if err != nil || r.FormValue("prompt") != "a hat" {
				t.Errorf("%v, prompt %q", err, r.FormValue("prompt"))
				return
			}
			caddytest.JSON(200, fmt.Sprintf(`{"created":1,"data":[{"b64_json":%q}]}`, []byte(fmt.Sprint(header.Size))))(w, r)
		default:
			t.Errorf("a request for %s reached the channel", r.URL.Path)
			http.NotFound(w, r)
		}
	}
}

// content is an answer of Gemini's.
func content(text, more string) string {
	return `{"candidates":[{"content":{"role":"model","parts":[{"text":"` + text + `"}]},"index":0}]` + more + `}`
}

func message(w http.ResponseWriter, r *http.Request, body string) {
	if !strings.Contains(body, `"stream":true`) {
		caddytest.JSON(200, `{"id":"m","type":"message","role":"assistant","model":"c","content":[{"type":"text","text":"Hello"}],`+
			`"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":12}}`)(w, r)
		return
	}
	event := func(name, data string) string {
		return fmt.Sprintf("event: %s\ndata: {\"type\":%q%s}\n\n", name, name, data)
	}
	caddytest.Events(
		event("message_start", `,"message":{"id":"m","type":"message","role":"assistant","model":"c","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":1}}`),
		event("content_block_start", `,"index":0,"content_block":{"type":"text","text":""}`),
		event("content_block_delta", `,"index":0,"delta":{"type":"text_delta","text":"Hel"}`),
		event("content_block_delta", `,"index":0,"delta":{"type":"text_delta","text":"lo"}`),
		event("content_block_stop", `,"index":0`),
		event("message_delta", `,"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":12}`),
		event("message_stop", ""),
	)(w, r)
}

// talk answers one message over a WebSocket.
func talk(t *testing.T, w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"realtime"}, InsecureSkipVerify: true})
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.CloseNow()
	if protocols := r.Header.Get("Sec-WebSocket-Protocol"); strings.Contains(protocols, "alice") {
		t.Errorf("the client's key reached the channel: %s", protocols)
	}
	_, question, err := conn.Read(r.Context())
	if err != nil || !strings.Contains(string(question), "response.create") {
		t.Errorf("%v: %s", err, question)
	}
	answer := fmt.Sprintf(`{"type":"response.output_text.done","text":"Hello from %s"}`, r.URL.Query().Get("model"))
	if err := conn.Write(r.Context(), websocket.MessageText, []byte(answer)); err != nil {
		t.Error(err)
	}
	_, _, _ = conn.Read(r.Context()) // until the client has left
}

// startForSDKs runs a gateway before the provider.
func startForSDKs(t *testing.T) *testGateway {
	t.Helper()
	up := caddytest.NewUpstream(t, provider(t))
	g, _ := startTLS(t, `
		client alice alice-key
		channel a `+up.URL+`/v1 {
			api_key k1
			models  gpt-4o as gpt-4o-2024
			models  whisper-1 as whisper-large
			models  gpt-realtime as gpt-realtime-2025
			models  text-embedding-3-small gpt-image-1 busy
		}
		channel b `+up.URL+` {
			api_key k2
			auth    x-api-key
			models  claude-sonnet as claude-sonnet-2
		}
		channel c `+up.URL+`/v1beta {
			api_key k3
			auth    x-goog-api-key
			models  flash as gemini-flash
		}`)
	return g
}

// The JavaScript SDKs of OpenAI, Anthropic, Google and Vercel pass a shared script.
func TestJavaScriptSDKs(t *testing.T) {
	node := caddytest.Program(t, "node")
	installSDKs(t)
	g := startForSDKs(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "sdk.mjs", g.URL)
	cmd.Dir = sdkDir
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+g.CAFile())
	out, err := cmd.Output()
	if err != nil {
		var stderr []byte
		if exit, ok := err.(*exec.ExitError); ok {
			stderr = exit.Stderr
		}
		t.Fatalf("%v: %s", err, stderr)
	}
	checks := 0
	for scanner := bufio.NewScanner(bytes.NewReader(out)); scanner.Scan(); checks++ {
		var check struct{ Name, Error string }
		if err := json.Unmarshal(scanner.Bytes(), &check); err != nil {
			t.Fatalf("%v: %s", err, scanner.Text())
		}
		t.Run(check.Name, func(t *testing.T) {
			if check.Error != "" {
				t.Error(check.Error)
			}
		})
	}
	if checks < 24 {
		t.Errorf("only %d checks ran", checks)
	}
}

// OpenAI's SDK chats and talks from a page of another origin.
func TestBrowserSDK(t *testing.T) {
	chromium := caddytest.Program(t, "chromium")
	installSDKs(t)
	g := startForSDKs(t)
	report := make(chan string, 1)
	files := http.FileServer(http.Dir(sdkDir))
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			text, _ := io.ReadAll(r.Body)
			report <- string(text)
			return
		}
		files.ServeHTTP(w, r)
	}))
	defer pages.Close()
	profile, err := os.MkdirTemp("", "chromium")
	if err != nil {
		t.Fatal(err)
	}
	// Its helpers may still write when it is gone.
	defer func() { _ = os.RemoveAll(profile) }()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server", "--ignore-certificate-errors",
		"--user-data-dir="+profile, pages.URL+"/page.html?gateway="+url.QueryEscape(g.URL))
	cmd.WaitDelay = 5 * time.Second
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = cmd.Wait()
	}()
	select {
	case got := <-report:
		if got != "Hello from a, Hello, model_not_found, Hello from gpt-realtime-2025" {
			t.Errorf("the page reports %q", got)
		}
	case <-time.After(2 * time.Minute):
		t.Errorf("the page reports nothing: %s", &log)
	}
}
