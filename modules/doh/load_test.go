package doh_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// A load generator gets the answer to each of a few thousand queries over
// HTTP/2: by GET to a thousand names, half of them forwarded, and by POST.
func TestLoad(t *testing.T) {
	const queries = 3000
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.7"))
	port := caddytest.Port(t)
	c := startSecure(t, port, secure(port, up(t, u, "/dns-query"), "hosts 127.0.0.1 *.here.test"))
	target := fmt.Sprintf("https://localhost:%d/dns-query", port)

	var uris strings.Builder
	for i := range 500 {
		for _, zone := range []string{"example.org", "here.test"} {
			query := question(fmt.Sprintf("x%d.%s.", i, zone), dns.TypeA)
			fmt.Fprintln(&uris, target+"?dns="+base64.RawURLEncoding.EncodeToString(pack(t, query)))
		}
	}
	dir := t.TempDir()
	tests := map[string][]string{
		http.MethodGet: {"-i", write(t, dir, "uris", uris.String())},
		http.MethodPost: {
			"-d", write(t, dir, "query", string(pack(t, question("www.example.org.", dns.TypeA)))),
			"-H", "content-type: " + messageType, target,
		},
	}
	for method, args := range tests {
		t.Run(method, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			before := c.Metric(`caddy_doh_responses_total{rcode="NOERROR"}`)
			args = append([]string{"-n", fmt.Sprint(queries), "-c", "4", "-m", "8"}, args...)
			out, err := exec.CommandContext(ctx, caddytest.Program(t, "h2load"), args...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			for _, want := range []string{
				"Application protocol: h2",
				fmt.Sprintf("%d succeeded, 0 failed, 0 errored, 0 timeout", queries),
				fmt.Sprintf("status codes: %d 2xx", queries),
			} {
				if !strings.Contains(string(out), want) {
					t.Errorf("h2load does not report %q: %s", want, out)
				}
			}
			if n := c.Metric(`caddy_doh_responses_total{rcode="NOERROR"}`) - before; n != queries {
				t.Errorf("%v of %d queries were answered with NOERROR", n, queries)
			}
		})
	}
}
