package llmgateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// slowly answers in the dialect of the path, as the model's name says: with a
// stream, a plain response or an error.
func slowly(delay time.Duration) http.HandlerFunc {
	said := "Hello from the channel"
	list := agents()
	streams := map[string]string{
		responsesPath: list[0].stream, messagesPath: list[1].stream,
		chatPath: sse(`{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"`+said+`"}}]}`,
			`{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`, `[DONE]`),
	}
	plain := map[string]string{responsesPath: list[0].plain, messagesPath: list[1].plain, chatPath: strings.Replace(completion, "hello", said, 1)}
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var asked struct{ Model string }
		_ = json.Unmarshal(body, &asked)
		then := caddytest.Answer(200, "text/event-stream", streams[r.URL.Path])
		switch asked.Model {
		case "plain":
			then = caddytest.JSON(200, plain[r.URL.Path])
		case "error":
			then = caddytest.JSON(400, `{"type":"error","error":{"type":"invalid_request_error","message":"`+refusedMessage+`"}}`)
		}
		caddytest.Slow(delay, then)(w, r)
	}
}

// The SDKs of OpenAI and Anthropic read streams that begin with heartbeats, whether
// they go on as one, as a response that is none, or as an error.
func TestHeartbeatsOfSDKs(t *testing.T) {
	node := caddytest.Program(t, "node")
	installSDKs(t)
	up := caddytest.NewUpstream(t, slowly(time.Second))
	g := start(t, "heartbeat 200ms\nchannel a "+up.URL+" {\napi_key k\nmodels *\n}")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "heartbeat.mjs", g.URL)
	cmd.Dir = sdkDir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	checks := 0
	for scanner := bufio.NewScanner(bytes.NewReader(out)); scanner.Scan(); checks++ {
		var check struct{ Name, Error string }
		if err := json.Unmarshal(scanner.Bytes(), &check); err != nil {
			t.Fatalf("%v: %s", err, scanner.Text())
		}
		if check.Error != "" {
			t.Errorf("%s: %s", check.Name, check.Error)
		}
	}
	if checks != 12 {
		t.Errorf("%d checks ran, want 12", checks)
	}
}

// startNginx runs nginx before a server and returns its URL.
func startNginx(t *testing.T, upstream, options string) string {
	t.Helper()
	nginx := caddytest.Program(t, "nginx")
	dir, addr := t.TempDir(), caddytest.Addr(t)
	config := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error.log;
		events {}
		http {
			access_log off;
			client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
			server { listen %[2]s; location / { proxy_pass %[3]s; %[4]s } }
		}`, dir, addr, upstream, options)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, nginx, "-c", config, "-e", filepath.Join(dir, "error.log"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
	})
	url := "http://" + addr
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if resp, err := http.Get(url); err == nil {
			resp.Body.Close()
			return url
		}
		if time.Now().After(deadline) {
			t.Fatalf("nginx does not listen: %s", &out)
		}
	}
}

// nginx with a proxy_read_timeout that is shorter than the channel's silence does
// not cut a stream with heartbeats, which reach the client at once although it
// buffers, and cuts one without.
func TestHeartbeatsThroughNginx(t *testing.T) {
	const silence, timeout = 6 * time.Second, "3s"
	pinged, release := make(chan struct{}), make(chan struct{})
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(silence):
		case <-r.Context().Done():
			return
		}
		select {
		case <-pinged: // before the channel has sent anything
		case <-r.Context().Done():
			return
		}
		caddytest.Events(chunk)(w, r)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-release:
		case <-time.After(silence):
		}
		io.WriteString(w, "data: [DONE]\n\n")
	})
	for heartbeat, want := range map[string]int{"1s": 200, "off": 504} {
		t.Run("heartbeat "+heartbeat, func(t *testing.T) {
			g := start(t, "heartbeat "+heartbeat+"\nchannel a "+up.URL+" {\napi_key k\nmodels m\n}")
			g.URL = startNginx(t, g.URL, "proxy_read_timeout "+timeout+"; proxy_http_version 1.1;")
			resp := g.open(t, t.Context(), chatPath, streamBody).begin(t)
			if resp.StatusCode != want {
				t.Fatalf("status %d, want %d", resp.StatusCode, want)
			}
			if want != 200 {
				return
			}
			wantNext(t, resp, ping)
			close(pinged)
			text, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Errorf("the stream ended with %v", err)
			}
			if got := strings.ReplaceAll(string(text), ping, ""); got != chunk+"data: [DONE]\n\n" {
				t.Errorf("got %q", got)
			}
			if n := strings.Count(string(text), ping); n < 6 {
				t.Errorf("%d heartbeats, want one a second", n)
			}
		})
	}
}
