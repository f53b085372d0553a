package fastestswagger_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// swaggerPage is the page that Swagger UI's own distribution has, in short.
const swaggerPage = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="UTF-8">
<title>Swagger UI</title>
<link rel="stylesheet" type="text/css" href="./swagger-ui.css" />
</head>
<body>
<div id="swagger-ui"></div>
<script src="./swagger-ui-bundle.js" charset="UTF-8"></script>
</body>
</html>`

func withHeader(name, value string, status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(name, value)
		caddytest.Answer(status, "text/html; charset=utf-8", body)(w, r)
	}
}

// What answers in place of the page does not pass, whatever its status, and
// the admin API says what it is.
func TestImpostors(t *testing.T) {
	html := func(body string) http.HandlerFunc {
		return caddytest.Answer(http.StatusOK, "text/html; charset=utf-8", body)
	}
	for name, test := range map[string]struct {
		answer  http.HandlerFunc
		options string
		want    string // the error; empty: it passes
	}{
		"Swagger UI":            {html(swaggerPage), "", ""},
		"Render wakes it up":    {html("<h1>SERVICE WAKING UP ...</h1>"), "", "the platform is waking it up"},
		"with the wanted text":  {html("<title>swagger-ui</title> APPLICATION LOADING"), "contains swagger-ui", "the platform is waking it up"},
		"by the header":         {withHeader("X-Render-Routing", "hibernate-wake-error", 503, ""), "", "the platform is waking it up"},
		"Streamlit sleeps":      {html("<button>Yes, get this app back up!</button>"), "", "the platform is waking it up"},
		"Cloudflare challenges": {withHeader("Cf-Mitigated", "challenge", 403, "<title>Just a moment...</title>"), "", "answered with a check for browsers"},
		"a free host checks":    {html(`<script type="text/javascript" src="/aes.js" ></script>`), "", "answered with a check for browsers"},
		"ngrok warns":           {withHeader("Ngrok-Error-Code", "ERR_NGROK_6024", 200, "<title>ngrok</title>"), "", "answered with a page of its tunnel"},
		"login":                 {html(`<form><input name=u><input class="x" type='password' name=p></form>`), "", "answered with a login page"},
		"login that is wanted":  {html(`Sign in to swagger-ui <input type="password">`), "contains swagger-ui", ""},
		"error page":            {html("<html><head><title>502 Bad Gateway</title>"), "", "answered with an error page"},
		"error in words":        {html("<title>\n Application Error</title>"), "", "answered with an error page"},
		"a title with a number": {html("<title>404 ways to cook rice</title>"), "contains rice", ""},
		"an API for errors":     {html("<title>Error reports API</title>"), "", ""},
		"no HTML":               {caddytest.JSON(200, `{"html":"<input type=\"password\">"}`), "", ""},
		"no text, but a login":  {html(`<input type="password">`), "contains swagger-ui", "answered with a login page"},
		"no text":               {html(`hello`), "contains swagger-ui", "the page does not contain the expected text"},
		"beyond what is read":   {html(strings.Repeat(" ", 64<<10) + `<input type="password">`), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			loadOnce(t, caddytest.NewUpstream(t, test.answer), test.options, test.want)
		})
	}
}

// Redirects are followed within the upstream, the whole being one load.
func TestRedirects(t *testing.T) {
	to := func(status int, location string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/docs/" && r.URL.RawQuery == "lang=en" {
				caddytest.Answer(http.StatusOK, "text/html", swaggerPage)(w, r)
				return
			}
			w.Header().Set("Location", strings.ReplaceAll(location, "HOST", r.Host))
			w.WriteHeader(status)
		}
	}
	for name, test := range map[string]struct {
		answer  http.HandlerFunc
		options string
		want    string
	}{
		"to a path":          {to(302, "/docs/?lang=en"), "", ""},
		"to a relative path": {to(301, "../docs/?lang=en"), "", ""},
		"to the same host":   {to(308, "http://HOST/docs/?lang=en"), "", ""},
		"to another host":    {to(302, "http://login.example/?secret"), "", "redirects with status 302 to login.example"},
		"to another port":    {to(302, "http://127.0.0.1:1/"), "", "redirects with status 302 to 127.0.0.1:1"},
		"to another scheme":  {to(301, "https://HOST/docs/?lang=en"), "", "redirects with status 301 to https"},
		"in a circle":        {to(302, "/swagger/index.html"), "", "redirects too often"},
		"to nowhere":         {to(302, "http://[::1"), "", "redirects with status 302 to nowhere"},
		"without Location":   {caddytest.Answer(302, "", ""), "", "answered with status 302"},
		"as expected":        {to(302, "http://login.example/"), "expect 3xx", ""},
	} {
		t.Run(name, func(t *testing.T) {
			loadOnce(t, caddytest.NewUpstream(t, test.answer), test.options, test.want)
		})
	}
}

// loadOnce runs a proxy to an upstream until its page was loaded once, and
// checks what came of it.
func loadOnce(t *testing.T, up *caddytest.Upstream, options, want string) {
	t.Helper()
	addr := caddytest.Addr(t)
	s := &site{t: t, addr: addr, Caddy: caddytest.Start(t, proxy(addr, "{\n"+options+"\n}", "", &platform{Upstream: up}))}
	eventually(t, func() bool { return s.upstreams()[0].LastProbe != nil })
	if got := s.upstreams()[0].LastError; got != want {
		t.Errorf("the load's error is %q, want %q", got, want)
	}
}
