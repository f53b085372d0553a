package doh_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// jsonUpstream answers names and types in the ways that JSON shows differently.
func jsonUpstream(t testing.TB) func(*dns.Msg) *dns.Msg {
	return func(query *dns.Msg) *dns.Msg {
		q := query.Question[0]
		switch {
		case strings.HasPrefix(q.Name, "no."):
			return caddytest.Rcode(dns.RcodeNameError, -1)(query)
		case strings.HasPrefix(q.Name, "fail."):
			return caddytest.Rcode(dns.RcodeServerFailure, 22)(query)
		case q.Qtype == dns.TypeTXT:
			return caddytest.Records(t, `@ 60 IN TXT "a \"quoted\" text" "two"`)(query)
		case q.Qtype == dns.TypeA:
			return caddytest.Records(t, "@ 300 IN CNAME a.example.", "a.example. 60 IN A 192.0.2.1")(query)
		}
		return caddytest.Records(t, `@ 60 IN TYPE65280 \# 2 abcd`)(query)
	}
}

// jsonRecord is a record in JSON.
type jsonRecord struct {
	Name string
	Type int
	TTL  int
	Data string
}

var jsonTests = map[string]struct {
	status  int // of DNS
	name    string
	qtype   int
	answer  []jsonRecord
	comment bool
	cd      bool
}{
	"name=www.Example":                    {0, "www.Example.", 1, []jsonRecord{{"www.Example.", 5, 300, "a.example."}, {"a.example.", 1, 60, "192.0.2.1"}}, false, false},
	"name=www.example.&type=txt&cd=1":     {0, "www.example.", 16, []jsonRecord{{"www.example.", 16, 60, `"a \"quoted\" text" "two"`}}, false, true},
	"name=www.example&type=65280&do=true": {0, "www.example.", 65280, []jsonRecord{{"www.example.", 65280, 60, `\# 2 abcd`}}, false, false},
	"name=no.example":                     {3, "no.example.", 1, nil, false, false},
	"name=fail.example&type=A":            {2, "fail.example.", 1, nil, true, false},
	"name=demo.test&type=1":               {0, "demo.test.", 1, []jsonRecord{{"demo.test.", 1, 60, "192.0.2.9"}}, false, false},
	"name=b%C3%BCcher.example&edns_client_subnet=192.0.2.0/24": {
		0, "xn--bcher-kva.example.", 1,
		[]jsonRecord{{"xn--bcher-kva.example.", 5, 300, "a.example."}, {"a.example.", 1, 60, "192.0.2.1"}},
		false, false,
	},
}

func TestJSON(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, jsonUpstream(t))
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, up(t, u, "/"), "json", "hosts 192.0.2.9 demo.test", "cache"))
	for params, want := range jsonTests {
		t.Run(params, func(t *testing.T) {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				resp := do(t, c.Client(), method, "http://"+addr+"/dns-query?"+params, "", nil)
				if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/dns-json" ||
					!strings.HasPrefix(resp.Header.Get("Cache-Control"), "max-age=") || resp.Header.Get("Access-Control-Allow-Origin") != "*" {
					t.Fatalf("status %d, header %v: %s", resp.StatusCode, resp.Header, resp.body)
				}
				if method == http.MethodHead {
					continue
				}
				var got struct {
					Status   *int
					TC, RD   bool
					CD       bool
					Question []jsonRecord
					Answer   []jsonRecord
					Comment  []string
				}
				if err := json.Unmarshal(resp.body, &got); err != nil || got.Status == nil {
					t.Fatalf("%v: %s", err, resp.body)
				}
				if *got.Status != want.status || !got.RD || got.TC || got.CD != want.cd || (len(got.Comment) > 0) != want.comment {
					t.Errorf("got %s, want status %d, RD, no TC, CD %t, a comment %t", resp.body, want.status, want.cd, want.comment)
				}
				if len(got.Question) != 1 || got.Question[0].Name != want.name || got.Question[0].Type != want.qtype {
					t.Errorf("question %v, want %s %d", got.Question, want.name, want.qtype)
				}
				if len(got.Answer) != len(want.answer) {
					t.Fatalf("got %s, want %d records", resp.body, len(want.answer))
				}
				for i, r := range want.answer {
					if got.Answer[i] != r {
						t.Errorf("record %d is %+v, want %+v", i, got.Answer[i], r)
					}
				}
			}
		})
	}
}

// Invalid parameters get an error in JSON.
func TestJSONMistakes(t *testing.T) {
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, "json", "hosts 192.0.2.9 demo.test"))
	for _, params := range []string{
		"name=", "name=" + url.QueryEscape(strings.Repeat("a", 64)), "name=a..b", "name=x&type=none", "name=x&type=0",
		"name=x&type=70000", "name=x&edns_client_subnet=here",
	} {
		resp := do(t, c.Client(), http.MethodGet, "http://"+addr+"/dns-query?"+params, "", nil)
		var got struct{ Error string }
		if err := json.Unmarshal(resp.body, &got); err != nil || resp.StatusCode != 400 || got.Error == "" {
			t.Errorf("%s: status %d, %v: %s", params, resp.StatusCode, err, resp.body)
		}
	}
}

// Without the option a request for JSON is one without a query.
func TestNoJSON(t *testing.T) {
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, "hosts 192.0.2.9 demo.test"))
	if resp := do(t, c.Client(), http.MethodGet, "http://"+addr+"/dns-query?name=demo.test", "", nil); resp.StatusCode != 400 {
		t.Errorf("status %d: %s", resp.StatusCode, resp.body)
	}
}
