package fastestswagger_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

const noneHasIt = "no upstream has the page"

// A page that no upstream has is one warning that says what to do, also when
// several policies load it, over loads and reloads.
func TestPageThatNobodyHas(t *testing.T) {
	missing := map[string]http.HandlerFunc{
		"404":                caddytest.JSON(http.StatusNotFound, `{"detail":"Not Found"}`),
		"405":                caddytest.Answer(http.StatusMethodNotAllowed, "", ""),
		"an app of one page": caddytest.Answer(http.StatusOK, "text/html", "<div id=root></div>"),
	}
	for name, answer := range missing {
		t.Run(name, func(t *testing.T) {
			a, b := newPlatform(t, caddytest.Echo), newPlatform(t, caddytest.Echo)
			s := start(t, "", "", a, b)
			s.loaded(a, 0, answer)
			if n := s.Logs.Count(noneHasIt); n != 0 {
				t.Errorf("%d warnings before all were loaded, want none", n)
			}
			s.loaded(b, 0, answer)
			s.Logs.Wait(t, `"warn"`, noneHasIt, page, "set `path` of fastest-swagger", "/ or the address of its health check")
			second := strings.Replace(proxy(s.addr, "", "", a, b), "reverse_proxy", "reverse_proxy /x", 1)
			s.Reload(strings.Replace(second, "\treverse_proxy /x", "\treverse_proxy "+a.URL+" "+b.URL+" {\n\tlb_policy fastest-swagger\n}\n\treverse_proxy /x", 1))
			s.again(2, a, b)
			s.loaded(a, 0, answer)
			s.loaded(b, 0, answer)
			if n := s.Logs.Count(noneHasIt); n != 1 {
				t.Errorf("%d warnings, want 1", n)
			}
			if n := s.Logs.Count("upstream is down"); n != 0 {
				t.Errorf("%d lines say that an upstream is down, want none", n)
			}
			if why := s.upstreams()[0].Why; !strings.Contains(why, "does not have the page") {
				t.Errorf("why is %q, want that it does not have the page", why)
			}
			for range 4 {
				if status, _ := s.do(http.MethodGet, ""); status != http.StatusOK {
					t.Errorf("status %d, want 200: requests go on", status)
				}
			}
		})
	}
}

// While one upstream has the page, or none could be asked, the page is not at
// fault. Once all have lost it, that is news again.
func TestPageThatOneHas(t *testing.T) {
	notFound := caddytest.Answer(http.StatusNotFound, "", "")
	for name, other := range map[string]http.HandlerFunc{"passes": swagger, "is broken": caddytest.Reset, "has failed": caddytest.Answer(503, "", "")} {
		t.Run(name, func(t *testing.T) {
			a, b := newPlatform(t, caddytest.Echo), newPlatform(t, caddytest.Echo)
			s := start(t, "", "", a, b)
			s.loaded(a, 0, notFound)
			s.loaded(b, 0, other)
			s.again(2, a, b)
			s.loaded(a, 0, notFound)
			if n := s.Logs.Count(noneHasIt); n != 0 {
				t.Errorf("%d warnings, want none", n)
			}
			s.loaded(b, 0, notFound)
			s.Logs.Wait(t, noneHasIt)
		})
	}
}

// Loads carry the header fields that upstreams want, and each load of the same
// page with others has a score of its own.
func TestHeaderOfLoads(t *testing.T) {
	t.Setenv("BYPASS", "s3cret-bypass")
	private := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Bypass") != "s3cret-bypass" || r.Header.Get("User-Agent") != "probe" || len(r.Header["X-Twice"]) != 2 {
			caddytest.Answer(http.StatusUnauthorized, "", "")(w, r)
			return
		}
		if r.URL.Path == page {
			http.Redirect(w, r, "/docs/", http.StatusFound) // the fields stay on within the upstream
			return
		}
		swagger(w, r)
	}
	const options = "header X-Bypass {env.BYPASS}\nheader X-Twice a\nheader X-Twice b\nheader user-agent: probe"
	loadOnce(t, caddytest.NewUpstream(t, private), options, "")
	loadOnce(t, caddytest.NewUpstream(t, private), "", "answered with status 401")

	up := caddytest.NewUpstream(t, private)
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, proxy(addr, "{\n"+options+"\n}", "", &platform{Upstream: up})+
		proxy(caddytest.Addr(t), "", "", &platform{Upstream: up}))
	s := &site{t: t, addr: addr, Caddy: c}
	eventually(t, func() bool {
		all := s.upstreams()
		return len(all) == 2 && all[0].LastProbe != nil && all[1].LastProbe != nil
	})
	if all := s.upstreams(); all[0].Failures+all[1].Failures != 1 {
		t.Errorf("got %+v, want one of two that fails", all)
	}
	if n := c.Logs.Count("s3cret-bypass"); n != 0 {
		t.Errorf("the secret is in %d lines of the log", n)
	}
	if _, body := s.Admin(http.MethodGet, "/config/"); strings.Contains(string(body), "s3cret-bypass") {
		t.Error("the configuration shows the secret")
	}
}

// What is no HTTP is quoted in an error, and can be what was sent: a query, or the
// value of a header.
func TestEcho(t *testing.T) {
	const sent = "GET /swagger/index.html?key=s3cret HTTP/1.1\r\nX-Key: s3cret\r\n\r\n"
	for came, want := range map[string]string{
		sent:                                  "net/http: HTTP/1.x transport connection broken: malformed HTTP status code …",
		"HTTP/1.1 200 OK\r\nX-s3cret\r\n\r\n": "net/http: HTTP/1.x transport connection broken: malformed MIME header: missing colon: …",
	} {
		up := caddytest.NewUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = conn.Write([]byte(came))
		})
		loadOnce(t, up, "path /swagger/index.html?key=s3cret", want)
	}
}
