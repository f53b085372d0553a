package doh_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// A real Chromium that resolves names by this server only shows a page of a
// host that nobody else knows, and runs the page's script, whose host an
// upstream knows. The form of the template decides the method.
func TestChromium(t *testing.T) {
	program := caddytest.Program(t, "chromium")
	for method, form := range map[string]string{http.MethodGet: "{?dns}", http.MethodPost: ""} {
		t.Run(method, func(t *testing.T) {
			u := caddytest.NewDoHUpstream(t, knows("script.test.", "127.0.0.1"))
			port, pages := caddytest.Port(t), caddytest.Port(t)
			cert, key := caddytest.Certificate(t)
			c := caddytest.Start(t, fmt.Sprintf(`{
	auto_https disable_redirects
}
https://localhost:%[1]d {
	tls %[2]s %[3]s
	log
	doh {
		hosts 127.0.0.1 only.here.test
		%[4]s
		log_queries
	}
}
http://127.0.0.1:%[5]d http://only.here.test:%[5]d {
	header Content-Type text/html
	respond `+"`"+`<p>resolved<script src="http://script.test:%[5]d/"></script>`+"`"+`
}
http://script.test:%[5]d {
	respond "document.write(', and so is ' + 'the script')"
}
`, port, cert, key, up(t, u, "/"), pages))
			do(t, c.Client(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", pages), "", nil) // see TestPrograms

			page := browse(t, program, fmt.Sprintf("https://localhost:%d/dns-query%s", port, form), cert,
				fmt.Sprintf("http://only.here.test:%d/", pages))
			if !strings.Contains(page, "resolved") || !strings.Contains(page, ", and so is the script") {
				t.Errorf("the page is %q", page)
			}
			queries := func(method string) int {
				return c.Logs.Count("handled request", `"uri":"/dns-query`, `"status":200`, `"method":"`+method+`"`)
			}
			for other := range methods {
				if n := queries(other); (n >= 4) != (other == method) || n > 0 && other != method {
					t.Errorf("%d queries came by %s", n, other)
				}
			}
			asked := make(map[uint16]bool)
			for _, r := range u.Requests() {
				if q := r.DNS(t).Question[0]; q.Name == "script.test." {
					asked[q.Qtype] = true
				}
			}
			if !asked[dns.TypeA] || !asked[dns.TypeAAAA] {
				t.Errorf("the upstream was asked the types %v for the script's host", asked)
			}
		})
	}
}

// knows answers with an address for one name and NXDOMAIN for all others, so
// that nothing goes to another network.
func knows(name, address string) func(*dns.Msg) *dns.Msg {
	return func(query *dns.Msg) *dns.Msg {
		reply, asked := new(dns.Msg).SetReply(query), query.Question[0]
		if asked.Name != name {
			return reply.SetRcode(query, dns.RcodeNameError)
		}
		if asked.Qtype == dns.TypeA {
			rr, err := dns.NewRR(name + " 60 IN A " + address)
			if err != nil {
				panic(err)
			}
			reply.Answer = append(reply.Answer, rr)
		}
		return reply
	}
}

// browse returns the page at address as Chromium shows it, which resolves
// names by a DNS-over-HTTPS template and nothing else.
func browse(t *testing.T, program, template, certFile, address string) string {
	t.Helper()
	profile := t.TempDir()
	settings, err := json.Marshal(map[string]any{
		"dns_over_https": map[string]string{"mode": "secure", "templates": template},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(profile, "Local State"), settings, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program,
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server",
		"--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--user-data-dir="+profile, "--ignore-certificate-errors-spki-list="+keyHash(t, certFile),
		"--timeout=10000", "--dump-dom", address)
	cmd.WaitDelay = 5 * time.Second // for child processes
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	page, err := cmd.Output()
	if err != nil {
		t.Fatalf("Chromium: %v\n%s", err, &stderr)
	}
	return string(page)
}

// keyHash returns the hash of a certificate's public key as Chromium takes it.
func keyHash(t *testing.T, certFile string) string {
	t.Helper()
	content, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(content)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}
