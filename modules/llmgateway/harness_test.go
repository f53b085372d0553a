package llmgateway

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// testGateway is a running gateway and a client of it.
type testGateway struct {
	*caddytest.Caddy
	URL    string
	client *http.Client
}

// start runs a gateway with the given options. Where they name no client there
// is one, alice, with the key "alice-key".
func start(t testing.TB, options string) *testGateway {
	t.Helper()
	if !strings.Contains(options, "client") && !strings.Contains(options, "anonymous") {
		options = "client alice alice-key\n" + options
	}
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, options))
	return &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}
}

func site(addr, options string) string {
	return fmt.Sprintf("{\n\tservers {\n\t\ttrace\n\t}\n}\nhttp://%s {\n\tlog\n\tllm_gateway {\n%s\n\t}\n}\n", addr, options)
}

// answer is what the gateway has answered.
type answer struct {
	*http.Response
	text string
}

// do sends a request, with alice's key unless header has another.
func (g *testGateway) do(t testing.TB, method, path, body string, header ...string) answer {
	t.Helper()
	a, err := g.try(t, method, path, body, header...)
	if err != nil {
		t.Fatalf("reading the answer: %v", err)
	}
	return a
}

// try is do for answers that may be cut off.
func (g *testGateway) try(t testing.TB, method, path, body string, header ...string) (answer, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, g.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body == "" {
		req.Body, req.ContentLength = http.NoBody, 0
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer alice-key")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
		if header[i+1] == "" {
			req.Header.Del(header[i])
		}
	}
	resp, err := g.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp, string(text)}, err
}

// handshake asks for a WebSocket that is not opened.
func (g *testGateway) handshake(t testing.TB, path string, header ...string) answer {
	t.Helper()
	return g.do(t, http.MethodGet, path, "", append([]string{
		"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "x3JJHMbDL1EzLkh9GBhXDw==",
	}, header...)...)
}

// chat sends a small chat.
func (g *testGateway) chat(t testing.TB, model string, header ...string) answer {
	t.Helper()
	return g.do(t, http.MethodPost, "/v1/chat/completions", chatBody(model), header...)
}

func chatBody(model string) string {
	return fmt.Sprintf(`{"messages":[{"role":"user","content":"Grüß dich"}], "model" : %q,"temperature":0.50}`, model)
}

func (a answer) wantStatus(t testing.TB, status int) {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("status %d, want %d: %s", a.StatusCode, status, a.text)
	}
}

// wantError checks OpenAI's error envelope.
func (a answer) wantError(t testing.TB, status int, code string) {
	t.Helper()
	a.wantStatus(t, status)
	var envelope struct {
		Error struct {
			Message string
			Type    string
			Code    *string
		}
	}
	if err := json.Unmarshal([]byte(a.text), &envelope); err != nil {
		t.Fatalf("not an error of OpenAI's form: %v: %s", err, a.text)
	}
	got := ""
	if envelope.Error.Code != nil {
		got = *envelope.Error.Code
	}
	if got != code || envelope.Error.Message == "" || envelope.Error.Type == "" {
		t.Errorf("code %q, want %q: %s", got, code, a.text)
	}
	if ct := a.Header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("Content-Type %q", ct)
	}
}

// anyOutput is output in every dialect.
const anyOutput = `{"choices":[{"message":{"content":"hello"}}],"output":["hello"],"content":[{"type":"text","text":"hello"}],"candidates":[{"finishReason":"STOP"}]}`

const completion = `{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}]}`

// modelsOf lists what a key may use, as owner/name.
func (g *testGateway) modelsOf(t testing.TB, key string) string {
	t.Helper()
	a := g.do(t, http.MethodGet, "/v1/models", "", "Authorization", "Bearer "+key)
	a.wantStatus(t, 200)
	var list struct {
		Data []struct {
			ID      string
			OwnedBy string `json:"owned_by"`
		}
	}
	if err := json.Unmarshal([]byte(a.text), &list); err != nil {
		t.Fatalf("%v: %s", err, a.text)
	}
	var names []string
	for _, m := range list.Data {
		names = append(names, m.OwnedBy+"/"+m.ID)
	}
	return strings.Join(names, " ")
}

// waitForModels waits until alice's list is as wanted.
func (g *testGateway) waitForModels(t testing.TB, want string) {
	t.Helper()
	// The delays grow, since a client may list models 60 times a minute.
	deadline := time.Now().Add(20 * time.Second)
	for delay := 5 * time.Millisecond; ; delay = min(2*delay, time.Second) {
		got := g.modelsOf(t, "alice-key")
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %s, want %s", got, want)
		}
		time.Sleep(delay)
	}
}

// asking sends a chat in the background, and tells its status.
func (g *testGateway) asking(ctx context.Context, t testing.TB, model, prompt string) <-chan int {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+"/v1/chat/completions", strings.NewReader(fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}]}`, model, prompt)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer alice-key")
	req.Header.Set("Content-Type", "application/json")
	done := make(chan int, 1)
	go func() {
		resp, err := g.client.Do(req)
		if err != nil {
			done <- 0
			return
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		done <- resp.StatusCode
	}()
	return done
}

// chatOf asks in a conversation of its own.
func (g *testGateway) chatOf(t testing.TB, conversation, model string) answer {
	t.Helper()
	return g.do(t, http.MethodPost, "/v1/chat/completions", fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}]}`, model, conversation))
}

// exchange sends bytes that net/http would not, with the gateway's own address
// in place of `Host: gateway`, and returns the response.
func (g *testGateway) exchange(t testing.TB, request string) answer {
	t.Helper()
	host := strings.TrimPrefix(g.URL, "http://")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, strings.Replace(request, "Host: gateway", "Host: "+host, 1)); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	text, _ := io.ReadAll(resp.Body) // of an unfinished exchange
	resp.Body.Close()
	return answer{resp, string(text)}
}

// cooldowns returns what the admin API shows, by channel and key, "" for the
// channel itself.
func (g *testGateway) cooldowns(t testing.TB) map[string][]cooldownState {
	t.Helper()
	_, body := g.Admin(http.MethodGet, "/llm-gateway/channels")
	var states []channelState
	if err := json.Unmarshal(body, &states); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	found := make(map[string][]cooldownState)
	for _, c := range states {
		if len(c.Cooldowns) > 0 {
			found[c.Name] = c.Cooldowns
		}
		for _, k := range c.Keys {
			if len(k.Cooldowns) > 0 {
				found[c.Name+" "+k.Key] = k.Cooldowns
			}
		}
	}
	return found
}

// raw sends bytes as they are and returns what comes back until a moment
// without anything.
func (g *testGateway) raw(t testing.TB, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, request)
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	text, _ := io.ReadAll(bufio.NewReader(conn))
	return string(text)
}

// stream opens a streamed chat.
func (g *testGateway) stream(t testing.TB, ctx context.Context) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+"/v1/chat/completions", strings.NewReader(chatBody("m")))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer alice-key")
	resp, err := g.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}
