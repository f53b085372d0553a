package llmgateway

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

func bearer(r caddytest.Request) string {
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

// byKey answers each key in its own way.
func byKey(answers map[string]http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answers[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")](w, r)
	}
}

// The shape of the gateway: keys that differ a try, http and https channels
// mixed, two channels on one host, a POST tried again with its body and its
// own model name, and no key that reaches the wrong upstream.
func TestEachTryIsARequestOfItsOwn(t *testing.T) {
	limited := caddytest.JSON(429, `{"error":{"message":"slow down"}}`)
	shared := caddytest.NewUpstream(t, byKey(map[string]http.HandlerFunc{"key-a1": limited, "key-a2": limited, "key-b": limited}))
	secure := caddytest.NewTLSUpstream(t, caddytest.JSON(503, `{}`))
	good := caddytest.NewTLSUpstream(t, caddytest.JSON(200, completion))
	g := start(t, `
		key_policy round_robin
		lb_policy first
		channel a `+shared.URL+` {
			api_key key-a1 key-a2
			models  m as model-of-a
		}
		channel b `+shared.URL+`/b/v1 {
			api_key key-b
			models  m as a-much-longer-model-name-of-b
		}
		channel dead http://`+caddytest.Addr(t)+` {
			api_key key-dead
			models  m
		}
		channel secure `+secure.URL+` {
			api_key key-secure
			auth    x-api-key
			models  m as s
			transport {
				tls_trust_pool file `+secure.CAFile(t)+`
			}
		}
		channel good `+good.URL+`/openai/v1 {
			api_key key-good
			models  m
			transport {
				tls_trust_pool file `+good.CAFile(t)+`
			}
		}`)
	a := g.chat(t, "m")
	a.wantStatus(t, 200)
	if a.text != completion || a.Header.Get("X-Gateway-Channel") != "good" {
		t.Errorf("channel %s answered %s", a.Header.Get("X-Gateway-Channel"), a.text)
	}

	type seen struct{ uri, key, body string }
	var got []seen
	for _, r := range shared.Requests() {
		got = append(got, seen{r.URI, bearer(r), string(r.Body)})
	}
	want := []seen{
		{"/v1/chat/completions", "key-a1", chatBody("model-of-a")},
		{"/v1/chat/completions", "key-a2", chatBody("model-of-a")},
		{"/b/v1/chat/completions", "key-b", chatBody("a-much-longer-model-name-of-b")},
	}
	if !slices.Equal(got, want) {
		t.Errorf("the shared host saw\n%v\nwant\n%v", got, want)
	}
	r := secure.Next(t)
	if r.Header.Get("X-Api-Key") != "key-secure" || r.Header.Get("Authorization") != "" || string(r.Body) != chatBody("s") || r.Host != secure.Addr() {
		t.Errorf("the https channel saw %+v", r)
	}
	r = good.Next(t)
	if bearer(r) != "key-good" || r.Header.Get("X-Api-Key") != "" || string(r.Body) != chatBody("m") || r.URI != "/openai/v1/chat/completions" {
		t.Errorf("the good channel saw %+v", r)
	}
	if r.Proto != "HTTP/2.0" {
		t.Errorf("the https channel was asked over %s", r.Proto)
	}
}

// The keys of a channel take turns.
func TestKeysInTurn(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "key_policy round_robin\nchannel free "+up.URL+" {\napi_key k1 k2 k3\nmodels m\n}")
	var keys []string
	for range 6 {
		g.chat(t, "m").wantStatus(t, 200)
		keys = append(keys, bearer(up.Next(t)))
	}
	if got := strings.Join(keys, " "); got != "k1 k2 k3 k1 k2 k3" {
		t.Errorf("keys: %s", got)
	}
}

func TestWeightAndTier(t *testing.T) {
	name := func(name string) *caddytest.Upstream { return caddytest.NewUpstream(t, caddytest.JSON(200, name)) }
	one, three, backup := name("one"), name("three"), name("backup")
	g := start(t, `
		key_policy round_robin
		channel backup `+backup.URL+` {
			api_key k
			tier    2
			models  m only-backup
		}
		channel one `+one.URL+` {
			api_key k
			models  m
		}
		channel three `+three.URL+` {
			api_key k
			weight  3
			models  m
		}`)
	count := make(map[string]int)
	for range 200 {
		count[g.chat(t, "m").text]++
	}
	// 50 and 150 on average; the bounds are six standard deviations away.
	if count["backup"] > 0 || count["one"] < 14 || count["one"] > 86 {
		t.Errorf("answers: %v", count)
	}
	if got := g.chat(t, "only-backup").text; got != "backup" {
		t.Errorf("only-backup was answered by %s", got)
	}
	one.Handle(caddytest.JSON(500, "{}"))
	three.Handle(caddytest.Reset)
	for range 5 {
		if got := g.chat(t, "m"); got.text != "backup" {
			t.Errorf("status %d from %q, want backup", got.StatusCode, got.text)
		}
	}
}

// The last refused answer reaches the client as it is, also when a try without
// an answer comes after it.
func TestLastAnswerIsKept(t *testing.T) {
	refusal := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/strange")
			w.Header().Set("Retry-After", "7")
			w.Header().Set("X-Request-Id", text)
			w.WriteHeader(status)
			io.WriteString(w, text)
		}
	}
	first := caddytest.NewUpstream(t, refusal(429, "first"))
	second := caddytest.NewUpstream(t, refusal(503, "second"))
	channel := func(name, url string) string {
		return fmt.Sprintf("channel %s %s {\napi_key k\nmodels m\n}\n", name, url)
	}
	dead := "http://" + caddytest.Addr(t)
	check := func(t *testing.T, a answer, status int, text string) {
		t.Helper()
		a.wantStatus(t, status)
		if a.text != text || a.Header.Get("Retry-After") != "7" || a.Header.Get("X-Request-Id") != text || a.Header.Get("Content-Type") != "text/strange" {
			t.Errorf("answer %q with %v", a.text, a.Header)
		}
		if a.Header.Get("X-Gateway-Channel") != text {
			t.Errorf("signed by %s", a.Header.Get("X-Gateway-Channel"))
		}
	}
	t.Run("refused", func(t *testing.T) {
		g := start(t, "lb_policy first\n"+channel("first", first.URL)+channel("second", second.URL))
		check(t, g.chat(t, "m"), 503, "second")
	})
	t.Run("refused, then dead", func(t *testing.T) {
		g := start(t, "lb_policy first\n"+channel("first", first.URL)+channel("dead", dead))
		check(t, g.chat(t, "m"), 429, "first")
	})
	t.Run("dead, then refused", func(t *testing.T) {
		g := start(t, "lb_policy first\n"+channel("dead", dead)+channel("first", first.URL))
		check(t, g.chat(t, "m"), 429, "first")
	})
	t.Run("dead", func(t *testing.T) {
		g := start(t, channel("dead", dead)+channel("deader", dead))
		g.chat(t, "m").wantError(t, 502, "upstream_unreachable")
	})
	t.Run("not retried", func(t *testing.T) {
		other := caddytest.NewUpstream(t, caddytest.JSON(403, flagged))
		never := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
		g := start(t, "lb_policy first\n"+channel("other", other.URL)+channel("never", never.URL))
		g.chat(t, "m").wantStatus(t, 403)
		if len(never.Requests()) > 0 {
			t.Error("a flagged prompt was tried elsewhere")
		}
	})
	t.Run("retry_on", func(t *testing.T) {
		g := start(t, "lb_policy first\nretry_on 503\n"+channel("first", first.URL)+channel("second", second.URL))
		check(t, g.chat(t, "m"), 429, "first")
	})
}

// After a broken answer the next channel comes before the channel's other key;
// after a refused key the next key does.
func TestOrderAfterFailures(t *testing.T) {
	var order []string
	log := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			order = append(order, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
			w.WriteHeader(status)
		}
	}
	a, b := caddytest.NewUpstream(t, log(500)), caddytest.NewUpstream(t, log(401))
	g := start(t, `
		lb_policy first
		key_policy round_robin
		channel a `+a.URL+` {
			api_key a1 a2
			models  m
		}
		channel b `+b.URL+` {
			api_key b1 b2
			models  m
		}`)
	g.chat(t, "m").wantStatus(t, 500)
	if got := strings.Join(order, " "); got != "a1 b1 b2 a2" {
		t.Errorf("order of tries: %s", got)
	}
}

func TestRetriesCap(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(429, "{}"))
	g := start(t, "retries 2\nchannel a "+up.URL+" {\napi_key k1 k2 k3 k4 k5\nmodels m\n}")
	g.chat(t, "m").wantStatus(t, 429)
	if n := len(up.Requests()); n != 3 {
		t.Errorf("%d tries, want 3", n)
	}
}

func TestTryDuration(t *testing.T) {
	clock := clockwork.NewFakeClock()
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		clock.Advance(60 * time.Millisecond)
		caddytest.JSON(429, "{}")(w, r)
	})
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, "client alice alice-key\ntry_duration 100ms\nchannel a "+up.URL+" {\napi_key k1 k2 k3 k4 k5\nmodels m\n}"),
		caddytest.WithFakeClock(clock))
	g := &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}
	g.chat(t, "m").wantStatus(t, 429)
	if n := len(up.Requests()); n != 2 {
		t.Errorf("%d attempts, want 2", n)
	}
}

func TestFallback(t *testing.T) {
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(body), `"small"`) {
			w.WriteHeader(503)
			return
		}
		caddytest.JSON(200, completion)(w, r)
	})
	g := start(t, `
		client alice alice-key
		client bob bob-key {
			models large
		}
		channel a `+up.URL+` {
			api_key k
			models  large medium small
		}
		fallback large to medium
		fallback medium to small
		fallback small to large`)
	a := g.chat(t, "large")
	a.wantStatus(t, 200)
	if got := a.Header.Get("X-Gateway-Model"); got != "small" {
		t.Errorf("answered by %s", got)
	}
	if n := len(up.Requests()); n != 3 {
		t.Errorf("%d tries, want 3", n)
	}
	g.chat(t, "large", "Authorization", "Bearer bob-key").wantStatus(t, 503)
}
