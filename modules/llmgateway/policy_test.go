package llmgateway

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	_ "github.com/caddy-freetier/caddy-freetier/modules/fastestswagger"
)

// Any policy orders the channels of a tier, and each channel is tried once.
func TestAnyPolicy(t *testing.T) {
	for _, policy := range []string{
		"random", "random_choose 2", "first", "least_conn", "round_robin", "weighted_round_robin 3 2 1", "ip_hash", "client_ip_hash",
		"uri_hash", "query q", "header X-Session", "cookie lb secret", "fastest-swagger",
	} {
		t.Run(policy, func(t *testing.T) {
			up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.URL.Path, "/swagger") {
					caddytest.Answer(200, "text/html", "page")(w, r)
					return
				}
				caddytest.JSON(422, "{}")(w, r)
			})
			options := "client alice alice-key\nretry_on 422\nlb_policy " + policy + "\n"
			for i := range 3 {
				options += fmt.Sprintf("channel c%d %s/c%d {\napi_key k%d\nmodels m\n}\n", i, up.URL, i, i)
			}
			g := start(t, options)
			for range 4 {
				before := len(up.Requests())
				a := g.chat(t, "m", "X-Session", "1")
				a.wantStatus(t, 422)
				if cookies := a.Header.Values("Set-Cookie"); len(cookies) > 1 {
					t.Errorf("%d cookies", len(cookies))
				}
				tried := make(map[string]bool)
				for _, r := range up.Requests()[before:] {
					if r.Method == http.MethodPost {
						tried[bearer(r)] = true
					}
				}
				if len(tried) != 3 {
					t.Errorf("tried with %v", tried)
				}
			}
		})
	}
}

// fastest-swagger measures the channels, over https too, and the fastest one
// is asked; its pages are loaded without a key.
func TestFastestChannel(t *testing.T) {
	answer := func(delay time.Duration) http.HandlerFunc {
		page := caddytest.Slow(delay, caddytest.Answer(200, "text/html", "page"))
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				page(w, r)
				return
			}
			caddytest.JSON(200, completion)(w, r)
		}
	}
	slow := caddytest.NewUpstream(t, answer(300*time.Millisecond))
	fast := caddytest.NewTLSUpstream(t, answer(0))
	g := start(t, `
		lb_policy fastest-swagger /docs
		channel slow `+slow.URL+`/v1 {
			api_key k-slow
			models m
		}
		channel fast `+fast.URL+`/v1 {
			api_key k-fast
			models m
			transport {
				tls_trust_pool file `+fast.CAFile(t)+`
			}
		}`)
	for _, up := range []*caddytest.Upstream{slow, fast} {
		if got := up.Next(t); got.URI != "/docs" || got.Header.Get("Authorization") != "" || got.Host != up.Addr() {
			t.Errorf("asked for %s on %s with %v", got.URI, got.Host, got.Header)
		}
	}
	wins := 0
	for deadline := time.Now().Add(time.Minute); wins < 5 && time.Now().Before(deadline); {
		wins++
		if g.chat(t, "m").Header.Get("X-Gateway-Channel") != "fast" {
			wins = 0
		}
	}
	if wins < 5 {
		t.Error("the fastest channel is not asked")
	}
}

// Policies that count open requests see those of the gateway: while one channel
// is busy, all other requests go to the other one.
func TestPoliciesCountOpenRequests(t *testing.T) {
	for _, policy := range []string{"least_conn", "random_choose 2"} {
		t.Run(policy, func(t *testing.T) {
			hold := make(chan struct{})
			slow := func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("X-App") == "slow" {
					<-hold
				}
				caddytest.JSON(200, completion)(w, r)
			}
			a, b := caddytest.NewUpstream(t, slow), caddytest.NewUpstream(t, slow)
			g := start(t, "client alice alice-key\nlb_policy "+policy+"\nchannel a "+a.URL+" {\napi_key k\nmodels m\n}\nchannel b "+b.URL+" {\napi_key k\nmodels m\n}")
			done := make(chan struct{})
			go func() {
				defer close(done)
				g.chat(t, "m", "X-App", "slow").wantStatus(t, 200)
			}()
			busy := func() int { return len(a.Requests()) + len(b.Requests()) }
			for deadline := time.Now().Add(time.Minute); busy() == 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			}
			other := "a"
			if len(a.Requests()) > 0 {
				other = "b"
			}
			for range 10 {
				if got := g.chat(t, "m").Header.Get("X-Gateway-Channel"); got != other {
					t.Errorf("channel %s was asked, want %s", got, other)
				}
			}
			close(hold)
			<-done
		})
	}
}
