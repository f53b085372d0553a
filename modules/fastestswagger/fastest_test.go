package fastestswagger_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// With nothing but the policy's name, time as it passes, and a page that is
// slow in its body only.
func TestTheFastestIsNext(t *testing.T) {
	slow := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		http.NewResponseController(w).Flush()
		caddytest.Slow(300*time.Millisecond, swagger)(w, r)
	})
	fast := caddytest.NewUpstream(t, swagger)
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, "http://"+addr+" {\n\treverse_proxy "+slow.URL+" "+fast.URL+" {\n\tlb_policy fastest-swagger\n}\n}")
	c.Logs.Wait(t, "upstream loaded", slow.Addr())
	c.Logs.Wait(t, "upstream loaded", fast.Addr())
	for range 5 {
		resp, err := c.Client().Get("http://" + addr + "/api")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if n := len(fast.Requests()); n != 6 {
		t.Errorf("the fast upstream got %d requests, want its load and 5", n)
	}
	if n := len(slow.Requests()); n != 1 {
		t.Errorf("the slow upstream got %d requests, want its load only", n)
	}
}

// The other platform takes over within the same request, with Caddy's own
// options as documented.
func TestTheOtherTakesOver(t *testing.T) {
	body := strings.Repeat("all of it ", 10_000)
	for name, broken := range map[string]func(p *platform){
		"refused": func(p *platform) { p.Listener.Close(); p.CloseClientConnections() },
		"502":     func(p *platform) { p.Handle(caddytest.Answer(http.StatusBadGateway, "", "")) },
		"reset":   func(p *platform) { p.Handle(caddytest.Reset) },
	} {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodPost} {
			t.Run(name+" "+method, func(t *testing.T) {
				a, b := newPlatform(t, caddytest.Echo), newPlatform(t, caddytest.Echo)
				s := start(t, "", strings.Replace(stock, "DELETE", "DELETE POST", 1), a, b)
				s.loaded(a, 100*time.Millisecond, swagger)
				s.loaded(b, 100*time.Millisecond, swagger)
				if w := s.winner(); w != a.Addr() {
					t.Fatalf("%s wins, want %s", w, a.Addr())
				}
				broken(a)
				sent := ""
				if method != http.MethodGet {
					sent = body
				}
				status, answer := s.do(method, sent)
				if status != http.StatusOK || answer != sent {
					t.Errorf("status %d with %d bytes, want 200 with %d", status, len(answer), len(sent))
				}
				// net/http itself repeats a GET on which a used connection broke.
				if n := len(a.api()); name == "502" && n != 1 || name == "reset" && n < 1 {
					t.Errorf("the winner was asked %d times, want once", n)
				}
				if n := len(b.api()); n != 1 {
					t.Errorf("the other was asked %d times, want once", n)
				}
			})
		}
	}
}

// Each upstream is tried once, the fastest first, and the round begins anew
// when all have been tried.
func TestNoUpstreamTwice(t *testing.T) {
	var ps []*platform
	for range 3 {
		ps = append(ps, newPlatform(t, caddytest.Answer(http.StatusBadGateway, "", "")))
	}
	s := start(t, "", "lb_retries 3\nlb_retry_match {\nexpression `{rp.status_code} >= 500`\n}\n", ps...)
	for _, i := range []int{2, 0, 1} {
		s.loaded(ps[i], 100*time.Millisecond, swagger)
	}
	if status, _ := s.do(http.MethodGet, ""); status != http.StatusBadGateway {
		t.Errorf("status %d, want the upstreams' 502", status)
	}
	for i, want := range []int{1, 1, 2} {
		if n := len(ps[i].api()); n != want {
			t.Errorf("upstream %d was tried %d times, want %d", i, n, want)
		}
	}
}

// What has failed gets no request while another is available, however fast it
// is. When none is, the best of them answers, for what failed may have been the
// requests.
func TestFailedUpstreamIsLast(t *testing.T) {
	a, b := newPlatform(t, caddytest.Answer(http.StatusBadGateway, "", "")), newPlatform(t, caddytest.Echo)
	s := start(t, "", stock, a, b)
	s.loaded(a, 100*time.Millisecond, swagger)
	s.loaded(b, 9*time.Second, swagger)
	for range 5 {
		if status, _ := s.do(http.MethodGet, ""); status != http.StatusOK {
			t.Errorf("status %d", status)
		}
	}
	if a, b := len(a.api()), len(b.api()); a != 3 || b != 5 {
		t.Errorf("requests: %d and %d, want 3 and 5", a, b)
	}
	if why := s.upstreams()[0].Why; !strings.Contains(why, "unavailable") {
		t.Errorf("why is %q, want that Caddy holds it unavailable", why)
	}
	b.Handle(b.serve(caddytest.Answer(http.StatusBadGateway, "text/plain", "sorry")))
	for i, want := range []string{"sorry", "sorry", "sorry", "", ""} { // from the fourth on of the faster one
		if status, body := s.do(http.MethodPost, "x"); status != http.StatusBadGateway || body != want {
			t.Errorf("request %d: status %d, %q, want an upstream's own 502", i, status, body)
		}
	}
	if n := len(a.api()); n != 5 {
		t.Errorf("the faster one got %d requests, want 5", n)
	}
	a.Handle(a.serve(caddytest.Echo))
	if status, _ := s.do(http.MethodPost, "x"); status != http.StatusOK {
		t.Errorf("status %d, want the answer of the faster one", status)
	}
}

// Limits and active health checks hold as they do with any policy.
func TestUnavailable(t *testing.T) {
	for name, others := range map[string]string{
		"full":      "fail_duration 30s\nunhealthy_request_count 1",
		"unhealthy": "fail_duration 30s\nhealth_uri /health\nhealth_interval 1h",
		"no counts": "health_uri /health\nhealth_interval 1h",
	} {
		t.Run(name, func(t *testing.T) {
			hanging, hang := make(chan struct{}), make(chan struct{})
			defer close(hang)
			a := newPlatform(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/health" {
					w.WriteHeader(http.StatusInternalServerError)
					return
				}
				close(hanging)
				<-hang
			})
			s := start(t, "", others, a)
			if name == "full" {
				go http.Get("http://" + s.addr + "/")
				<-hanging
			} else {
				s.Logs.Wait(t, "status code out of tolerances")
			}
			eventually(t, func() bool {
				status, _ := s.do(http.MethodGet, "")
				return status == http.StatusServiceUnavailable
			})
		})
	}
}

// A load counts when all of it came in time, with an expected status and text.
func TestWhatPasses(t *testing.T) {
	big := strings.Repeat("x", 2993) + "swagger"
	for name, test := range map[string]struct {
		options string
		answer  http.HandlerFunc
		says    string // empty: it passes
	}{
		"2xx":                     {"", caddytest.Answer(http.StatusAccepted, "", "Swagger UI"), ""},
		"2xx without content":     {"", caddytest.Answer(http.StatusNoContent, "", ""), ""},
		"no Swagger":              {"", caddytest.JSON(http.StatusOK, `{"status":"ok"}`), "does not look like Swagger"},
		"nothing":                 {"", caddytest.Answer(http.StatusOK, "text/html", ""), "does not look like Swagger"},
		"its address alone":       {"", caddytest.Answer(http.StatusOK, "text/html", "nothing at /swagger/index.html"), "does not look like Swagger"},
		"no Swagger, with text":   {"contains ok", caddytest.JSON(http.StatusOK, `{"status":"ok"}`), ""},
		"in capitals, at the end": {"", caddytest.Answer(http.StatusOK, "", strings.Repeat("x", 70_000)+"SWAGGER"), ""},
		"error":                   {"", caddytest.Answer(http.StatusServiceUnavailable, "", ""), "status 503"},
		"redirect":                {"", caddytest.Answer(http.StatusFound, "", ""), "status 302"},
		"expected redirect":       {"expect 2xx 302", caddytest.Answer(http.StatusFound, "", ""), ""},
		"unexpected success":      {"expect 204", swagger, "status 200"},
		"waking up":               {"contains swagger-ui", caddytest.Answer(http.StatusOK, "", "Your service is waking up"), "does not contain"},
		"text":                    {"contains swagger-ui", swagger, ""},
		"text far in":             {"contains swagger-ui", caddytest.Answer(http.StatusOK, "", strings.Repeat("x", 32<<10-5)+"swagger-ui"), ""},
		"too large":               {"max_size 2KB", caddytest.Answer(http.StatusOK, "", big), "more than 2.0 kB"},
		"large enough":            {"max_size 3KB", caddytest.Answer(http.StatusOK, "", big), ""},
		"cut off":                 {"", caddytest.CutOff("text/html", "swagger-ui"), "unexpected EOF"},
		"reset":                   {"", caddytest.Reset, "EOF"},
		"too large without limit": {"max_size 5MB", caddytest.Answer(http.StatusOK, "", strings.Repeat(big, 1500)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlatform(t, caddytest.Echo)
			s := start(t, "{\n"+test.options+"\n}", "", p)
			s.loaded(p, 0, test.answer)
			got := s.upstreams()[0]
			if test.says == "" && (got.Failures > 0 || got.Samples != 1) {
				t.Errorf("it failed: %+v", got)
			}
			if test.says != "" && (got.Failures != 1 || got.Samples != 0 || !strings.Contains(got.LastError, test.says)) {
				t.Errorf("got %+v, want a failure that says %q", got, test.says)
			}
		})
	}
}

// A load that hangs is cut off, and in the meantime delays nobody, nor is
// there a second one beside it.
func TestTimeout(t *testing.T) {
	hangs, works := newPlatform(t, caddytest.Echo), newPlatform(t, caddytest.Echo)
	s := start(t, "{\ninterval 10s\ntimeout 25s\n}", "", hangs, works)
	for range 2 {
		s.loaded(works, 0, swagger)
		s.pass(2, 11*time.Second)
		s.begun(works)
	}
	s.loaded(works, 0, swagger)
	if n := len(hangs.Requests()); n != 1 {
		t.Fatalf("%d loads of the hanging upstream are under way, want 1", n)
	}
	s.pass(2, 3*time.Second)
	hangs.WaitLeft(t)
	s.Logs.Wait(t, "upstream is down", hangs.Addr(), "took longer than 25s")
	if got := s.upstreams()[0]; got.Samples != 0 || got.ConsecutiveFailures != 1 {
		t.Errorf("got %+v, want one failure", got)
	}
}

// A refused connection is the quickest of all answers, and yet no winner.
func TestRefusedIsNotFast(t *testing.T) {
	gone, slow := newPlatform(t, caddytest.Echo), newPlatform(t, caddytest.Echo)
	gone.Listener.Close()
	gone.gone = true
	s := start(t, "", "", gone, slow)
	s.Logs.Wait(t, "upstream is down", gone.Addr(), "refused")
	s.loaded(slow, 9*time.Second, swagger)
	for range 5 {
		if status, _ := s.do(http.MethodGet, ""); status != http.StatusOK {
			t.Errorf("status %d", status)
		}
	}
	if n := len(slow.api()); n != 5 {
		t.Errorf("the slow upstream got %d requests, want all 5", n)
	}
}

// The load that wakes an upstream up does not make it slow for a long time.
func TestColdStart(t *testing.T) {
	p := newPlatform(t, caddytest.Echo)
	s := start(t, "", "", p)
	coldStarts := `caddy_fastest_swagger_probes_total{result="woken",upstream="` + p.Addr() + `"}`
	before := s.Metric(coldStarts) // of an earlier test, whose port has come again
	s.loaded(p, 100*time.Millisecond, swagger)

	s.again(1, p)
	s.loaded(p, 0, caddytest.Answer(http.StatusServiceUnavailable, "", ""))
	if got := s.upstreams()[0]; got.score() != 100 || got.Winner || got.ConsecutiveFailures != 1 {
		t.Errorf("after the failure: %+v", got)
	}

	s.again(1, p)
	s.loaded(p, 9*time.Second, swagger)
	got := s.upstreams()[0]
	if got.score() != 100 || got.Samples != 1 || !got.Winner || *got.LastLoadMS != 9000 || got.ConsecutiveFailures != 0 {
		t.Errorf("after the cold start: %+v, want the score of before", got)
	}
	if n := s.Logs.Count("upstream is up again"); n != 1 {
		t.Errorf("its return was logged %d times, want once", n)
	}
	if n := s.Metric(coldStarts) - before; n != 1 {
		t.Errorf("%v cold starts counted, want 1", n)
	}
}

// The winner is not flooded: once its requests under way outweigh its lead,
// the next one gets them.
func TestRequestsUnderWayCount(t *testing.T) {
	a, b := newPlatform(t, caddytest.Hang), newPlatform(t, caddytest.Echo)
	s := start(t, "{\nmargin 0%\n}", "", a, b)
	s.loaded(a, 100*time.Millisecond, swagger)
	s.loaded(b, 250*time.Millisecond, swagger) // 350 ms: as long as three requests and a half
	a.Next(t)                                  // the load
	for range 3 {
		go func() {
			resp, err := http.Get("http://" + s.addr + "/hang")
			if err == nil {
				resp.Body.Close()
			}
		}()
		a.Next(t)
	}
	if got := s.upstreams()[0]; got.InFlight != 3 {
		t.Errorf("%d requests under way, want 3", got.InFlight)
	}
	if status, _ := s.do(http.MethodGet, ""); status != http.StatusOK || len(b.api()) != 1 {
		t.Errorf("status %d, and the other upstream got %d requests, want 1", status, len(b.api()))
	}
	a.CloseClientConnections()
}

// When every load fails, and before any has ended, requests are served.
func TestAllFailingStillServes(t *testing.T) {
	a, b := newPlatform(t, caddytest.Echo), newPlatform(t, caddytest.Echo)
	s := start(t, "{\nfallback round_robin\n}", "", a, b)
	share := func() {
		t.Helper()
		before := [2]int{len(a.api()), len(b.api())}
		for range 4 {
			if status, _ := s.do(http.MethodGet, ""); status != http.StatusOK {
				t.Errorf("status %d", status)
			}
		}
		if a, b := len(a.api())-before[0], len(b.api())-before[1]; a != 2 || b != 2 {
			t.Errorf("the fallback gave them %d and %d of 4 requests, want 2 and 2", a, b)
		}
	}
	share()
	s.loaded(a, 0, caddytest.Reset)
	s.loaded(b, 0, caddytest.Reset)
	share()
}

// The policy can itself be the fallback of another one.
func TestAsFallback(t *testing.T) {
	a, b := newPlatform(t, caddytest.Echo), newPlatform(t, caddytest.Echo)
	s := start(t, "", "", a, b)
	s.Reload("http://" + s.addr + " {\n\treverse_proxy " + a.URL + " " + b.URL + " {\n\tlb_policy header X-Session {\nfallback fastest-swagger\n}\n}\n}")
	s.begun(a, b)
	s.loaded(b, time.Second, swagger)
	s.loaded(a, time.Second, swagger)
	for range 3 {
		s.do(http.MethodGet, "")
	}
	if n := len(b.api()); n != 3 {
		t.Errorf("the fastest got %d requests, want 3", n)
	}
}
