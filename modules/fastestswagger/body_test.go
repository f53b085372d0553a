package fastestswagger_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// A body that is larger than request_buffers is sent once. What comes of that
// is the answer, and the next upstream is not blamed for a body that is gone.
func TestBodyBeyondBuffers(t *testing.T) {
	small, large := strings.Repeat("s", 1000), strings.Repeat("l", 3_000_000)
	for _, tc := range []struct {
		name   string
		first  http.HandlerFunc
		body   string
		sizes  bool // whether the client says how long the body is
		status int
		second int // requests to the other upstream
	}{
		{"small, 503", caddytest.Answer(http.StatusServiceUnavailable, "", ""), small, true, 200, 1},
		{"small, reset", caddytest.Reset, small, true, 200, 1},
		{"small, chunked", caddytest.Reset, small, false, 200, 1},
		{"large, 503", caddytest.Answer(http.StatusServiceUnavailable, "", ""), large, true, 503, 0},
		{"large, reset", caddytest.Reset, large, true, 502, 0},
		{"large, chunked", caddytest.Answer(http.StatusServiceUnavailable, "", ""), large, false, 503, 0},
		{"large, refused", nil, large, true, 200, 1},
		{"large, chunked, refused", nil, large, false, 200, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, b := newPlatform(t, tc.first), newPlatform(t, caddytest.Echo)
			s := start(t, "", stock, a, b)
			s.loaded(a, 100*time.Millisecond, swagger)
			s.loaded(b, 200*time.Millisecond, swagger)
			if tc.first == nil {
				a.Listener.Close()
				a.CloseClientConnections()
			}
			for range 4 { // more than max_fails
				var body io.Reader = strings.NewReader(tc.body)
				if !tc.sizes {
					body = struct{ io.Reader }{body}
				}
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+s.addr+"/upload", body)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := s.Client().Do(req)
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != tc.status || tc.status == 200 && !bytes.Equal(text, []byte(tc.body)) {
					t.Fatalf("status %d with %d bytes (%v), want %d", resp.StatusCode, len(text), err, tc.status)
				}
				if tc.status != 200 {
					break // the first one has failed once, and is asked again
				}
			}
			if n := len(b.api()); n < tc.second || tc.second == 0 && n != 0 {
				t.Errorf("the other upstream got %d requests", n)
			}
			var states []struct {
				Address string
				Fails   int
			}
			_, admin := s.Admin(http.MethodGet, "/reverse_proxy/upstreams")
			if err := json.Unmarshal(admin, &states); err != nil {
				t.Fatalf("%v: %s", err, admin)
			}
			seen := 0 // of the process, which also has upstreams of other tests
			for _, state := range states {
				switch state.Address {
				case a.Addr():
					seen++
				case b.Addr():
					seen++
					if state.Fails > 0 {
						t.Errorf("the other upstream is blamed for %d failures", state.Fails)
					}
				}
			}
			if seen != 2 {
				t.Errorf("%d of the two upstreams are known: %s", seen, admin)
			}
		})
	}
}
