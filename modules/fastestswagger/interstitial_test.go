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

// notSwagger is what a page at the default path lacks.
const notSwagger = "the page does not look like Swagger: there is no `swagger` in it; " +
	"set `contains` to a text that it has, or `path` to another page"

func withHeader(name, value string, status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(name, value)
		caddytest.Answer(status, "text/html; charset=utf-8", body)(w, r)
	}
}

// What answers in place of the page does not pass, whatever its status, and
// the admin API says what it is.
func TestInterstitialPages(t *testing.T) {
	html := func(body string) http.HandlerFunc {
		return caddytest.Answer(http.StatusOK, "text/html; charset=utf-8", body)
	}
	for name, test := range map[string]struct {
		answer  http.HandlerFunc
		options string
		want    string // the error; empty: it passes
	}{
		"Swagger UI":            {html(swaggerPage), "", ""},
		"Render wakes it up":    {html("<h1>SERVICE WAKING UP ...</h1>"), "", "the platform is waking it up (Render)"},
		"with the wanted text":  {html("<title>swagger-ui</title> APPLICATION LOADING"), "contains swagger-ui", "the platform is waking it up (Render)"},
		"by the header":         {withHeader("X-Render-Routing", "hibernate-wake-error", 503, ""), "", "the platform is waking it up (Render)"},
		"Render has suspended":  {caddytest.Answer(503, "text/plain", "This service has been suspended by its owner."), "", "the platform has stopped it (Render)"},
		"Render, by the header": {withHeader("X-Render-Routing", "suspend-by-user", 200, swaggerPage), "", "the platform has stopped it (Render)"},
		"nothing on Render":     {withHeader("X-Render-Routing", "no-server", 404, "Not Found"), "", "the platform has nothing running there (Render)"},
		"Streamlit sleeps":      {html("<button>Yes, get this app back up!</button>"), "", "the platform is waking it up (Streamlit)"},
		"a Space sleeps":        {html("<h1>Space is sleeping due to inactivity</h1>"), "", "the platform is waking it up (Hugging Face)"},
		"a Space is paused":     {html("<h1>This Space is paused.</h1> swagger"), "", "the platform has stopped it (Hugging Face)"},
		"nothing on Railway":    {withHeader("X-Railway-Fallback", "true", 404, `{"message":"Application not found"}`), "", "the platform has nothing running there (Railway)"},
		"Railway, by the text":  {html("<h1>The train has not arrived at the station.</h1>"), "", "the platform has nothing running there (Railway)"},
		"nothing on Koyeb":      {caddytest.Answer(404, "text/html", "<h1>404</h1><p>No active service</p>"), "", "the platform has nothing running there (Koyeb)"},
		"it crashed on Zeabur":  {caddytest.Answer(502, "text/html", "<h1>Service Crashed</h1><p>There seems to be some errors occurred in this service.</p>"), "", "the platform has nothing running there (Zeabur)"},
		"Replit wakes it up":    {html("<title>Run this Repl to see the results here.</title>"), "", "the platform is waking it up (Replit)"},
		"Azure has stopped it":  {caddytest.Answer(403, "text/html", "<h1>Error 403 - This web app is stopped.</h1>"), "", "the platform has stopped it (Azure)"},
		"nothing on Azure":      {html("Your web app is running and waiting for your content"), "", "answered with the welcome page of a web server without content (Azure)"},
		"nothing on Heroku":     {html(`<iframe src="//www.herokucdn.com/error-pages/no-such-app.html"></iframe>`), "", "the platform has nothing running there (Heroku)"},
		"it crashed on Heroku":  {html(`<iframe src="//www.herokucdn.com/error-pages/application-error.html"></iframe>`), "", "answered with an error page (Heroku)"},
		"nothing on Vercel":     {withHeader("X-Vercel-Error", "DEPLOYMENT_NOT_FOUND", 404, ""), "", "the platform has nothing running there (Vercel)"},
		"Vercel challenges":     {withHeader("X-Vercel-Mitigated", "challenge", 429, ""), "", "answered with a check for browsers (Vercel)"},
		"Cloudflare challenges": {withHeader("Cf-Mitigated", "challenge", 403, "<title>Just a moment...</title>"), "", "answered with a check for browsers (Cloudflare)"},
		"a challenge as 200":    {html("<title>Just a moment...</title> swagger"), "", "answered with a check for browsers"},
		"a free host checks":    {html(`<script type="text/javascript" src="/aes.js" ></script>`), "", "answered with a check for browsers (iFastNet)"},
		"ngrok warns":           {withHeader("Ngrok-Error-Code", "ERR_NGROK_6024", 200, "<title>ngrok</title>"), "", "answered with a page of its tunnel (ngrok)"},
		"localtunnel warns":     {html("send the header bypass-tunnel-reminder"), "", "answered with a page of its tunnel (localtunnel)"},
		"dev tunnels warn":      {html("send X-Tunnel-Skip-AntiPhishing-Page"), "", "answered with a page of its tunnel (dev tunnels)"},
		"Cloudflare's tunnel":   {caddytest.Answer(530, "text/html", "<h2>Cloudflare Tunnel error</h2>"), "", "answered with a page of its tunnel (Cloudflare)"},
		"parked":                {html(`<script src="https://img.sedoparking.com/x.js"></script>`), "", "answered with the page of a parked domain (Sedo)"},
		"for sale":              {html("<title>swagger.example - this domain is for sale</title>"), "", "answered with the page of a parked domain"},
		"nginx":                 {html("<title>Welcome to nginx!</title> swagger"), "", "answered with the welcome page of a web server without content"},
		"maintenance":           {html("<title>Under maintenance</title> swagger"), "", "answered with a maintenance page"},
		"maintenance, Chinese":  {html("<title>系统维护中</title> swagger"), "", "answered with a maintenance page"},
		"login":                 {html(`<form><input name=u><input class="x" type='password' name=p></form>`), "", "answered with a login page"},
		"login without a field": {html(`<title>Sign in - Example</title><a href="/oauth?next=%2Fswagger%2Findex.html">Go</a>`), "", "answered with a login page"},
		"login that is wanted":  {html(`Sign in to swagger-ui <input type="password">`), "contains swagger-ui", ""},
		"error page":            {html("<html><head><title>502 Bad Gateway</title>"), "", "answered with an error page"},
		"error in words":        {html("<title>\n Application Error</title>"), "", "answered with an error page"},
		"suspended":             {html("<title>Service Suspended</title>"), "", "answered with an error page"},
		"a title with a number": {html("<title>404 ways to cook rice</title>"), "contains rice", ""},
		"an API for errors":     {html("<title>Error reports API, swagger</title>"), "", ""},
		"an API for logins":     {html("<title>Login Service</title> swagger-ui"), "", ""},
		"an API for upkeep":     {html("<title>Maintenance Planner</title> swagger-ui"), "", ""},
		"no HTML":               {caddytest.JSON(200, `{"html":"<input type=\"password\">","swagger":"2.0"}`), "", ""},
		"no text, but a login":  {html(`<input type="password">`), "contains swagger-ui", "answered with a login page"},
		"no text":               {html(`hello`), "contains swagger-ui", "the page does not contain the expected text"},
		"a single-page app":     {html(`<div id="root"></div>`), "", notSwagger},
		"the address repeated":  {html(`<form action="/x?to=%2Fswagger%2Findex.html"></form>`), "", notSwagger},
		"beyond what is read":   {html("swagger" + strings.Repeat(" ", 64<<10) + `<input type="password">`), "", ""},
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
	eventually(t, func() bool {
		all := s.upstreams() // none before the probes begin, in the background
		return len(all) > 0 && all[0].LastProbe != nil
	})
	if got := s.upstreams()[0].LastError; got != want {
		t.Errorf("the load's error is %q, want %q", got, want)
	}
}
