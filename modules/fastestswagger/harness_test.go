package fastestswagger_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

const page = "/swagger/index.html"

// stock are Caddy's own options as the documentation shows them beside the
// policy.
const stock = `
	lb_retries 2
	lb_retry_match {
		method GET HEAD OPTIONS PUT DELETE
		expression ` + "`{rp.status_code} in [502, 503, 504] || {rp.is_transport_error} == true`" + `
	}
	request_buffers 1MB
	fail_duration 30s
	max_fails 3
	unhealthy_status 502 503 504
`

// platform is an upstream whose page is answered by the test, one load at a
// time, and which answers everything else at once.
type platform struct {
	*caddytest.Upstream
	arrived chan struct{}
	loads   chan http.HandlerFunc
	page    string
	gone    bool // it does not listen
}

func newPlatform(t *testing.T, api http.HandlerFunc) *platform {
	t.Helper()
	p := &platform{arrived: make(chan struct{}, 100), loads: make(chan http.HandlerFunc, 100), page: page}
	p.Upstream = caddytest.NewUpstream(t, p.serve(api))
	return p
}

func (p *platform) serve(api http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != p.page {
			api(w, r)
			return
		}
		p.arrived <- struct{}{}
		select {
		case answer := <-p.loads:
			answer(w, r)
		case <-r.Context().Done():
		}
	}
}

// api returns the requests that were no loads of the page.
func (p *platform) api() (requests []caddytest.Request) {
	for _, r := range p.Requests() {
		if !strings.HasPrefix(r.URI, p.page) {
			requests = append(requests, r)
		}
	}
	return requests
}

var swagger = caddytest.Answer(http.StatusOK, "text/html", "<title>swagger-ui</title>")

// site is a Caddy with one proxy to some platforms.
type site struct {
	*caddytest.Caddy
	t    *testing.T
	addr string
}

// start runs a proxy to the platforms with the policy's options and others.
// Time stands still.
func start(t *testing.T, policy, others string, platforms ...*platform) *site {
	t.Helper()
	return run(t, "", policy, others, platforms...)
}

// run is start with global options.
func run(t *testing.T, global, policy, others string, platforms ...*platform) *site {
	t.Helper()
	clock := clockwork.NewFakeClock()
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, global+proxy(addr, policy, others, platforms...), caddytest.WithFakeClock(clock))
	s := &site{Caddy: c, t: t, addr: addr}
	s.begun(platforms...)
	return s
}

func proxy(addr, policy, others string, platforms ...*platform) string {
	var to strings.Builder
	for _, p := range platforms {
		to.WriteString(" " + p.URL)
	}
	return fmt.Sprintf("http://%s {\n\treverse_proxy%s {\n\tlb_policy fastest-swagger %s\n%s\n}\n}\n", addr, &to, policy, others)
}

// begun waits until a load of each platform's page is under way.
func (s *site) begun(platforms ...*platform) {
	s.t.Helper()
	for _, p := range platforms {
		if p.gone {
			continue
		}
		select {
		case <-p.arrived:
		case <-time.After(time.Minute):
			s.t.Fatalf("the page of %s is not loaded", p.URL)
		}
	}
}

// loaded lets a platform's load of its page, which is under way, take some
// time more and end with an answer. It waits until the policy knows.
func (s *site) loaded(p *platform, after time.Duration, answer http.HandlerFunc) {
	s.t.Helper()
	before := s.loads(p)
	s.Clock.Advance(after)
	p.loads <- answer
	eventually(s.t, func() bool { return s.loads(p) > before })
}

// loads counts the loads of a platform's page that have ended.
func (s *site) loads(p *platform) int {
	name := fmt.Sprintf("%q", p.Addr())
	return s.Logs.Count(`"upstream loaded"`, name) + s.Logs.Count(`"upstream is `, name)
}

// again lets time pass until the next loads of the platforms' pages are under
// way. n is the number of upstreams that are watched.
func (s *site) again(n int, platforms ...*platform) {
	s.t.Helper()
	s.pass(n, 34*time.Second)
	s.begun(platforms...)
}

// pass lets time pass once nothing but n upstreams' watchers or loads, and the
// laps, wait for it.
func (s *site) pass(n int, d time.Duration) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	if err := s.Clock.BlockUntilContext(ctx, n+1); err != nil {
		s.t.Fatal(err)
	}
	s.Clock.Advance(d)
}

// do sends a request and returns the answer's status and body.
func (s *site) do(method, body string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.addr+"/api?key=s3cret", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer client-key")
	resp, err := s.Client().Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

// upstream is an entry of the admin API's answer.
type upstream struct {
	Upstream            string     `json:"upstream"`
	Page                string     `json:"page"`
	ScoreMS             *float64   `json:"score_ms"`
	LastLoadMS          *float64   `json:"last_load_ms"`
	LastProbe           *time.Time `json:"last_probe"`
	Samples             int        `json:"samples"`
	Failures            int        `json:"failures"`
	ConsecutiveFailures int        `json:"consecutive_failures"`
	LastError           string     `json:"last_error"`
	InFlight            int        `json:"in_flight"`
	Condition           string     `json:"condition"`
	Winner              bool       `json:"winner"`
	Why                 string     `json:"why"`
}

func (u upstream) score() float64 {
	if u.ScoreMS == nil {
		return 0
	}
	return *u.ScoreMS
}

func (s *site) upstreams() []upstream {
	s.t.Helper()
	status, body := s.Admin(http.MethodGet, "/fastest-swagger/upstreams")
	if status != http.StatusOK {
		s.t.Fatalf("admin API: status %d: %s", status, body)
	}
	var all []upstream
	if err := json.Unmarshal(body, &all); err != nil {
		s.t.Fatalf("admin API: %v: %s", err, body)
	}
	return all
}

// winner returns the address of the winner, if there is one.
func (s *site) winner() string {
	for _, u := range s.upstreams() {
		if u.Winner {
			return u.Upstream
		}
	}
	return ""
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen within a minute")
		}
	}
}

// list is a dynamic upstream source with new Upstream values at each call.
type list struct {
	Dials []string `json:"dials,omitempty"`
}

func init() { caddy.RegisterModule((*list)(nil)) }

func (*list) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.reverse_proxy.upstreams.list", New: func() caddy.Module { return new(list) }}
}

func (l *list) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	l.Dials = d.RemainingArgs()
	return nil
}

func (l *list) GetUpstreams(*http.Request) ([]*reverseproxy.Upstream, error) {
	var upstreams []*reverseproxy.Upstream
	for _, dial := range l.Dials {
		upstreams = append(upstreams, &reverseproxy.Upstream{Dial: dial})
	}
	return upstreams, nil
}
