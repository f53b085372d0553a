package statuspage_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/status"
	_ "github.com/caddy-freetier/caddy-freetier/modules/keepalive"
	_ "github.com/caddy-freetier/caddy-freetier/modules/statuspage"
)

// site returns a Caddyfile with a target that is pinged at once, and a site.
func site(target, addr, routes string) string {
	return fmt.Sprintf(`{
	keepalive {
		target api {
			url %s/health?token=secret-of-the-query
		}
	}
}
http://%s {
%s
}
`, target, addr, routes)
}

type response struct {
	status int
	header http.Header
	body   string
}

func get(t *testing.T, c *caddytest.Caddy, url string, header ...string) response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response{resp.StatusCode, resp.Header, string(body)}
}

func ping(t *testing.T, c *caddytest.Caddy) {
	t.Helper()
	if code, body := c.Admin(http.MethodPost, "/keepalive/targets/api/ping"); code != http.StatusOK {
		t.Fatalf("the ping: status %d: %s", code, body)
	}
}

// The page is at the root of a site, below a path, or below the prefix that
// handle_path has removed; without the slash at its end it redirects there. It
// serves its own names only.
func TestPlaces(t *testing.T) {
	target := caddytest.NewUpstream(t, caddytest.Answer(200, "text/plain", "ok"))
	for name, place := range map[string]struct{ routes, prefix, without, location string }{
		"the root":         {"status_page\nrespond \"next\" 299", "", "", ""},
		"a path":           {"status_page /up\nrespond \"next\" 299", "/up", "/up?a=b", "./up/?a=b"},
		"a path's pattern": {"status_page /up/*\nrespond \"next\" 299", "/up", "/up", "./up/"},
		"handle_path":      {"handle_path /a/b* {\nstatus_page\nrespond \"next\" 299\n}", "/a/b", "/a/b?lang=zh", "./b/?lang=zh"},
		"a host in a path": {"handle_path //evil.example* {\nstatus_page\nrespond \"next\" 299\n}", "//evil.example", "//evil.example", "./evil.example/"},
		"a matcher":        {"@get method GET\nstatus_page @get\nrespond \"next\" 299", "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			addr := caddytest.Addr(t)
			c := caddytest.Start(t, site(target.URL, addr, place.routes))
			base := "http://" + addr + place.prefix
			ping(t, c)
			page := get(t, c, base+"/")
			if page.status != http.StatusOK || !strings.Contains(page.body, "<th>api ") || !strings.Contains(page.header.Get("Content-Type"), "text/html") {
				t.Errorf("the page: status %d, %v: %s", page.status, page.header, page.body)
			}
			var s status.Status
			answer := get(t, c, base+"/status.json")
			if err := json.Unmarshal([]byte(answer.body), &s); err != nil || answer.status != http.StatusOK {
				t.Fatalf("status.json: status %d, %v: %s", answer.status, err, answer.body)
			}
			if len(s.Targets) != 1 || s.Targets[0].State != status.StateUp || s.Targets[0].LastStatus != 200 {
				t.Errorf("status.json: %s", answer.body)
			}
			for _, text := range []string{page.body, answer.body} {
				if strings.Contains(text, "secret-of-the-query") {
					t.Errorf("the query is shown: %s", text)
				}
			}
			for _, other := range []string{"/nothing", "/status.json/", "/events/x", "/x/"} {
				if got := get(t, c, base+other); got.status != 299 {
					t.Errorf("%s: status %d, want that of the next handler", other, got.status)
				}
			}
			if place.without != "" {
				got := get(t, c, "http://"+addr+place.without)
				if got.status != http.StatusPermanentRedirect || got.header.Get("Location") != place.location {
					t.Errorf("without the slash: status %d to %q, want %q", got.status, got.header.Get("Location"), place.location)
				}
			}
		})
	}
}

// The admin API has the same JSON, with a page and without.
func TestAdmin(t *testing.T) {
	target := caddytest.NewUpstream(t, caddytest.Answer(200, "text/plain", "ok"))
	for _, routes := range []string{"status_page", "respond ok"} {
		c := caddytest.Start(t, site(target.URL, caddytest.Addr(t), routes))
		ping(t, c)
		code, body := c.Admin(http.MethodGet, "/freetier/status")
		var s status.Status
		if err := json.Unmarshal(body, &s); err != nil || code != http.StatusOK || len(s.Targets) != 1 || s.Targets[0].Name != "api" {
			t.Errorf("%s: status %d, %v: %s", routes, code, err, body)
		}
		if code, _ := c.Admin(http.MethodPost, "/freetier/status"); code != http.StatusMethodNotAllowed {
			t.Errorf("%s: POST: status %d", routes, code)
		}
	}
	c := caddytest.Start(t, "http://"+caddytest.Addr(t)+" {\nrespond ok\n}")
	if code, body := c.Admin(http.MethodGet, "/freetier/status"); code != http.StatusOK || !strings.Contains(string(body), `"targets":[]`) {
		t.Errorf("without our modules: status %d: %s", code, body)
	}
}

func TestMistakes(t *testing.T) {
	for line, says := range map[string]string{
		"status_page up":         "begins with /",
		"status_page /a /b":      "too many values for status_page; write: status_page [<path>]",
		"status_page {\n\tx\n}":  "status_page takes no block",
		"status_page /{x}":       "no placeholder",
		"status_page @undefined": "unrecognized matcher name",
	} {
		_, err := caddytest.Adapt("http://127.0.0.1:1 {\n" + line + "\n}")
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "Caddyfile:2") {
			t.Errorf("%s: got %v, want an error that says %q, in line 2", line, err, says)
		}
	}
}
