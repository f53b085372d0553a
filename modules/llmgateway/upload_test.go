package llmgateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// A body that is too large for memory reaches each upstream to the byte, over
// HTTP/1.1, 2 and 3, chunked, and with Expect: 100-continue.
func TestVeryLargeBody(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	busy := caddytest.NewUpstream(t, caddytest.JSON(422, "{}"))
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g, clients := startTLS(t, `
		client alice alice-key
		lb_policy first
		retry_on 422
		channel busy `+busy.URL+` {
			api_key k
			models m as first-name
		}
		channel up `+up.URL+` {
			api_key k
			models m as second-name
		}`)
	body := func(model string) string {
		return `{"a":"` + strings.Repeat("0123456789ä", 800_000) + `","model":"` + model + `","b":"` + strings.Repeat("x", 1000) + `"}`
	}
	sent := body("m")
	for _, tc := range []struct {
		name, proto     string
		chunked, expect bool
	}{
		{"HTTP/1.1", "HTTP/1.1", false, false},
		{"HTTP/1.1, chunked", "HTTP/1.1", true, false},
		{"HTTP/1.1, 100-continue", "HTTP/1.1", false, true},
		{"HTTP/2", "HTTP/2.0", false, false},
		{"HTTP/3", "HTTP/3.0", true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			content := io.Reader(strings.NewReader(sent))
			if tc.chunked {
				content = struct{ io.Reader }{content}
			}
			req, _ := http.NewRequest(http.MethodPost, g.URL+"/v1/chat/completions", content)
			req.Header.Set("Authorization", "Bearer alice-key")
			if tc.expect {
				req.Header.Set("Expect", "100-continue")
			}
			resp, err := clients[tc.proto].Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if text, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || resp.Proto != tc.proto || string(text) != completion {
				t.Fatalf("%s, status %d: %s", resp.Proto, resp.StatusCode, text)
			}
			for up, model := range map[*caddytest.Upstream]string{busy: "first-name", up: "second-name"} {
				got := up.Next(t)
				if want := body(model); !bytes.Equal(got.Body, []byte(want)) || got.ContentLength != int64(len(want)) {
					t.Errorf("%s: %d bytes arrived, want %d", model, len(got.Body), len(want))
				}
				if got.Header.Get("Expect") != "" {
					t.Error("Expect was passed on")
				}
			}
		})
	}
	g.client.CloseIdleConnections()
	g.Stop()
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("%s is left", entries[0].Name())
	}
	noFiles(t, dir)
}

// A key that is wrong, or a body that is announced as too large, is refused
// before the client is told to send it.
func TestExpectRefused(t *testing.T) {
	g := start(t, "max_body 1MB\nchannel a http://127.0.0.1:1 {\napi_key k\nmodels m\n}")
	for _, tc := range []struct {
		key    string
		length int
		want   string
	}{{"wrong", 1000, "401"}, {"alice-key", 2_000_000, "413"}} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", strings.TrimPrefix(g.URL, "http://"), tc.key, tc.length)
		line := make([]byte, 12)
		if _, err := io.ReadFull(conn, line); err != nil || string(line) != "HTTP/1.1 "+tc.want {
			t.Errorf("got %q (%v), want %s", line, err, tc.want)
		}
		conn.Close()
	}
}

// Uploads that are slow or aborted reach no channel, and leave nothing behind.
func TestAbortedUploads(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	before := caddytest.Goroutines()
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "channel a "+up.URL+" {\napi_key k\nmodels m\n}")
	for _, size := range []int{10, 100_000, 12_000_000} {
		for range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			r, w := io.Pipe()
			req, _ := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+"/v1/chat/completions", r)
			req.Header.Set("Authorization", "Bearer alice-key")
			done := make(chan struct{})
			go func() {
				defer close(done)
				if resp, err := g.client.Do(req); err == nil {
					resp.Body.Close()
				}
			}()
			fmt.Fprint(w, `{"model":"m","x":"`+strings.Repeat("x", size))
			cancel()
			w.Close()
			<-done
		}
	}
	g.client.CloseIdleConnections()
	g.Stop()
	if n := len(up.Requests()); n > 0 {
		t.Errorf("%d of them reached the channel", n)
	}
	up.Close()
	caddytest.NoLeak(t, before)
	noFiles(t, dir)
}

// noFiles waits until the process has no file of a folder open.
func noFiles(t testing.TB, dir string) {
	t.Helper()
	open := ""
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		open = ""
		fds, _ := os.ReadDir("/proc/self/fd") // none on systems without it
		for _, fd := range fds {
			if name, _ := os.Readlink("/proc/self/fd/" + fd.Name()); strings.HasPrefix(name, dir) {
				open = name
			}
		}
		if open == "" {
			return
		}
	}
	t.Errorf("%s is open", open)
}
