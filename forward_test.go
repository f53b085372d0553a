package freetier_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// The four forms of forwarding by URL, as the example shows them, over the
// upstreams that its variables name. What is forwarded stays as it was, but
// for what the form is there for.
func TestForwardByURL(t *testing.T) {
	upstream := caddytest.NewUpstream(t, caddytest.Echo)
	e := newExample(t, map[string]string{
		"FORWARD_URL_1":    upstream.URL,
		"FORWARD_URL_2":    upstream.URL,
		"FORWARD_URL_3":    upstream.URL,
		"FORWARD_HOST_URL": upstream.URL,
	})
	e.start(t, "127.0.0.1", "localhost")
	host := "127.0.0.1:" + e.ports["8082"]
	const (
		paths = "http://127.0.0.1:8082"
		rest  = "/a%2Fb//c%20d/?q=1&q=%20&q"
	)
	for _, test := range []struct {
		name, url, uri, host string
		forwarding           bool // with the headers that tell who asked
	}{
		{"by path", paths + "/one" + rest, "/one" + rest, host, true},
		{"base path", paths + "/two" + rest, "/base/path" + rest, host, true},
		{"base path, other case", paths + "/Two" + rest, "/base/path" + rest, host, true},
		{"without forwarding headers", paths + "/three" + rest, "/three" + rest, host, false},
		{"by host", "http://127.0.0.1:8083" + rest, rest, "127.0.0.1:" + e.ports["8083"], true},
	} {
		t.Run(test.name, func(t *testing.T) {
			const body = `{"model": "gpt-4"}`
			status, answer := e.do(t, test.url, "of-the-client", body)
			if status != http.StatusOK || answer != body {
				t.Errorf("status %d, answer %q", status, answer)
			}
			got := upstream.Next(t)
			if got.Method != http.MethodPost || got.URI != test.uri || got.Host != test.host || string(got.Body) != body {
				t.Errorf("got %s %s on %s with %s", got.Method, got.URI, got.Host, got.Body)
			}
			if key := got.Header.Get("Authorization"); key != "Bearer of-the-client" {
				t.Errorf("the key became %q", key)
			}
			forwarding := 0
			for name := range got.Header {
				if strings.HasPrefix(name, "X-Forwarded-") || name == "Via" || name == "Forwarded" {
					forwarding++
				}
			}
			if want := map[bool]int{true: 4, false: 0}[test.forwarding]; forwarding != want {
				t.Errorf("%d forwarding headers, want %d: %v", forwarding, want, got.Header)
			}
		})
	}
	t.Run("no such path", func(t *testing.T) {
		before := len(upstream.Requests())
		if status, _ := e.do(t, paths+"/four", "", ""); status != http.StatusNotFound {
			t.Errorf("status %d", status)
		}
		if n := len(upstream.Requests()); n != before {
			t.Errorf("the upstream got %d requests", n)
		}
	})
}
