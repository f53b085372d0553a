package doh_test

import (
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// Real clients resolve a name that only this server knows, and one of an
// upstream.
func TestPrograms(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.7"))
	port, target := caddytest.Port(t), caddytest.Addr(t)
	_, targetPort, _ := strings.Cut(target, ":")
	ca, key := caddytest.Certificate(t)
	at := fmt.Sprint(port)
	c := caddytest.Start(t, fmt.Sprintf(`{
	auto_https disable_redirects
	default_sni localhost # dig 9.18 names no server in its handshake
}
https://localhost:%d {
	tls %s %s
	doh {
		hosts 127.0.0.1 only.here.test
		%s
	}
}
http://%s http://only.here.test:%s {
	respond "resolved"
}
`, port, ca, key, up(t, u, "/dns-query"), target, targetPort))
	// The race detector sees no order between Caddy's start and what another
	// process causes, but for a request from this one.
	do(t, c.Client(), http.MethodGet, "http://"+target, "", nil)

	const forwarded = "WWW.eXample.org"
	dig := func(option, name string) []string {
		return []string{"@localhost", "-p", at, option, "+tls-ca=" + ca, "+tls-hostname=localhost", "+short", "+tries=1", name, "A"}
	}
	kdig := func(option, name string) []string {
		return []string{"@localhost", "-p", at, option, "+tls-ca=" + ca, "+tls-hostname=localhost", "+short", "+retry=0", name, "A"}
	}
	tests := []struct {
		name    string
		program string
		args    []string
		want    string
	}{
		{"dig +https", "dig", dig("+https", "only.here.test"), "127.0.0.1"},
		{"dig +https-get", "dig", dig("+https-get", "only.here.test"), "127.0.0.1"},
		{"dig +https, forwarded", "dig", dig("+https", forwarded), "192.0.2.7"},
		{"dig +https-get, forwarded", "dig", dig("+https-get", forwarded), "192.0.2.7"},
		{"dig with padding", "dig", append(dig("+https", forwarded), "+padding=128"), "192.0.2.7"},
		{"kdig +https", "kdig", kdig("+https", "only.here.test"), "127.0.0.1"},
		{"kdig +https-get", "kdig", kdig("+https-get", "only.here.test"), "127.0.0.1"},
		{"kdig +https, forwarded", "kdig", kdig("+https", forwarded), "192.0.2.7"},
		{"kdig +https-get, forwarded", "kdig", kdig("+https-get", forwarded), "192.0.2.7"},
		{"kdig with padding", "kdig", append(kdig("+https", forwarded), "+padding"), "192.0.2.7"},
		{"curl --doh-url", "curl", []string{
			"--silent", "--show-error", "--ipv4", "--noproxy", "*", "--cacert", ca,
			"--doh-url", "https://localhost:" + at + "/dns-query", "http://only.here.test:" + targetPort + "/",
		}, "resolved"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out, err := exec.CommandContext(t.Context(), caddytest.Program(t, test.program), test.args...).CombinedOutput()
			if err != nil || strings.TrimSpace(string(out)) != test.want {
				t.Errorf("%v: %s, want %s", err, out, test.want)
			}
		})
	}
}
