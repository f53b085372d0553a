package doh_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// A script of another origin asks by GET and POST, as tools like dohjs do, and
// reads what is wrong with a query.
func TestChromiumScript(t *testing.T) {
	program := caddytest.Program(t, "chromium")
	port, pages := caddytest.Port(t), caddytest.Port(t)
	cert, key := caddytest.Certificate(t)
	server := fmt.Sprintf("https://localhost:%d/dns-query", port)
	query := pack(t, question("only.here.test.", dns.TypeA))
	var bytes []string
	for _, c := range query {
		bytes = append(bytes, fmt.Sprint(c))
	}
	script := fmt.Sprintf(`<p id=out></p><script>
function send(method, url, body) {
	const xhr = new XMLHttpRequest()
	xhr.open(method, url, false)
	if (body) xhr.setRequestHeader("Content-Type", "application/dns-message")
	try { xhr.send(body) } catch (e) { return method + " blocked" }
	return method + " " + xhr.status + " " + xhr.getResponseHeader("Content-Type")
}
out.textContent = [
	send("GET", "%[1]s?dns=%[2]s"),
	send("POST", "%[1]s", new Uint8Array([%[3]s])),
	send("GET", "%[1]s?dns=A"),
].join(", ")
</script>`, server, base64.RawURLEncoding.EncodeToString(query), strings.Join(bytes, ","))
	c := caddytest.Start(t, fmt.Sprintf("{\n\tauto_https disable_redirects\n}\nhttps://localhost:%d {\n\ttls %s %s\n\tdoh {\n\t\thosts 127.0.0.1 only.here.test\n\t}\n}\nhttp://127.0.0.1:%d {\n\theader Content-Type text/html\n\trespond `%s`\n}\n",
		port, cert, key, pages, script))
	do(t, c.Client(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", pages), "", nil) // see TestPrograms
	page := browse(t, program, server, cert, fmt.Sprintf("http://127.0.0.1:%d/", pages))
	want := "GET 200 application/dns-message, POST 200 application/dns-message, GET 400 text/plain; charset=utf-8"
	if !strings.Contains(page, want) {
		t.Errorf("the page is %q, want %s in it", page, want)
	}
}
