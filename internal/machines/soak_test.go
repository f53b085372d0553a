package machines

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// able is when an upstream answers: it dies and returns.
type able struct {
	mu    sync.Mutex
	since time.Time // zero while it does not answer
	asked atomic.Int64
}

func (a *able) set(on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.since = time.Time{}
	if on {
		a.since = time.Now()
	}
}

// ask counts a request and reports whether it is to be answered.
func (a *able) ask() bool {
	a.asked.Add(1)
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.since.IsZero()
}

// throughout reports whether it was able from a second before start until now.
func (a *able) throughout(start time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.since.IsZero() && start.Sub(a.since) >= time.Second
}

// soak is what takes part in TestSoak.
type soak struct {
	*caddytest.Caddy
	t               *testing.T
	site, dot, udp  string
	chats, resolver [2]able
	chatURLs        [2]string
	dnsAddrs        [2]string
	pings           atomic.Int64
	app             string
	client          *http.Client
	next            atomic.Int64
	disk            string // of the storage; "" where none can be mounted

	mu   sync.Mutex
	done map[string]int
}

func newSoak(t *testing.T) *soak {
	s := &soak{t: t, site: caddytest.Addr(t), dot: caddytest.Addr(t), udp: caddytest.Addr(t), done: make(map[string]int)}
	for i := range s.chats {
		s.chats[i].set(true)
		s.resolver[i].set(true)
		server := httptest.NewServer(s.provider(&s.chats[i]))
		t.Cleanup(server.Close)
		s.chatURLs[i] = server.URL
		s.dnsAddrs[i] = s.nameServer(&s.resolver[i])
	}
	app := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { s.pings.Add(1) }))
	t.Cleanup(app.Close)
	s.app = app.URL
	return s
}

// provider answers chats, or fails as a provider that is down does.
func (s *soak) provider(a *able) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		on := a.ask()
		switch {
		case !on && s.next.Load()%2 == 0:
			panic(http.ErrAbortHandler)
		case !on:
			w.WriteHeader(http.StatusBadGateway)
		case strings.Contains(string(body), `"stream":true`):
			w.Header().Set("Content-Type", "text/event-stream")
			for range 20 {
				_, _ = io.WriteString(w, `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"hi "},"finish_reason":null}]}`+"\n\n")
				_ = http.NewResponseController(w).Flush()
				time.Sleep(time.Millisecond)
			}
			_, _ = io.WriteString(w, `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, completion)
		}
	}
}

// nameServer answers queries over UDP, or leaves them unanswered.
func (s *soak) nameServer(a *able) string {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	records := caddytest.Records(s.t, "@ 60 IN A 192.0.2.1")
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		if a.ask() {
			_ = w.WriteMsg(records(query.Copy()))
		}
	})}
	go func() { _ = server.ActivateAndServe() }() // until the test ends
	s.t.Cleanup(func() { _ = server.Shutdown() })
	return conn.LocalAddr().String()
}

// caddyfile is another one in each generation.
func (s *soak) caddyfile(generation int) string {
	return fmt.Sprintf(`{
	ledger_interval 400ms
	keepalive {
		interval 1s
		jitter 0%%
		target app %[1]s
	}
}
https://%[2]s {
	tls internal
	header X-Generation %[3]d
	handle /dns-query {
		doh {
			cache off
			json
			listen tls/%[4]s 127.0.0.1
			listen udp/%[5]s tcp/%[5]s
			upstream udp://%[6]s udp://%[7]s {
				quota 100000000/month
			}
		}
	}
	handle_path /status* {
		status_page
	}
	handle {
		llm_gateway {
			client alice alice-key
			channel a %[8]s {
				api_key sk-soak-key-0001 sk-soak-key-0002
				models  m
				speaks  chat
			}
			channel b %[9]s {
				api_key sk-soak-key-0003
				models  m
				speaks  chat
			}
		}
	}
}
`, s.app, s.site, generation, s.dot, s.udp, s.dnsAddrs[0], s.dnsAddrs[1], s.chatURLs[0], s.chatURLs[1])
}

// request sends an HTTP request and returns what is wrong with the response, which
// should contain a text.
func (s *soak) request(method, path, contentType, body, want string) error {
	req, err := http.NewRequest(method, "https://"+s.site+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer alice-key")
	req.Header.Set("Accept", "*/*")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || !strings.Contains(string(text), want)) {
		err = fmt.Errorf("status %d: %.300q", resp.StatusCode, text)
	}
	return err
}

func (s *soak) query() *dns.Msg {
	return new(dns.Msg).SetQuestion(fmt.Sprintf("www%d.example.", s.next.Add(1)), dns.TypeA)
}

func (s *soak) doh(get bool) error {
	raw, err := s.query().Pack()
	if err != nil {
		return err
	}
	if get {
		return s.request(http.MethodGet, "/dns-query?dns="+base64.RawURLEncoding.EncodeToString(raw), "", "", "\xc0\x00\x02\x01")
	}
	return s.request(http.MethodPost, "/dns-query", "application/dns-message", string(raw), "\xc0\x00\x02\x01")
}

func (s *soak) listener(network, addr string, config *tls.Config) error {
	c := &dns.Client{Net: network, Timeout: 20 * time.Second, TLSConfig: config}
	resp, _, err := c.Exchange(s.query(), addr)
	if err == nil && (resp.Rcode != dns.RcodeSuccess || len(resp.Answer) != 1) {
		err = fmt.Errorf("%v", resp)
	}
	return err
}

// jobs are what clients do, with the upstreams of which one is enough.
func (s *soak) jobs(roots *x509.CertPool) map[string]func() error {
	chat := func(path, extra, want string) func() error {
		return func() error {
			return s.request(http.MethodPost, path, "application/json",
				fmt.Sprintf(`{"model":"m","max_tokens":9%s,"messages":[{"role":"user","content":"hi %d"}]}`, extra, s.next.Add(1)), want)
		}
	}
	config := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
	return map[string]func() error{
		"chat":              chat("/v1/chat/completions", "", "hi"),
		"stream":            chat("/v1/chat/completions", `,"stream":true`, "[DONE]"),
		"translated":        chat("/v1/messages", "", `"end_turn"`),
		"translated stream": chat("/v1/messages", `,"stream":true`, "message_stop"),
		"DoH GET":           func() error { return s.doh(true) },
		"DoH POST":          func() error { return s.doh(false) },
		"DNS JSON": func() error {
			return s.request(http.MethodGet, fmt.Sprintf("/dns-query?name=www%d.example&type=A", s.next.Add(1)), "", "", "192.0.2.1")
		},
		"DNS over TLS": func() error { return s.listener("tcp-tls", s.dot, config) },
		"DNS over UDP": func() error { return s.listener("udp", s.udp, nil) },
		"DNS over TCP": func() error { return s.listener("tcp", s.udp, nil) },
		"status page":  func() error { return s.request(http.MethodGet, "/status/", "", "", "<html") },
	}
}

// do does a job again and again. A failure counts when an upstream was able
// throughout.
func (s *soak) do(ctx context.Context, name string, job func() error) {
	upstreams := &s.chats
	if strings.HasPrefix(name, "D") {
		upstreams = &s.resolver
	}
	for ctx.Err() == nil {
		start := time.Now()
		if err := job(); err != nil && (upstreams[0].throughout(start) || upstreams[1].throughout(start)) {
			s.t.Errorf("%s after %v: %v", name, time.Since(start).Round(time.Millisecond), err)
		}
		s.mu.Lock()
		s.done[name]++
		s.mu.Unlock()
		time.Sleep(rand.N(40 * time.Millisecond))
	}
}

// disturb lets upstreams die and return, one of each kind at a time, and reloads.
func (s *soak) disturb(ctx context.Context, reloadEvery time.Duration) {
	reload := time.NewTicker(reloadEvery)
	defer reload.Stop()
	change := time.NewTicker(3 * time.Second)
	defer change.Stop()
	defer s.setDisk("good")
	for generation, step := 1, 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-reload.C:
			if err := s.TryReload(s.caddyfile(generation)); err != nil {
				s.t.Errorf("reload %d: %v", generation, err)
			}
			generation++
		case <-change.C:
			// Both are able in every second step.
			which, on := step/2%2, step%2 == 1
			s.chats[which].set(on)
			s.resolver[which].set(on)
			s.setDisk([]string{"good", "full", "good", "read-only"}[step%4])
			step++
		}
	}
}

// mount makes a small disk for the storage.
func (s *soak) mount() {
	disk := s.t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk).CombinedOutput(); err != nil {
		s.t.Logf("the storage stays good, since no small disk can be mounted: %v: %s", err, out)
		return
	}
	s.t.Cleanup(func() { _ = exec.Command("umount", "-l", disk).Run() })
	s.disk = disk
}

// setDisk makes the disk good, full or read-only.
func (s *soak) setDisk(state string) {
	if s.disk == "" {
		return
	}
	mode, fill := "remount,rw", filepath.Join(s.disk, "fill")
	if state == "read-only" {
		mode = "remount,ro"
	}
	if out, err := exec.Command("mount", "-o", mode, s.disk).CombinedOutput(); err != nil {
		// A file that is open for writing forbids it for a moment.
		s.t.Logf("the disk does not become %s: %v: %s", state, err, out)
		return
	}
	if state == "full" {
		_ = os.WriteFile(fill, make([]byte, 4<<20), 0o600) // as much as there is space
	} else if state == "good" {
		_ = os.Remove(fill)
	}
}

// use is what a process holds.
type use struct{ goroutines, files, heapMB int }

func used(t *testing.T) use {
	t.Helper()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("open files are counted in /proc")
	}
	return use{caddytest.Goroutines(), len(files), int(m.HeapAlloc >> 20)}
}

// load puts all jobs on Caddy for a while, and waits until all has settled.
func (s *soak) load(length time.Duration, roots *x509.CertPool) use {
	ctx, cancel := context.WithTimeout(s.t.Context(), length)
	defer cancel()
	var work sync.WaitGroup
	for name, job := range s.jobs(roots) {
		work.Go(func() { s.do(ctx, name, job) })
	}
	work.Go(func() { s.disturb(ctx, 10*time.Second) })
	work.Wait()
	for i := range s.chats {
		s.chats[i].set(true)
		s.resolver[i].set(true)
	}
	s.client.CloseIdleConnections()
	s.Reload(s.caddyfile(0)) // closes what was idle to the upstreams
	time.Sleep(5 * time.Second)
	return used(s.t)
}

// Under a mixed load, with reloads, upstreams that die and return, and a disk that is
// full or read-only, no client sees an error while an upstream is able, nothing leaks,
// and the counts are those of the name servers. FREETIER_SOAK says for how long, such
// as 30m.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("FREETIER_SOAK"))
	if err != nil {
		t.Skip("FREETIER_SOAK is not set to a duration")
	}
	s := newSoak(t)
	s.mount()
	var options []caddytest.Option
	if s.disk != "" {
		options = append(options, caddytest.WithStorage(s.disk))
	}
	s.Caddy = caddytest.Start(t, s.caddyfile(0), options...)
	pem, err := os.ReadFile(s.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	s.client = s.Client()
	warm := s.load(min(length/3, time.Minute), roots)
	after := s.load(length, roots)
	if after.goroutines > warm.goroutines+10 || after.files > warm.files+10 || after.heapMB > warm.heapMB*3/2+10 {
		stacks := make([]byte, 4<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		t.Errorf("after warm-up %+v, at the end %+v:\n%s", warm, after, stacks)
	}
	var upstreams []struct{ Quota struct{ Used int64 } }
	_, text := s.Admin(http.MethodGet, "/doh/upstreams")
	if err := json.Unmarshal(text, &upstreams); err != nil || len(upstreams) != len(s.resolver) {
		t.Fatalf("%v: %s", err, text)
	}
	for i, upstream := range upstreams {
		if asked := s.resolver[i].asked.Load(); upstream.Quota.Used != asked {
			t.Errorf("name server %d: %d queries are counted, %d arrived", i, upstream.Quota.Used, asked)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.done)) {
		t.Logf("%s: %d", name, s.done[name])
		if s.done[name] == 0 {
			t.Errorf("%s was never done", name)
		}
	}
	t.Logf("pings: %d", s.pings.Load())
	if s.pings.Load() == 0 {
		t.Error("nothing was pinged")
	}
}
