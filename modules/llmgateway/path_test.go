package llmgateway

import (
	"net/http"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// No request leaves the path of a channel's URL.
func TestDotSegments(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "default_channel a\nchannel a "+up.URL+"/team/v1 {\napi_key k\nmodels m\n}")
	for _, path := range []string{
		"/v1/../../admin", "/v1/..", "/v1/./chat/completions", "/v1/%2e%2e/%2E./admin", "/../v1/chat/completions", "/v1beta/models/../m:generateContent",
	} {
		for _, body := range []string{chatBody("m"), ""} {
			if a := g.do(t, http.MethodPost, path, body); a.StatusCode != http.StatusBadRequest {
				t.Errorf("%s: status %d", path, a.StatusCode)
			}
		}
	}
	for path, want := range map[string]string{
		"/v1/files/..a.": "/team/v1/files/..a.", "/v1/files/.b": "/team/v1/files/.b", "/v1/files/a..b": "/team/v1/files/a..b",
	} {
		g.do(t, http.MethodDelete, path, "").wantStatus(t, 200)
		if got := up.Next(t).URI; got != want {
			t.Errorf("%s became %s, want %s", path, got, want)
		}
	}
}
