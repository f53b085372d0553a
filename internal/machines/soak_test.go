package machines

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

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
	clients         map[string]*http.Client // by the version of HTTP
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

// caddyfile is another one in each generation.
func (s *soak) caddyfile(generation int) string {
	return fmt.Sprintf(`{
	storage soak
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
				quota   100000000/month
				speaks  chat
			}
			channel b %[9]s {
				api_key sk-soak-key-0003
				models  m
				quota   100000000/month
				speaks  chat
			}
			channel live-a %[8]s {
				api_key sk-soak-key-0004
				models  live
			}
			channel live-b %[9]s {
				api_key sk-soak-key-0005
				models  live
			}
		}
	}
}
`, s.app, s.site, generation, s.dot, s.udp, s.dnsAddrs[0], s.dnsAddrs[1], s.chatURLs[0], s.chatURLs[1])
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
		err := job()
		if isLost(err) {
			// A reload of Caddy loses the connections that it has not accepted yet: SDKs and
			// browsers try again.
			err = job()
		}
		if err != nil && (upstreams[0].throughout(start) || upstreams[1].throughout(start)) {
			s.t.Errorf("%s after %v: %v", name, time.Since(start).Round(time.Millisecond), err)
		}
		s.mu.Lock()
		s.done[name]++
		s.mu.Unlock()
		time.Sleep(rand.N(40 * time.Millisecond))
	}
}

// isLost reports whether a connection was lost before anything has come over it.
func isLost(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
}

// disturb lets upstreams die and return, one of each kind at a time, and reloads.
func (s *soak) disturb(ctx context.Context, reloadEvery time.Duration) {
	reload := time.NewTicker(reloadEvery)
	defer reload.Stop()
	change := time.NewTicker(3 * time.Second)
	defer change.Stop()
	defer s.setDisk(diskGood)
	for generation, step := 1, 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-reload.C:
			if err := s.TryReload(s.caddyfile(generation)); err != nil {
				s.t.Errorf("reload %d: %v", generation, err)
			}
			generation++
			s.Logs.Forget() // they are kept in memory
		case <-change.C:
			// Both are able in every second step.
			which, on := step/2%2, step%2 == 1
			s.chats[which].set(on)
			s.resolver[which].set(on)
			s.setDisk([]diskState{diskGood, diskFull, diskSlow, diskReadOnly}[step%4])
			step++
		}
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
func (s *soak) load(length time.Duration, roots *x509.CertPool) {
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
	for _, client := range s.clients {
		client.CloseIdleConnections()
	}
	s.Reload(s.caddyfile(0)) // closes what was idle to the upstreams
	time.Sleep(5 * time.Second)
	s.Logs.Forget()
}

// leaksOver reports whether the process holds more than the load before can explain.
func (u use) leaksOver(before use) bool {
	return u.goroutines > before.goroutines+10 || u.files > before.files+10 || u.heapMB > before.heapMB*3/2+10
}

// settled returns what the process holds as soon as that is no more than before, at the
// latest after a minute: connections and the keepers of locks end some seconds after the
// last request, and later on a busy machine.
func settled(t *testing.T, before use) use {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
		if u := used(t); !u.leaksOver(before) || time.Now().After(deadline) {
			return u
		}
	}
}

// Under a mixed load, with reloads, upstreams that die and return, and a disk that is
// full or read-only, no client sees an error while an upstream is able, nothing leaks,
// and no request is missing from the counts. FREETIER_SOAK says for how long, such
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
	s.clients = s.httpClients(roots)
	s.load(min(length/3, time.Minute), roots)
	warm := used(t)
	s.load(length, roots)
	after := settled(t, warm)
	t.Logf("after warm-up %+v, at the end %+v", warm, after)
	if after.leaksOver(warm) {
		stacks := make([]byte, 4<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		t.Errorf("after warm-up %+v, at the end %+v:\n%s", warm, after, stacks)
	}
	s.checkCounts()
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

// checkCount compares a count of Caddy's with that of what has arrived. None may be lost.
// A request whose connection ended before it was read is counted and has not arrived.
func (s *soak) checkCount(what string, counted, arrived int64) {
	s.t.Helper()
	if excess := counted - arrived; excess < 0 || excess > 1+arrived/1000 {
		s.t.Errorf("%s: %d are counted, %d arrived", what, counted, arrived)
	}
}

// checkCounts compares what Caddy has counted with what has arrived.
func (s *soak) checkCounts() {
	s.t.Helper()
	var upstreams []struct{ Quota struct{ Used int64 } }
	_, text := s.Admin(http.MethodGet, "/doh/upstreams")
	if err := json.Unmarshal(text, &upstreams); err != nil || len(upstreams) != len(s.resolver) {
		s.t.Fatalf("%v: %s", err, text)
	}
	for i, upstream := range upstreams {
		s.checkCount(fmt.Sprint("queries of name server ", i), upstream.Quota.Used, s.resolver[i].asked.Load())
	}
	var channels []struct {
		Keys []struct{ Quotas []struct{ Used int64 } }
	}
	_, text = s.Admin(http.MethodGet, "/llm-gateway/channels")
	if err := json.Unmarshal(text, &channels); err != nil || len(channels) < len(s.chats) {
		s.t.Fatalf("%v: %s", err, text)
	}
	for i, channel := range channels[:len(s.chats)] {
		var used int64
		for _, key := range channel.Keys {
			for _, quota := range key.Quotas {
				used += quota.Used
			}
		}
		s.checkCount(fmt.Sprint("chats of channel ", i), used, s.chats[i].asked.Load())
	}
}
