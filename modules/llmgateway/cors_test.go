package llmgateway

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// A gateway without keys is open to programs, and to web pages only if the
// configuration says so: any page that somebody visits could use and read a
// gateway at home.
func TestAnonymousHasNoCORS(t *testing.T) {
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		io.WriteString(w, completion)
	})
	channel := "channel a " + up.URL + " {\nauth none\nmodels m\n}\n"
	page := []string{"Authorization", "", "Content-Type", "text/plain", "Origin", "https://evil.example"}
	preflight := append(page, "Access-Control-Request-Method", "POST", "Access-Control-Request-Private-Network", "true")
	closed := func(t *testing.T, a answer) {
		t.Helper()
		for name := range a.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: %v", name, a.Header[name])
			}
		}
	}
	for name, option := range map[string]string{"default": "", "off": "cors off\n"} {
		t.Run(name, func(t *testing.T) {
			g := start(t, "anonymous\n"+option+channel)
			before := len(up.Requests())
			a := g.do(t, http.MethodOptions, "/v1/chat/completions", "", preflight...)
			a.wantStatus(t, 204)
			closed(t, a)
			for _, header := range [][]string{
				page, append(page, "Sec-Fetch-Site", "cross-site"), append(page, "Sec-Fetch-Site", "same-site"),
				{"Origin", "null"},
				{"Origin", "", "Sec-Fetch-Site", "cross-site"},
				{"Origin", g.URL + "0"},
			} {
				a := g.chat(t, "m", header...)
				a.wantError(t, 403, "origin_not_allowed")
				closed(t, a)
			}
			a = g.do(t, http.MethodGet, "/v1/models", "", page...)
			a.wantStatus(t, 200) // which the page cannot read
			closed(t, a)
			if n := len(up.Requests()); n != before {
				t.Errorf("%d requests of a page arrived", n-before)
			}
			for _, header := range [][]string{{}, {"Origin", g.URL}, {"Origin", "http://other.example", "Sec-Fetch-Site", "same-origin"}} {
				a := g.chat(t, "m", header...) // a program, and pages of the gateway's own site
				a.wantStatus(t, 200)
				closed(t, a)
			}
		})
	}
	t.Run("asked for", func(t *testing.T) {
		g := start(t, "anonymous\ncors https://chat.example\n"+channel)
		a := g.chat(t, "m", "Origin", "https://chat.example", "Sec-Fetch-Site", "cross-site")
		a.wantStatus(t, 200)
		if got := a.Header.Values("Access-Control-Allow-Origin"); len(got) != 1 || got[0] != "https://chat.example" {
			t.Errorf("Access-Control-Allow-Origin: %v", got)
		}
		g.chat(t, "m", page...).wantError(t, 403, "origin_not_allowed")
	})
	t.Run("for all", func(t *testing.T) {
		g := start(t, "anonymous\ncors *\n"+channel)
		a := g.chat(t, "m", append(page, "Sec-Fetch-Site", "cross-site")...)
		a.wantStatus(t, 200)
		if got := a.Header.Get("Access-Control-Allow-Origin"); got != "*" {
			t.Errorf("Access-Control-Allow-Origin: %q", got)
		}
	})
}

// OPTIONS is answered here, whether CORS is on or not.
func TestOptionsReachesNoChannel(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	for _, option := range []string{"", "cors off\n", "cors https://chat.example\n"} {
		g := start(t, option+"default_channel a\nchannel a "+up.URL+" {\napi_key k\nmodels m\n}")
		for _, path := range []string{"/v1/chat/completions", "/v1/files", "/other"} {
			g.do(t, http.MethodOptions, path, chatBody("m")).wantStatus(t, 204)
		}
	}
	if n := len(up.Requests()); n > 0 {
		t.Errorf("%d requests arrived", n)
	}
}
