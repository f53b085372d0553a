package modelfield

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

func TestGolden(t *testing.T) { caddytest.Golden(t) }

func TestCaddyfileMistakes(t *testing.T) {
	policy := func(name, line string, says ...string) caddytest.Mistake {
		return caddytest.Mistake{
			Name: name,
			Caddyfile: "http://127.0.0.1:1 {\n\treverse_proxy 127.0.0.1:2 https://a.example {\n\t\tlb_policy model-field {\n" +
				"route x to 127.0.0.1:2\n" + line + "\n}\n}\n}\n",
			Line: 5,
			Says: says,
		}
	}
	caddytest.Mistakes(t, []caddytest.Mistake{
		{
			Name:      "no route",
			Caddyfile: "http://127.0.0.1:1 {\n\treverse_proxy 127.0.0.1:2 {\n\t\tlb_policy model-field\n\t}\n}\n",
			Line:      3,
			Says:      []string{"at least one route"},
		},
		{
			Name:      "two fields",
			Caddyfile: "http://127.0.0.1:1 {\n\treverse_proxy 127.0.0.1:2 {\n\t\tlb_policy model-field a b\n\t}\n}\n",
			Line:      3,
			Says:      []string{"too many values for model-field", "[<field>]"},
		},
		policy("unknown option", "routes x to y", "unknown option routes of model-field", "route, policy, fallback and max_body"),
		policy("route to nothing", "route x to", "route gpt-4* o1* to"),
		policy("route without to", "route x 127.0.0.1:2", "route gpt-4* o1* to"),
		policy("route without values", "route to 127.0.0.1:2", "route gpt-4* o1* to"),
		policy("route to an unknown upstream", "route y to 127.0.0.1:3", "no such upstream; it has 127.0.0.1:2, a.example:443"),
		policy("route to an unknown URL", "route y to http://a.example", "no such upstream; it has 127.0.0.1:2, a.example:443"),
		policy("route to a URL with a path", "route y to https://a.example/v1", "as to reverse_proxy"),
		policy("unknown policy", "policy nonsense", `policy: "nonsense"`, "least_conn"),
		policy("policy without a name", "policy", "write: policy <policy>", "random"),
		policy("fallback without a name", "fallback", "write: fallback <policy>", "random"),
		policy("bad size", "max_body large", "64MB"),
		policy("size missing", "max_body", "64MB"),
	})
}

// named answers with its name and the request's body.
func named(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %d", name, len(body))
	}
}

func start(t *testing.T, proxy string) (addr string, c *caddytest.Caddy) {
	t.Helper()
	addr = caddytest.Addr(t)
	return addr, caddytest.Start(t, fmt.Sprintf("http://%s {\n%s\n}\n", addr, proxy))
}

// post sends a body and returns the status and the answer.
func post(t *testing.T, url string, body io.Reader, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestRoutes(t *testing.T) {
	free, paid := caddytest.NewUpstream(t, named("free")), caddytest.NewUpstream(t, named("paid"))
	addr, _ := start(t, `reverse_proxy `+paid.URL+` `+free.URL+` {
		lb_policy model-field {
			route gpt-3.5* to `+free.Addr()+`
			route gpt-* o1 to `+paid.URL+`
			max_body 1MB
		}
	}`)
	for _, tc := range []struct {
		body, query string
		header      []string
		status      int
		want        string
	}{
		{body: `{"model":"gpt-3.5-turbo"}`, status: 200, want: "free 25"},
		{body: `{"a":"b" , "model":"gpt-4"}`, status: 200, want: "paid 27"},
		{body: `{"model":"o1"}`, status: 200, want: "paid 14"},
		{body: `{"model":"o1"}`, header: []string{"Content-Type", "application/vnd.api+json; charset=utf-8"}, status: 200, want: "paid 14"},
		{query: "?model=o1", status: 200, want: "paid 0"},
		{body: `{"model":"o1-mini"}`, status: 503},
		{body: `{"model":"o1"}`, header: []string{"Content-Type", "text/plain"}, status: 503},
		{body: "\xef\xbb\xbf" + `{"model":"o1"}`, status: 200, want: "paid 17"},
		{body: "\xef\xbb{}", status: 503},
		{body: `{"model":"o1","Model":"gpt-3.5"}`, status: 503},
		{body: `{"model":"o1","model\u0000":"gpt-3.5"}`, status: 503},
		{body: "{\"model\":\"o1\",\"mod\xffel\":\"gpt-3.5\"}", status: 503},
		{body: `{"model":"o1"`, status: 503},
		{body: `{}`, status: 503},
		{query: "?model=o1&model=gpt-3.5", status: 503},
		{status: 503},
	} {
		status, got := post(t, "http://"+addr+"/v1"+tc.query, strings.NewReader(tc.body), tc.header...)
		if status != tc.status || tc.status == 200 && got != tc.want {
			t.Errorf("%s%s: status %d, %q, want %d, %q", tc.query, tc.body, status, got, tc.status, tc.want)
		}
	}
}

// What cannot be routed goes to the fallback as it came: invalid, of another
// type, too large, with and without a length.
func TestFallback(t *testing.T) {
	other, routed := caddytest.NewUpstream(t, caddytest.Echo), caddytest.NewUpstream(t, named("routed"))
	addr, _ := start(t, `reverse_proxy `+other.URL+` `+routed.URL+` {
		lb_policy model-field {
			route    x to `+routed.URL+`
			fallback first
			max_body 100KB
		}
	}`)
	large := `{"model":"x","a":"` + strings.Repeat("a", 300_000) + `"}`
	for _, body := range []string{"", "junk", `{"model":"y"}`, `{"model":"x"`, large} {
		for _, chunked := range []bool{false, true} {
			reader := io.Reader(strings.NewReader(body))
			if chunked {
				reader = struct{ io.Reader }{reader}
			}
			if status, got := post(t, "http://"+addr, reader); status != 200 || got != body {
				t.Errorf("%.20q, chunked %v: status %d, %d bytes came back of %d", body, chunked, status, len(got), len(body))
			}
		}
	}
	if n := len(routed.Requests()); n > 0 {
		t.Errorf("%d requests were routed", n)
	}
}

// A retried POST has its body, without request_buffers, and does not go to the
// same upstream again while another one is left.
func TestRetryWithBody(t *testing.T) {
	broken := caddytest.NewUpstream(t, caddytest.JSON(502, ""))
	reset := caddytest.NewUpstream(t, caddytest.Reset)
	good := caddytest.NewUpstream(t, caddytest.Echo)
	dead := "http://" + caddytest.Addr(t)
	addr, _ := start(t, `reverse_proxy `+strings.Join([]string{broken.URL, dead, reset.URL, good.URL}, " ")+` {
		lb_policy model-field {
			route  m to `+strings.Join([]string{broken.URL, dead, reset.URL, good.URL}, " ")+`
			policy first
		}
		lb_retries 5
		lb_retry_match {
			expression `+"`{rp.status_code} >= 500 || {rp.is_transport_error} == true`"+`
		}
	}`)
	for _, size := range []int{10, 2 * (512 << 10)} {
		body := `{"model":"m","a":"` + strings.Repeat("é", size/2) + `"}`
		if status, got := post(t, "http://"+addr, strings.NewReader(body)); status != 200 || got != body {
			t.Errorf("status %d, %d bytes came back of %d", status, len(got), len(body))
		}
		if seen := broken.Next(t); !bytes.Equal(seen.Body, []byte(body)) {
			t.Error("the first try had another body")
		}
		if seen := reset.Next(t); !bytes.Equal(seen.Body, []byte(body)) {
			t.Error("the third try had another body")
		}
	}
	if n := len(broken.Requests()); n != 2 {
		t.Errorf("the broken upstream was asked %d times for two requests", n)
	}
}

// With one upstream left to a route, retries go there again.
func TestRetrySameUpstream(t *testing.T) {
	flaky := caddytest.NewUpstream(t, caddytest.Sequence(caddytest.JSON(503, ""), caddytest.JSON(503, ""), caddytest.Echo))
	other := caddytest.NewUpstream(t, caddytest.Echo)
	addr, _ := start(t, `reverse_proxy `+other.URL+` `+flaky.URL+` {
		lb_policy model-field {
			route m to `+flaky.URL+`
		}
		lb_retries 3
		lb_retry_match {
			expression `+"`{rp.status_code} >= 500`"+`
		}
	}`)
	const body = `{"model":"m"}`
	if status, got := post(t, "http://"+addr, strings.NewReader(body)); status != 200 || got != body {
		t.Errorf("status %d: %s", status, got)
	}
	if n := len(other.Requests()); n > 0 {
		t.Error("another route's upstream was asked")
	}
}

// Among several upstreams of a route the nested policy chooses.
func TestNestedPolicy(t *testing.T) {
	a, b, c := caddytest.NewUpstream(t, named("a")), caddytest.NewUpstream(t, named("b")), caddytest.NewUpstream(t, named("c"))
	addr, _ := start(t, `reverse_proxy `+a.URL+` `+b.URL+` `+c.URL+` {
		lb_policy model-field {
			route  m to `+b.URL+` `+c.URL+`
			policy round_robin
		}
	}`)
	seen := make(map[string]int)
	for range 10 {
		_, got := post(t, "http://"+addr, strings.NewReader(`{"model":"m"}`))
		seen[got[:1]]++
	}
	if seen["b"] != 5 || seen["c"] != 5 {
		t.Errorf("answers: %v", seen)
	}
}

func TestDialAddress(t *testing.T) {
	for in, want := range map[string]string{
		"https://A.example":      "a.example:443",
		"http://a.example":       "a.example:80",
		"a.example":              "a.example:80",
		"a.example:8080":         "a.example:8080",
		"tcp/a.example:1":        "tcp/a.example:1",
		"[::1]:80":               "[::1]:80",
		"unix//run/x.sock":       "unix//run/x.sock",
		"h2c://a.example:9000":   "a.example:9000",
		"https://a.example:8443": "a.example:8443",
	} {
		if got := dialAddress(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
	if _, err := caddy.GetModule("http.reverse_proxy.selection_policies.model-field"); err != nil {
		t.Error(err)
	}
}

// The routes name upstreams of the proxy that the policy belongs to, not of
// one further out.
func TestNestedProxy(t *testing.T) {
	nested := func(proxy string) string {
		return "http://127.0.0.1:1 {\n\treverse_proxy 127.0.0.1:2 {\n\t\thandle_response {\n" + proxy + "\n\t\t}\n\t}\n}\n"
	}
	caddytest.Mistakes(t, []caddytest.Mistake{{
		Name:      "route to an upstream of the outer proxy",
		Caddyfile: nested("reverse_proxy 127.0.0.1:3 {\nlb_policy model-field {\nroute x to 127.0.0.1:2\n}\n}"),
		Line:      6,
		Says:      []string{"no such upstream; it has 127.0.0.1:3"},
	}})
	for name, proxy := range map[string]string{
		"its own upstream":      "reverse_proxy 127.0.0.1:3 {\nlb_policy model-field {\nroute x to 127.0.0.1:3\n}\n}",
		"upstreams that change": "reverse_proxy {\ndynamic a api.example 80\nlb_policy model-field {\nroute x to 192.0.2.1:80\n}\n}",
	} {
		if err := caddytest.Validate(nested(proxy)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
