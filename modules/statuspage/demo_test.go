package statuspage_test

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/history"
	"github.com/caddy-freetier/caddy-freetier/internal/status"
	_ "github.com/caddy-freetier/caddy-freetier/modules/doh"
	_ "github.com/caddy-freetier/caddy-freetier/modules/fastestswagger"
	_ "github.com/caddy-freetier/caddy-freetier/modules/llmgateway"
)

// demo is a Caddy whose status page has something in each part.
type demo struct {
	*caddytest.Caddy
	page string
	site string // of the gateway, the upstreams and DNS
	down atomic.Bool

	caFile    string
	upstreams map[string]string // the URLs of what Caddy asks
	places    [2]string         // addresses of the page and of the site
}

// secrets are what no page may show: keys, paths, queries, user names and passwords
// of URLs, headers, bodies.
var secrets = []string{
	"sk-client-secret", "sk-channel-secret", "secret-query", "secret-user", "secret-password", "secret-path", "secret-header", "secret-body", "secret-account",
}

func newDemo(t *testing.T) *demo {
	t.Helper()
	storage := t.TempDir()
	d := &demo{places: [2]string{caddytest.Addr(t), caddytest.Addr(t)}}
	ok := func(body string, delay time.Duration) http.HandlerFunc {
		return caddytest.Slow(delay, caddytest.Answer(200, "text/html", body))
	}
	d.upstreams = map[string]string{
		"app": caddytest.NewUpstream(t, ok("ok", 0)).URL,
		"toggled": caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
			if d.down.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}).URL,
		"fast":   caddytest.NewUpstream(t, ok("<title>Swagger UI</title>", time.Millisecond)).URL,
		"slow":   caddytest.NewUpstream(t, ok("<title>Swagger UI</title>", 30*time.Millisecond)).URL,
		"broken": caddytest.NewUpstream(t, caddytest.Answer(500, "text/plain", "no")).URL,
		"llm":    caddytest.NewUpstream(t, answerByKey).URL,
	}
	dns := caddytest.NewDoHUpstream(t, caddytest.Records(t, "a.example. 60 IN A 192.0.2.1"))
	d.upstreams["dns"], d.caFile = dns.URL, dns.CAFile(t)
	writeHistory(t, storage, host(d.upstreams["fast"]), host(d.upstreams["slow"]))
	d.Caddy = caddytest.Start(t, d.caddyfile("added"), caddytest.WithStorage(storage))
	d.page, d.site = "http://"+d.places[0]+"/status/", "http://"+d.places[1]
	d.use(t)
	return d
}

// demoCaddyfile is the configuration, with words in capital letters for what differs.
const demoCaddyfile = `{
	keepalive {
		target shop-api {
			url      APP/health?key=secret-query
			header   Authorization "Bearer secret-header"
			upstream shop-api.onrender.com:443
			platform render
		}
		target blog {
			url      USERINFO/secret-path
			body     secret-body
			upstream blog.onrender.com:443
			platform render
		}
		target chat-bot {
			url          APP/
			upstream     chat-bot-acme.koyeb.app:443
			platform     koyeb
		}
		target toggled {
			url      TOGGLED/?q=secret-query
			failures 1
			upstream mcp.example.workers.dev:443
		}
		target EXTRA {
			url      APP/
			upstream notes.example.hf.space:443
		}
	}
}
http://PAGE {
	handle_path /status* {
		status_page
	}
}
http://SITE {
	handle_path /pool/* {
		reverse_proxy SLOW FAST BROKEN {
			lb_policy fastest-swagger {
				interval 1s
				contains Swagger
			}
		}
	}
	llm_gateway {
		client phone sk-client-secret-phone-0001
		client laptop sk-client-secret-laptop-0002 {
			limit 200/day
			limit 1M tokens/month
		}
		channel groq LLM {
			api_key sk-channel-secret-good-0001 sk-channel-secret-good-0002 sk-channel-secret-good-0003 sk-channel-secret-dead-0004 sk-channel-secret-busy-0005 sk-channel-secret-good-0006
			models llama-70b {
				price 0.59 0.79
			}
			quota 40/day
			quota 250k tokens/day
		}
		channel openrouter LLM/openrouter {
			api_key sk-channel-secret-dead-0007 sk-channel-secret-dead-0008
			models other
			tier 2
		}
	}
	doh {
		upstream DNS/secret-account {
			name nextdns
			tls_ca CAFILE
			quota 300000/month
		}
		client alice /secret-path-of-alice {
			limit 10000/day
		}
		client bob /secret-path-of-bob
	}
}
`

// caddyfile returns the configuration, with a target of a name.
func (d *demo) caddyfile(target string) string {
	return strings.NewReplacer(
		"CAFILE", d.caFile, "PAGE", d.places[0], "SITE", d.places[1], "EXTRA", target,
		"APP", d.upstreams["app"], "TOGGLED", d.upstreams["toggled"], "LLM", d.upstreams["llm"], "DNS", d.upstreams["dns"],
		"FAST", host(d.upstreams["fast"]), "SLOW", host(d.upstreams["slow"]), "BROKEN", host(d.upstreams["broken"]),
		"USERINFO", "http://secret-user:secret-password@"+host(d.upstreams["app"]),
	).Replace(demoCaddyfile)
}

// host returns the host and port of a URL.
func host(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	address, _, _ := strings.Cut(rest, "/")
	return address
}

// answerByKey answers as a provider of which some keys are dead or limited.
func answerByKey(w http.ResponseWriter, r *http.Request) {
	switch key := r.Header.Get("Authorization"); {
	case strings.Contains(key, "dead"):
		caddytest.JSON(401, `{"error":{"message":"Invalid API key provided","type":"invalid_request_error","code":"invalid_api_key"}}`)(w, r)
	case strings.Contains(key, "busy"):
		w.Header().Set("Retry-After", "600")
		caddytest.JSON(429, `{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}`)(w, r)
	default:
		caddytest.JSON(200, `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"stop",`+
			`"message":{"role":"assistant","content":"Hello"}}],"usage":{"prompt_tokens":900,"completion_tokens":120,"total_tokens":1020}}`)(w, r)
	}
}

// use makes Caddy do something of everything.
func (d *demo) use(t *testing.T) {
	t.Helper()
	for _, target := range []string{"shop-api", "blog", "chat-bot", "toggled"} {
		d.ping(t, target)
	}
	for i := range 40 {
		key, model := "sk-client-secret-phone-0001", "llama-70b"
		if i%4 == 0 {
			key = "sk-client-secret-laptop-0002"
		}
		if i == 39 {
			model = "other"
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.site+"/v1/chat/completions",
			strings.NewReader(fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"question %d"}]}`, model, i)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("Content-Type", "application/json")
		d.send(t, req)
	}
	for i := range 30 {
		name := strings.Repeat("\x01a", 1+i%3)
		query := "\x00\x00\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + name + "\x07example\x00\x00\x01\x00\x01"
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.site+"/secret-path-of-alice", strings.NewReader(query))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/dns-message")
		d.send(t, req)
	}
}

func (d *demo) send(t *testing.T, req *http.Request) {
	t.Helper()
	resp, err := d.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
}

func (d *demo) ping(t *testing.T, target string) {
	t.Helper()
	if code, body := d.Admin(http.MethodPost, "/keepalive/targets/"+target+"/ping"); code != http.StatusOK {
		t.Fatalf("the ping: status %d: %s", code, body)
	}
}

// writeHistory writes what an earlier process would have left: a day and a month
// of pings and loads.
func writeHistory(t *testing.T, storage, fast, slow string) {
	t.Helper()
	k := &history.Keeper{
		History: history.New(), Storage: &certmagic.FileStorage{Path: storage}, Clock: caddytest.RunningClock(), Logger: zap.NewNop(),
	}
	rng := rand.New(rand.NewPCG(1, 2))
	now := k.Clock.Now()
	for name, bad := range map[string]func(ago time.Duration) (down, cold bool){
		"shop-api": func(ago time.Duration) (bool, bool) { return ago > 9*time.Hour && ago < 10*time.Hour, false },
		"blog":     func(time.Duration) (bool, bool) { return false, rng.IntN(60) == 0 },
		"chat-bot": func(ago time.Duration) (bool, bool) {
			return rng.IntN(150) == 0, ago > 17*time.Hour && ago < 18*time.Hour
		},
		"toggled": func(ago time.Duration) (bool, bool) { return ago > 20*time.Hour && ago < 23*time.Hour, false },
	} {
		for ago := 30 * 24 * time.Hour; ago > 0; ago -= 10 * time.Minute {
			down, cold := bad(ago)
			k.History.Record(status.Sample{
				Kind: status.SampleTarget, Name: name, At: now.Add(-ago), OK: !down, Cold: cold, Latency: time.Duration(30+rng.IntN(60)) * time.Millisecond,
			})
		}
	}
	for name, ms := range map[string]float64{fast: 6, slow: 31} {
		for ago := 24 * time.Hour; ago > 0; ago -= 5 * time.Minute {
			at := now.Add(-ago)
			wave := 1 + .25*math.Sin(float64(at.Unix())/9000) + .3*rng.Float64()
			k.History.Record(status.Sample{
				Kind: status.SampleUpstream, Name: status.UpstreamSeries(name, "/swagger/index.html"), At: at, OK: true,
				Latency: time.Duration(ms * wave * float64(time.Millisecond)),
			})
		}
	}
	k.History.AddEvent(status.Event{At: now.Add(-10 * time.Hour), Kind: status.EventDown, Subject: "shop-api", Message: "shop-api is down: status 503, want 2xx"})
	k.History.AddEvent(status.Event{At: now.Add(-9 * time.Hour), Kind: status.EventUp, Subject: "shop-api", Message: "shop-api is up again after 1h0m0s"})
	k.History.AddEvent(status.Event{At: now.Add(-17 * time.Hour), Kind: status.EventColdStart, Subject: "chat-bot", Message: "chat-bot was asleep; it took 12.4s to answer"})
	k.Stop(true)
}
