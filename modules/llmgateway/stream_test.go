package llmgateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// Each event arrives before the upstream sends the next one.
func TestStreamAtOnce(t *testing.T) {
	events := make(chan string)
	up := caddytest.NewUpstream(t, caddytest.SSE(events))
	g := start(t, "channel a "+up.URL+" {\napi_key k\nmodels m\n}")
	sent := []string{chunk, ": comment\r\n\r\n", "data: é\n\n", "data: [DONE]\n\n"}
	go func() { events <- sent[0] }()
	resp := g.stream(t, t.Context())
	if ct := resp.Header.Get("Content-Type"); ct != "text/event-stream" {
		t.Errorf("Content-Type %q", ct)
	}
	reader := bufio.NewReader(resp.Body)
	for i, event := range sent {
		if i > 0 {
			events <- event
		}
		got := make([]byte, len(event))
		if _, err := io.ReadFull(reader, got); err != nil || string(got) != event {
			t.Fatalf("got %q (%v), want %q", got, err, event)
		}
	}
	close(events)
	if rest, err := io.ReadAll(reader); err != nil || len(rest) > 0 {
		t.Errorf("after the last event: %q, %v", rest, err)
	}
}

// The upstream call ends when the client leaves, in mid-stream and before the
// first byte.
func TestClientLeaves(t *testing.T) {
	t.Run("in mid-stream", func(t *testing.T) {
		events := make(chan string)
		up := caddytest.NewUpstream(t, caddytest.SSE(events))
		g := start(t, "channel a "+up.URL+" {\napi_key k\nmodels m\n}")
		ctx, cancel := context.WithCancel(t.Context())
		go func() { events <- chunk }()
		resp := g.stream(t, ctx)
		if _, err := resp.Body.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		cancel()
		up.WaitLeft(t)
	})
	t.Run("before the first byte", func(t *testing.T) {
		up := caddytest.NewUpstream(t, caddytest.Hang)
		other := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
		g := start(t, "lb_policy first\nchannel a "+up.URL+" {\napi_key k\nmodels m\n}\nchannel b "+other.URL+" {\napi_key k\nmodels m\n}")
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+"/v1/chat/completions", strings.NewReader(chatBody("m")))
		req.Header.Set("Authorization", "Bearer alice-key")
		done := make(chan error, 1)
		go func() {
			_, err := g.client.Do(req)
			done <- err
		}()
		up.Next(t)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the client got %v", err)
		}
		up.WaitLeft(t)
		g.Logs.Wait(t, "http.log.access", `"status":499`)
		if len(other.Requests()) > 0 {
			t.Error("another channel was asked for a client that had left")
		}
	})
}

// brokeOff ends a chat's stream that the channel has cut off.
const brokeOff = `data: {"error":{"code":"server_error","message":"The channel's response broke off.","param":null,"type":"api_error"}}` + "\n\n"

// A stream that is cut off ends with an error, never as complete.
func TestStreamCutOff(t *testing.T) {
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: 1\n\n")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	g := start(t, "channel a "+up.URL+" {\napi_key k\nmodels m\n}")
	resp := g.stream(t, t.Context())
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("the stream ended with %v", err)
	}
	if string(text) != "data: 1\n\n"+brokeOff {
		t.Errorf("got %q", text)
	}
}

// readFull fills p from an answer, and returns the answer's own error.
func readFull(resp *http.Response, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = resp.Body.Read(p[n:])
		n += m
	}
	if n == len(p) {
		err = nil
	}
	return n, err
}
