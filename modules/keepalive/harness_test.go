package keepalive

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// TestMain makes the system trust the upstreams of caddytest that speak TLS.
func TestMain(m *testing.M) {
	if caddytest.IsProcess() {
		caddytest.Main(m)
		return
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "keepalive")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		server := httptest.NewTLSServer(http.NotFoundHandler())
		defer server.Close()
		file := filepath.Join(dir, "ca.pem")
		cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
		if err := os.WriteFile(file, cert, 0o600); err != nil {
			panic(err)
		}
		os.Setenv("SSL_CERT_FILE", file)
		return m.Run()
	}())
}

// bench is a Caddy with a clock that the test turns.
type bench struct {
	seen seen
	*caddytest.Caddy
	t     *testing.T
	clock *clockwork.FakeClock
	began time.Time
}

// startAt starts Caddy at midnight, UTC, with the given options of keepalive.
func startAt(t *testing.T, options string) *bench {
	t.Helper()
	b := &bench{t: t, began: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	b.clock = clockwork.NewFakeClockAt(b.began)
	b.Caddy = caddytest.Start(t, keepaliveFile(options), caddytest.WithFakeClock(b.clock))
	return b
}

func keepaliveFile(options string) string {
	return "{\n\tkeepalive {\n" + options + "\n\t}\n}\n"
}

func (b *bench) reload(options string) {
	b.t.Helper()
	b.Reload(keepaliveFile(options))
}

// targets asks the admin API.
func (b *bench) targets() []targetStatus {
	b.t.Helper()
	status, body := b.Admin(http.MethodGet, "/keepalive/targets")
	if status != http.StatusOK {
		b.t.Fatalf("status %d: %s", status, body)
	}
	var all []targetStatus
	if err := json.Unmarshal(body, &all); err != nil {
		b.t.Fatalf("%v: %s", err, body)
	}
	return all
}

func (b *bench) target(name string) targetStatus {
	b.t.Helper()
	for _, target := range b.targets() {
		if target.Name == name {
			return target
		}
	}
	b.t.Fatalf("no target %s", name)
	return targetStatus{}
}

// state returns the state of a target.
func (b *bench) state(name string) *state {
	b.t.Helper()
	t := activeApp().target(name)
	if t == nil {
		b.t.Fatalf("no target %s", name)
	}
	return t.pinger.state
}

// settled waits until a target has been pinged so many times and no ping of it
// is under way.
func (b *bench) settled(name string, pings int) result {
	b.t.Helper()
	var latest result
	b.until(fmt.Sprintf("%s has been pinged %d times", name, pings), func() bool {
		s := b.state(name)
		s.mu.Lock()
		defer s.mu.Unlock()
		latest = s.health.latest
		if s.health.pings > pings {
			b.t.Fatalf("%s has been pinged %d times, want %d", name, s.health.pings, pings)
		}
		return s.health.pings == pings && s.running == nil
	})
	return latest
}

// until waits for what has no event to wait for.
func (b *bench) until(what string, done func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("it does not come that %s; the log is:\n%s", what, b.Logs)
		}
	}
}

// advance turns the clock, once something waits for it.
func (b *bench) advance(d time.Duration) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	if err := b.clock.BlockUntilContext(ctx, 1); err != nil {
		b.t.Fatalf("nothing waits for the clock: %v", err)
	}
	b.clock.Advance(d)
}

// tick turns the clock to the next ping of a target and waits for the tick to
// be done with.
func (b *bench) tick(name string) {
	b.t.Helper()
	s := b.state(name)
	s.mu.Lock()
	due, last := s.due, s.last
	s.mu.Unlock()
	b.clock.Advance(due.Sub(b.clock.Now()))
	b.until("the tick is done with", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return !s.last.Equal(last) && s.running == nil
	})
}

func (b *bench) since(at time.Time) time.Duration { return at.Sub(b.began) }

// counting returns an upstream that answers 200.
func counting(t *testing.T) *caddytest.Upstream {
	t.Helper()
	return caddytest.NewUpstream(t, caddytest.Answer(http.StatusOK, "text/plain", "awake"))
}

// gated returns a handler that answers when the gate is opened.
func gated(gate <-chan struct{}) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-gate:
		case <-r.Context().Done():
		}
	}
}

// eventLog is an event handler that remembers what it was given.
type eventLog struct{}

var events struct {
	sync.Mutex
	seen []string
}

func init() { caddy.RegisterModule(eventLog{}) }

func (eventLog) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.keepalive_test", New: func() caddy.Module { return new(eventLog) }}
}

func (*eventLog) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return nil
}

func (eventLog) Handle(_ context.Context, e caddy.Event) error {
	events.Lock()
	defer events.Unlock()
	events.seen = append(events.seen, fmt.Sprintf("%s %v %v %v %v",
		e.Name(), e.Data["target"], e.Data["status"], e.Data["failures"], e.Data["error"]))
	return nil
}

func forgetEvents() {
	events.Lock()
	defer events.Unlock()
	events.seen = nil
}

func seenEvents() string {
	events.Lock()
	defer events.Unlock()
	return strings.Join(events.seen, "\n")
}

var _ caddyevents.Handler = eventLog{}
