package freetier_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// recipes are the Caddyfiles that show the policy with the options that go with
// it, by where they stand.
func recipes(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, file := range []string{"README.md", "docs/README.zh-CN.md", "docs/fastest-swagger.md"} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, match := range block.FindAllSubmatch(content, -1) {
			if text := string(match[1]); strings.Contains(text, "lb_policy fastest-swagger") && strings.Contains(text, "lb_retries") {
				all[fmt.Sprintf("%s, block %d", file, i+1)] = text
			}
		}
	}
	content, err := os.ReadFile("Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	site := regexp.MustCompile(`(?ms)^\{\$API_DOMAIN:.*?^\}\n`).Find(content)
	all["Caddyfile.example"] = string(site)
	if len(all) != 5 {
		t.Fatalf("there are %d recipes, want 5", len(all))
	}
	return all
}

// serve makes a recipe a site on addr that goes to the given upstreams, and
// changes nothing else of it.
func serve(t *testing.T, recipe, addr string, upstreams ...*caddytest.Upstream) string {
	t.Helper()
	proxy := regexp.MustCompile(`reverse_proxy [^\n]*\{\n`)
	body := recipe[strings.Index(recipe, "reverse_proxy"):]
	if !strings.HasPrefix(recipe, "reverse_proxy") {
		body = strings.TrimSuffix(strings.TrimSpace(body), "}")
	}
	urls := ""
	for _, u := range upstreams {
		urls += " " + u.URL
	}
	body = proxy.ReplaceAllLiteralString(body, "reverse_proxy"+urls+" {\n")
	return "http://" + addr + " {\n" + body + "}\n"
}

// app is a copy of an API whose URLs say in their path what becomes of them.
func app(t *testing.T, name string) *caddytest.Upstream {
	return caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		path, only, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "-on-")
		if only != "" && only != name {
			path = "hello"
		}
		switch path {
		case "swagger/index.html":
			caddytest.Answer(http.StatusOK, "text/html", "<title>Swagger UI</title>")(w, r)
		case "reset":
			caddytest.Reset(w, r)
		case "500", "502", "503", "504":
			var status int
			fmt.Sscan(path, &status)
			caddytest.JSON(status, `{"detail":"bug in this URL"}`)(w, r)
		default:
			caddytest.Echo(w, r)
		}
	})
}

// A URL that fails affects only itself, be it on one copy of the API or on all,
// and a request is repeated only if that does no harm. This is what the
// documented text itself does.
func TestRecipe(t *testing.T) {
	for name, recipe := range recipes(t) {
		t.Run(name, func(t *testing.T) {
			for _, copies := range []int{1, 2} {
				t.Run(fmt.Sprint(copies), func(t *testing.T) { testRecipe(t, recipe, copies) })
			}
		})
	}
}

func testRecipe(t *testing.T, recipe string, copies int) {
	addr := caddytest.Addr(t)
	r := &recipeTest{T: t, site: "http://" + addr, upstreams: []*caddytest.Upstream{app(t, "a"), app(t, "b")}[:copies]}
	r.caddy = caddytest.Start(t, serve(t, recipe, addr, r.upstreams...))
	r.client = r.caddy.Client()
	r.healthy()
	r.errorsOfTheApp()
	if copies == 2 {
		r.faultsOfOneCopy()
	}
	r.postsOnce()
	r.faultsOfAllCopies()
	if copies == 2 { // whatever the method, the other one answers
		r.upstreams[0].Listener.Close()
		r.upstreams[0].CloseClientConnections()
		r.healthy()
	}
}

// recipeTest is a recipe that runs with one or two copies of an API.
type recipeTest struct {
	*testing.T
	caddy     *caddytest.Caddy
	client    *http.Client
	site      string
	upstreams []*caddytest.Upstream
}

func (r *recipeTest) do(method, path string, body []byte) (int, string) {
	r.Helper()
	req, err := http.NewRequestWithContext(r.Context(), method, r.site+path, bytes.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		r.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// asked returns how many requests with a path the upstreams got.
func (r *recipeTest) asked(path string) (n int) {
	for _, u := range r.upstreams {
		for _, got := range u.Requests() {
			if got.URI == path {
				n++
			}
		}
	}
	return n
}

// healthy requires other URLs to work, with and without a body.
func (r *recipeTest) healthy() {
	r.Helper()
	for range 2 {
		if status, _ := r.do(http.MethodGet, "/hello", nil); status != http.StatusOK {
			r.Fatalf("/hello: status %d", status)
		}
		if status, text := r.do(http.MethodPost, "/hello", []byte("order")); status != http.StatusOK || text != "order" {
			r.Fatalf("POST /hello: status %d, %q", status, text)
		}
	}
}

// An error of the app reaches the client, and counts for nothing.
func (r *recipeTest) errorsOfTheApp() {
	for range 5 {
		if status, text := r.do(http.MethodGet, "/500", nil); status != 500 || text != `{"detail":"bug in this URL"}` {
			r.Errorf("/500: status %d, %q", status, text)
		}
		r.healthy()
	}
	if n := r.asked("/500"); n != 5 {
		r.Errorf("/500 was asked for %d times, want 5", n)
	}
	if fails := fails(r.T, r.caddy); fails != 0 {
		r.Errorf("after a 500 the upstreams have %d failures", fails)
	}
}

// After an upstream's fault on one copy the other takes over.
func (r *recipeTest) faultsOfOneCopy() {
	for _, path := range []string{"/502-on-a", "/503-on-b", "/504-on-a", "/reset-on-b"} {
		for _, method := range []string{http.MethodGet, http.MethodPut} {
			if status, text := r.do(method, path, []byte("whole")); status != http.StatusOK || text != "whole" {
				r.Errorf("%s %s: status %d, %q", method, path, status, text)
			}
		}
	}
	r.healthy()
}

// A POST is sent once, and answered as the app does.
func (r *recipeTest) postsOnce() {
	for _, path := range []string{"/502", "/503", "/504"} {
		if status, text := r.do(http.MethodPost, path, []byte("order")); fmt.Sprint("/", status) != path || !strings.Contains(text, "bug") {
			r.Errorf("POST %s: status %d, %q", path, status, text)
		}
		if n := r.asked(path); n != 1 {
			r.Errorf("POST %s reached the app %d times", path, n)
		}
	}
	if status, _ := r.do(http.MethodPost, "/reset", []byte("order")); status != http.StatusBadGateway || r.asked("/reset") != 1 {
		r.Errorf("POST /reset: status %d, it reached the app %d times", status, r.asked("/reset"))
	}
	r.healthy()
}

// After an upstream's fault on all copies, again and again, only that URL fails. Of
// a body beyond the buffers the failure is that of the one that got it.
func (r *recipeTest) faultsOfAllCopies() {
	for _, path := range []string{"/502", "/503", "/504", "/reset"} {
		for range 5 {
			if status, _ := r.do(http.MethodGet, path, nil); status < 502 {
				r.Errorf("%s: status %d", path, status)
			}
			r.healthy()
		}
	}
	if status, _ := r.do(http.MethodPut, "/503", bytes.Repeat([]byte("x"), 3_000_000)); status != http.StatusServiceUnavailable {
		r.Errorf("PUT /503 of 3 MB: status %d", status)
	}
	r.healthy()
}

// fails counts the failures that Caddy remembers.
func fails(t *testing.T, c *caddytest.Caddy) (n int) {
	t.Helper()
	var states []struct{ Fails int }
	_, admin := c.Admin(http.MethodGet, "/reverse_proxy/upstreams")
	if err := json.Unmarshal(admin, &states); err != nil {
		t.Fatalf("%v: %s", err, admin)
	}
	for _, state := range states {
		n += state.Fails
	}
	return n
}

// The second block of the documentation lets a POST be repeated where it says.
func TestRecipeRepeatsPOST(t *testing.T) {
	found := false
	for name, recipe := range recipes(t) {
		if !strings.Contains(recipe, "method POST") {
			recipe = strings.Replace(recipe, "PUT DELETE", "PUT DELETE POST", 1)
		} else {
			found = true
		}
		t.Run(name, func(t *testing.T) {
			addr := caddytest.Addr(t)
			a, b := app(t, "a"), app(t, "b")
			broken := func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/swagger/index.html" {
					caddytest.Answer(http.StatusOK, "text/html", "<title>Swagger UI</title>")(w, r)
					return
				}
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			a.Handle(broken)
			c := caddytest.Start(t, serve(t, recipe, addr, a, b))
			for range 5 {
				resp, err := c.Client().Post("http://"+addr+"/search", "text/plain", strings.NewReader("what"))
				if err != nil {
					t.Fatal(err)
				}
				text, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK || string(text) != "what" {
					t.Errorf("status %d, %q", resp.StatusCode, text)
				}
			}
		})
	}
	if !found {
		t.Error("the documentation shows no POST that is repeated")
	}
}
