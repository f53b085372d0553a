package llmgateway

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	_ "github.com/caddy-freetier/caddy-freetier/modules/keepalive"
)

// sleeper is an upstream on a platform that puts it to sleep. The app
// keepalive looks after it and never pings by itself.
type sleeper struct {
	*caddytest.Upstream
	pings chan struct{}
	wake  chan struct{} // ends a ping
}

func newSleeper(t *testing.T) *sleeper {
	s := &sleeper{pings: make(chan struct{}, 10), wake: make(chan struct{}, 10)}
	s.Upstream = caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ping" {
			caddytest.JSON(200, completion)(w, r)
			return
		}
		s.pings <- struct{}{}
		select {
		case <-s.wake:
		case <-r.Context().Done():
		}
	})
	return s
}

// chats counts the requests that were no pings.
func (s *sleeper) chats() (n int) {
	for _, r := range s.Requests() {
		if r.URI != "/ping" {
			n++
		}
	}
	return n
}

func startSleepy(t *testing.T, s *sleeper, options string) (*testGateway, *clockwork.FakeClock) {
	t.Helper()
	clock := clockwork.NewFakeClockAt(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	addr := caddytest.Addr(t)
	keepalive := "{\n\tkeepalive {\n\t\ttarget a " + s.URL + "/ping {\n\t\t\tcron \"0 0 1 1 *\"\n\t\t\tsleeps_after 15m\n\t\t}\n\t}\n"
	if !strings.Contains(options, "anonymous") {
		options = "client alice alice-key\n" + options
	}
	config := strings.Replace(site(addr, options), "{\n", keepalive, 1)
	c := caddytest.Start(t, config, caddytest.WithFakeClock(clock))
	return &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}, clock
}

func (s *sleeper) wantPings(t *testing.T, n int) {
	t.Helper()
	for range n {
		select {
		case <-s.pings:
		case <-time.After(time.Minute):
			t.Fatal("it is not woken up")
		}
	}
	if len(s.pings) > 0 {
		t.Error("it is woken up more than once")
	}
}

// wantAwake lets the ping end, and waits until it is known to be awake.
func (s *sleeper) wantAwake(t *testing.T) {
	t.Helper()
	done := caddytest.Awake(t).Wake(s.Addr())
	s.wake <- struct{}{}
	<-done
	if got := caddytest.Awake(t).State(s.Addr()); got != awake.Awake {
		t.Fatalf("it is %v", got)
	}
}

// While a channel sleeps a request goes to one that is awake, even of another
// tier, and wakes it up, once.
func TestSleepingChannelIsWoken(t *testing.T) {
	a := newSleeper(t)
	b := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g, _ := startSleepy(t, a, "channel a "+a.URL+" {\napi_key k\nmodels m\n}\nchannel b "+b.URL+" {\napi_key k\nmodels m\ntier 2\n}")
	for range 3 {
		g.chat(t, "m").wantStatus(t, 200)
	}
	a.wantPings(t, 1)
	if a, b := a.chats(), len(b.Requests()); a != 0 || b != 3 {
		t.Errorf("%d and %d requests, want 0 and 3", a, b)
	}
	a.wantAwake(t)
	g.chat(t, "m").wantStatus(t, 200)
	if a, b := a.chats(), len(b.Requests()); a != 1 || b != 3 {
		t.Errorf("after that %d and %d requests, want 1 and 3", a, b)
	}
}

// A channel of a later tier is not woken while an earlier one is awake.
func TestSpareChannelSleepsOn(t *testing.T) {
	a := newSleeper(t)
	b := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g, _ := startSleepy(t, a, "channel a "+a.URL+" {\napi_key k\nmodels m\ntier 2\n}\nchannel b "+b.URL+" {\napi_key k\nmodels m\n}")
	g.chat(t, "m").wantStatus(t, 200)
	if caddytest.Awake(t).State(a.Addr()) != awake.Asleep {
		t.Error("it was woken")
	}
	// Until the first cannot answer.
	b.Handle(caddytest.JSON(500, "{}"))
	answered := make(chan answer)
	go func() { answered <- g.chat(t, "m") }()
	a.wantPings(t, 1)
	a.wake <- struct{}{}
	(<-answered).wantStatus(t, 200)
}

// A request that has nowhere else to go waits until the channel is awake, but
// not longer than tries may take.
func TestRequestWaitsForSleepingChannel(t *testing.T) {
	step := map[string]time.Duration{"awake": 0, "still asleep": defaultTryDuration}
	for name, goOn := range map[string]func(*sleeper){
		"awake":        func(s *sleeper) { s.wake <- struct{}{} },
		"still asleep": func(*sleeper) {},
	} {
		t.Run(name, func(t *testing.T) {
			a := newSleeper(t)
			g, clock := startSleepy(t, a, "channel a "+a.URL+" {\napi_key k\nmodels m\n}")
			answered := make(chan answer)
			go func() { answered <- g.chat(t, "m") }()
			a.wantPings(t, 1)
			if n := a.chats(); n != 0 {
				t.Errorf("%d requests while it sleeps", n)
			}
			goOn(a)
			waitFor(t, clock, step[name], answered).wantStatus(t, 200)
			if n := a.chats(); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// Somebody with a key who asks for the models wakes a channel up, and nobody
// else does: anybody could keep it awake, and use up its hours, for nothing.
func TestSignsOfUsers(t *testing.T) {
	for name, test := range map[string]struct {
		method, path, origin, key string
		pings                     int
	}{
		"preflight":                   {http.MethodOptions, "/v1/chat/completions", "https://chat.example", "", 0},
		"preflight for the models":    {http.MethodOptions, "/v1/models", "https://chat.example", "alice-key", 0},
		"a method that is none":       {http.MethodTrace, "/v1/models", "", "alice-key", 0},
		"a path that is none":         {http.MethodPost, "/v1/chat", "", "alice-key", 0},
		"chat, with another key":      {http.MethodPost, "/v1/chat/completions", "", "other-key", 0},
		"preflight of another origin": {http.MethodOptions, "/v1/chat/completions", "https://other.example", "", 0},
		"models":                      {http.MethodGet, "/v1/models", "", "alice-key", 1},
		"models, with another key":    {http.MethodGet, "/v1/models", "", "other-key", 0},
		"a model that does not exist": {http.MethodPost, "/v1/chat/completions", "", "alice-key", 0},
	} {
		t.Run(name, func(t *testing.T) {
			a := newSleeper(t)
			g, _ := startSleepy(t, a, "cors https://chat.example\nchannel a "+a.URL+" {\napi_key k\nmodels m\n}")
			req, err := http.NewRequestWithContext(t.Context(), test.method, g.URL+test.path, strings.NewReader(`{"model":"other"}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Origin", test.origin)
			req.Header.Set("Authorization", "Bearer "+test.key)
			resp, err := g.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			a.wantPings(t, test.pings)
			if got := caddytest.Awake(t).State(a.Addr()); (got == awake.Waking) != (test.pings > 0) {
				t.Errorf("it is %v", got)
			}
		})
	}
}

// Nobody has a key of an anonymous gateway, so asking for the models wakes
// nothing there.
func TestAnonymousModelsWakeNothing(t *testing.T) {
	a := newSleeper(t)
	g, _ := startSleepy(t, a, "anonymous\nchannel a "+a.URL+" {\napi_key k\nmodels m\n}")
	g.do(t, http.MethodGet, "/v1/models", "").wantStatus(t, 200)
	a.wantPings(t, 0)
	if got := caddytest.Awake(t).State(a.Addr()); got != awake.Asleep {
		t.Errorf("it is %v", got)
	}
}

// A client that may use some models only wakes the channels that have one.
func TestModelsWakeWhatTheClientMayUse(t *testing.T) {
	for name, test := range map[string]struct {
		mayUse, has string
		pings       int
	}{
		"its model":                {"small", "large small", 1},
		"another model":            {"small", "large", 0},
		"its pattern":              {"small-*", "large small-1", 1},
		"another pattern":          {"small-*", "large-*", 0},
		"pattern of the channel":   {"small-1", "small-*", 1},
		"patterns of both":         {"small-*", "sm*", 1},
		"pattern for anything":     {"small", "*", 1},
		"all but another's models": {"*", "large", 1},
	} {
		t.Run(name, func(t *testing.T) {
			a := newSleeper(t)
			g, _ := startSleepy(t, a, "client bob key-of-bob {\nmodels "+test.mayUse+"\n}\nchannel a "+a.URL+" {\napi_key k\nmodels "+test.has+"\n}")
			g.do(t, http.MethodGet, "/v1/models", "", "Authorization", "Bearer key-of-bob").wantStatus(t, 200)
			a.wantPings(t, test.pings)
		})
	}
}
