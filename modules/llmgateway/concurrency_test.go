package llmgateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/capability"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
)

// busyProvider answers when it is told to, and counts what is under way.
type busyProvider struct {
	answer http.HandlerFunc // set unless it is a completion

	mu      sync.Mutex
	running map[string]int // by key, and by key and model
	most    map[string]int
	held    chan struct{} // closed: everything is answered at once
	order   []string      // of the prompts, as they came
}

func newBusyProvider() *busyProvider {
	return &busyProvider{running: make(map[string]int), most: make(map[string]int), held: make(chan struct{})}
}

func (p *busyProvider) count(delta int, names ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range names {
		p.running[name] += delta
		p.most[name] = max(p.most[name], p.running[name])
	}
}

func (p *busyProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	model := key + " other"
	if strings.Contains(string(body), `"m"`) {
		model = key + " m"
	}
	p.count(1, key, model)
	defer p.count(-1, key, model)
	p.mu.Lock()
	p.order = append(p.order, string(body))
	p.mu.Unlock()
	if p.answer != nil {
		p.answer(w, r)
		return
	}
	select {
	case <-p.held:
	case <-r.Context().Done():
		return
	}
	caddytest.JSON(200, completion)(w, r)
}

// under returns how many requests are under way.
func (p *busyProvider) under() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, running := range p.running {
		if !strings.Contains(name, " ") {
			n += running
		}
	}
	return n
}

func (p *busyProvider) mostOf(name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.most[name]
}

// until waits until something is so.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// slotsOf returns how many slots are taken of all keys, and how many places in
// queues.
func slotsOf() (used, waiting int) {
	for _, g := range loadedGateways() {
		for _, c := range g.channels {
			for _, k := range c.keys() {
				u, w := k.slots.Total()
				used, waiting = used+u, waiting+w
			}
			u, w := c.slots.Total()
			used, waiting = used+u, waiting+w
		}
	}
	return used, waiting
}

// wantNoSlots waits until all slots are free.
func wantNoSlots(t testing.TB) {
	t.Helper()
	until(t, "all slots are given back", func() bool {
		used, waiting := slotsOf()
		return used == 0 && waiting == 0
	})
}

// No key answers more at once than it may. A key with a free slot is taken before
// anybody waits, and who waits gets one in the order of coming.
func TestConcurrency(t *testing.T) {
	for _, tc := range []struct {
		option, model string // of the last requests
		fits          int    // so many of the model m are under way
		most          map[string]int
	}{
		{"concurrency 2", "other", 4, map[string]int{"key-number-1": 2, "key-number-2": 2}},
		{"concurrency 2 per model", "m", 4, map[string]int{"key-number-1 m": 2, "key-number-2 m": 2}},
	} {
		p := newBusyProvider()
		up := caddytest.NewUpstream(t, p.ServeHTTP)
		g := start(t, "channel a "+up.URL+" {\napi_key key-number-1 key-number-2\nmodels *\n"+tc.option+"\n}")
		var all []<-chan int
		for i := range tc.fits {
			all = append(all, g.asking(t.Context(), t, "m", fmt.Sprint("first ", i)))
		}
		until(t, "as many are under way as may be", func() bool { return p.under() == tc.fits })
		for i := range 4 {
			all = append(all, g.asking(t.Context(), t, tc.model, fmt.Sprint("later ", i)))
			until(t, "it waits", func() bool { _, waiting := slotsOf(); return waiting >= 2*(i+1) })
		}
		if tc.model == "m" {
			other := g.asking(t.Context(), t, "other", "other")
			until(t, "another model is asked at once", func() bool { return p.under() == tc.fits+1 })
			all = append(all, other)
		} else if n := p.under(); n != tc.fits {
			t.Errorf("%s: %d are under way, want %d", tc.option, n, tc.fits)
		}
		close(p.held)
		for _, done := range all {
			if status := <-done; status != 200 {
				t.Errorf("%s: status %d", tc.option, status)
			}
		}
		for name, want := range tc.most {
			if got := p.mostOf(name); got != want {
				t.Errorf("%s: %s had %d at once, want %d", tc.option, name, got, want)
			}
		}
		wantNoSlots(t)
	}
}

// Who waits is served in the order of coming.
func TestConcurrencyOrder(t *testing.T) {
	p := newBusyProvider()
	up := caddytest.NewUpstream(t, p.ServeHTTP)
	g := start(t, "channel a "+up.URL+" {\napi_key key-number-1\nmodels *\nconcurrency 1\n}")
	var all []<-chan int
	for i := range 5 {
		all = append(all, g.asking(t.Context(), t, "m", fmt.Sprint("number ", i)))
		until(t, "it waits", func() bool { used, waiting := slotsOf(); return used == 1 && waiting == i })
	}
	until(t, "the first is under way", func() bool { return p.under() == 1 })
	close(p.held)
	for _, done := range all {
		<-done
	}
	for i, body := range p.order {
		if !strings.Contains(body, fmt.Sprint("number ", i)) {
			t.Errorf("as number %d came %s", i, body)
		}
	}
	wantNoSlots(t)
}

// Nobody waits longer than `wait`, and the client hears why.
func TestConcurrencyWait(t *testing.T) {
	p, clock := newBusyProvider(), clockwork.NewFakeClockAt(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	up := caddytest.NewUpstream(t, p.ServeHTTP)
	g := startOn(t, t.TempDir(), clock, "wait 20s\nchannel a "+up.URL+" {\napi_key key-number-1\nmodels *\nconcurrency 1\n}")
	first := g.asking(t.Context(), t, "m", "first")
	until(t, "the first is under way", func() bool { return p.under() == 1 })
	late := make(chan answer, 1)
	go func() { late <- g.chat(t, "m") }()
	until(t, "the second waits", func() bool { _, waiting := slotsOf(); return waiting == 1 })
	clock.Advance(20 * time.Second)
	a := <-late
	a.wantError(t, 429, "rate_limit_exceeded")
	if !strings.Contains(a.text, "1 busy") || a.Header.Get("Retry-After") == "" {
		t.Errorf("it hears %s, Retry-After %q", a.text, a.Header.Get("Retry-After"))
	}
	if _, waiting := slotsOf(); waiting != 0 {
		t.Errorf("%d places are left in the queue", waiting)
	}
	close(p.held)
	if status := <-first; status != 200 {
		t.Errorf("the first got status %d", status)
	}
	wantNoSlots(t)
}

// What was seen of many candidates a moment ago lets nobody queue for a key that has a
// slot and may not be used: that would end at once, and begin anew.
func TestConcurrencyAfterASurvey(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	_, clock, _ := startAt(t, channels(up.URL, 1, 300, "concurrency 1"))
	g, now := loadedGateways()[0], clock.Now()
	var all candidates
	all.begin(g.planner.of([]string{"m"}, false), newChoice(g.keyPolicy, &g.balancer, nil, nil), capability.Needs{}, false)
	for _, k := range channelOf(t, "c0").keys() {
		k.slots.TryAcquire("", 1)
	}
	seen := all.survey(now)
	if n := len(all.busy(seen, now)); n != mostQueues {
		t.Errorf("%d candidates are busy, want the %d that are queued for", n, mostQueues)
	}
	for _, k := range channelOf(t, "c0").keys() {
		k.cooldowns.Start("m", stated(refusal.ReasonRateLimit, time.Minute, clock), now)
		k.slots.Release("")
	}
	if n := len(all.busy(all.survey(now), now)); n != 0 {
		t.Errorf("%d candidates in cooldown are busy, want 0", n)
	}
}

// So does a request of which another attempt has failed.
func TestConcurrencyAfterAFailure(t *testing.T) {
	p := newBusyProvider()
	refused := false
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), "refused once") && !refused {
			refused = true
			w.Header().Set("Retry-After", "900")
			caddytest.JSON(429, `{"error":{"message":"Rate limit reached","code":"rate_limit_exceeded"}}`)(w, r)
			return
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		p.ServeHTTP(w, r)
	})
	g := start(t, "channel a "+up.URL+" {\napi_key key-number-1 key-number-2\nmodels *\nconcurrency 1\n}")
	first := g.asking(t.Context(), t, "m", "first")
	until(t, "the first is under way", func() bool { return p.under() == 1 })
	second := g.asking(t.Context(), t, "m", "refused once")
	until(t, "the second waits for the other key", func() bool { used, waiting := slotsOf(); return used == 1 && waiting == 1 })
	close(p.held)
	for i, done := range []<-chan int{first, second} {
		if status := <-done; status != 200 {
			t.Errorf("request %d got status %d", i+1, status)
		}
	}
	wantNoSlots(t)
}

// A client that leaves frees its slot or its place.
func TestConcurrencyAndClientsThatLeave(t *testing.T) {
	p := newBusyProvider()
	up := caddytest.NewUpstream(t, p.ServeHTTP)
	g := start(t, "channel a "+up.URL+" {\napi_key key-number-1\nmodels *\nconcurrency 1\n}")
	ctx, leave := context.WithCancel(t.Context())
	first := g.asking(ctx, t, "m", "first")
	until(t, "the first is under way", func() bool { return p.under() == 1 })
	queued, leaveQueue := context.WithCancel(t.Context())
	second := g.asking(queued, t, "m", "second")
	until(t, "the second waits", func() bool { _, waiting := slotsOf(); return waiting == 1 })
	third := g.asking(t.Context(), t, "m", "third")
	until(t, "the third waits", func() bool { _, waiting := slotsOf(); return waiting == 2 })
	leaveQueue()
	until(t, "the second has left", func() bool { _, waiting := slotsOf(); return waiting == 1 })
	leave()
	until(t, "the third is under way", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.order) == 2 && strings.Contains(p.order[1], "third")
	})
	close(p.held)
	if status := <-third; status != 200 {
		t.Errorf("the third got status %d", status)
	}
	<-first
	<-second
	wantNoSlots(t)
}

// A stream holds its slot to its end.
func TestConcurrencyOfStreams(t *testing.T) {
	events := make(chan string)
	p := newBusyProvider()
	p.answer = caddytest.SSE(events)
	up := caddytest.NewUpstream(t, p.ServeHTTP)
	g := start(t, "channel a "+up.URL+" {\napi_key key-number-1\nmodels *\nconcurrency 1\n}")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL+"/v1/chat/completions", strings.NewReader(`{"model":"m","stream":true,"messages":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer alice-key")
	req.Header.Set("Content-Type", "application/json")
	go func() { events <- "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\n" }()
	resp, err := g.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if used, _ := slotsOf(); used != 1 {
		t.Errorf("%d slots are taken in the middle of a stream, want 1", used)
	}
	close(events)
	_, _ = io.Copy(io.Discard, resp.Body)
	wantNoSlots(t)
}

// So does a WebSocket.
func TestConcurrencyOfWebSockets(t *testing.T) {
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n")
		rw.Flush()
		_, _ = io.Copy(conn, rw)
	})
	g := start(t, "channel a "+up.URL+" {\napi_key key-number-1\nmodels *\nconcurrency 1\n}")
	host := strings.TrimPrefix(g.URL, "http://")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /v1/realtime?model=m HTTP/1.1\r\nHost: "+host+"\r\nAuthorization: Bearer alice-key\r\n"+
		"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", resp, err)
	}
	if used, _ := slotsOf(); used != 1 {
		t.Errorf("%d slots are taken while the WebSocket is open, want 1", used)
	}
	conn.Close()
	wantNoSlots(t)
}

// Reloads under load with full queues: nobody waits for ever, no limit doubles, and
// no slot is lost.
func TestConcurrencyOverReloads(t *testing.T) {
	before := caddytest.Goroutines()
	p := newBusyProvider()
	p.answer = caddytest.Slow(2*time.Millisecond, caddytest.JSON(200, completion))
	up := caddytest.NewUpstream(t, p.ServeHTTP)
	addr := caddytest.Addr(t)
	config := func(n int) string {
		return site(addr, fmt.Sprintf("client alice alice-key\nretries %d\nwait 60s\nchannel a %s {\napi_key key-number-1 key-number-2\nmodels *\nconcurrency 2\n}", 1+n%5, up.URL))
	}
	c := caddytest.Start(t, config(0))
	g := &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 24 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := chatPersistently(g.client, g.URL); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := range 15 {
		until(t, "the queues are full", func() bool { _, waiting := slotsOf(); return waiting > 4 })
		c.Reload(config(n + 1))
	}
	close(stop)
	wg.Wait()
	wantNoSlots(t)
	for _, key := range []string{"key-number-1", "key-number-2"} {
		if got := p.mostOf(key); got != 2 {
			t.Errorf("%s had %d at once, want 2", key, got)
		}
	}
	g.client.CloseIdleConnections()
	c.Stop()
	up.CloseClientConnections()
	up.Close()
	caddytest.NoLeak(t, before)
}
