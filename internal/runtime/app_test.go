package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
)

// beat is a handler with a background task, as our policies and handlers have.
type beat struct {
	Panics bool `json:"panics,omitempty"`
	app    *runtime.App
	ctx    caddy.Context
}

var (
	running atomic.Int64
	ticks   = make(chan time.Time, 100)
)

func init() {
	caddy.RegisterModule((*beat)(nil))
	httpcaddyfile.RegisterHandlerDirective("beat", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		h.Next()
		return &beat{Panics: h.NextArg()}, nil
	})
	httpcaddyfile.RegisterDirectiveOrder("beat", httpcaddyfile.Before, "respond")
}

func (*beat) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.beat", New: func() caddy.Module { return new(beat) }}
}

func (b *beat) Provision(ctx caddy.Context) (err error) {
	if b.app, err = runtime.FromContext(ctx); err != nil {
		return err
	}
	b.ctx = ctx
	return b.app.Go("beat", b.run)
}

func (b *beat) run(ctx context.Context) {
	running.Add(1)
	defer running.Add(-1)
	b.app.Events().Emit(b.ctx, "beat", nil)
	if b.Panics {
		panic("on purpose")
	}
	ticker := b.app.Clock().NewTicker(time.Minute)
	defer ticker.Stop()
	for {
		select {
		case at := <-ticker.Chan():
			ticks <- at
		case <-ctx.Done():
			return
		}
	}
}

func (b *beat) ServeHTTP(w http.ResponseWriter, _ *http.Request, _ caddyhttp.Handler) error {
	if err := b.app.Go("late", b.run); err == nil {
		return errors.New("a task was accepted after the start")
	}
	_, err := fmt.Fprint(w, running.Load())
	return err
}

func TestFiftyReloads(t *testing.T) {
	before := caddytest.Goroutines()
	addr := caddytest.Addr(t)
	config := func(i int) string { return fmt.Sprintf("http://%s {\n\theader X-Reload %d\n\tbeat\n}", addr, i) }
	c := caddytest.Start(t, config(0))
	for i := range 50 {
		c.Reload(config(i + 1))
		if n := running.Load(); n > 1 {
			t.Fatalf("%d tasks run after reload %d, want 1", n, i+1)
		}
	}
	resp, err := c.Client().Get("http://" + addr)
	for tries := 0; err != nil && tries < 10; tries++ {
		// Caddy's old listener, while it closes, resets connections that have
		// come to it and not to the new one.
		resp, err = c.Client().Get("http://" + addr)
	}
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("X-Reload") != "50" {
		t.Errorf("status %d after reload %s", resp.StatusCode, resp.Header.Get("X-Reload"))
	}
	c.Client().CloseIdleConnections()
	c.Stop()
	if n := running.Load(); n != 0 {
		t.Errorf("%d tasks run after the end, want 0", n)
	}
	caddytest.NoLeak(t, before)
}

func TestClock(t *testing.T) {
	clock := clockwork.NewFakeClockAt(time.Date(2026, 2, 28, 23, 59, 30, 0, time.UTC))
	caddytest.Start(t, "http://"+caddytest.Addr(t)+" {\n\tbeat\n}", caddytest.WithFakeClock(clock))
	for minute := 1; minute <= 3; minute++ {
		if err := clock.BlockUntilContext(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		clock.Advance(time.Minute)
		if at := <-ticks; !at.Equal(clock.Now()) {
			t.Errorf("tick at %v, want %v", at, clock.Now())
		}
	}
}

func TestPanicEndsOnlyTheTask(t *testing.T) {
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, "http://"+addr+" {\n\tbeat panic\n}")
	c.Logs.Wait(t, "background task panicked", `"task":"beat"`, "on purpose")
	resp, err := c.Client().Get("http://" + addr)
	if err != nil {
		t.Fatalf("the server died with the task: %v", err)
	}
	resp.Body.Close()
}

// A configuration that fails while it is provisioned never starts its tasks.
func TestRefusedConfiguration(t *testing.T) {
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, "http://"+addr+" {\n\tbeat\n}")
	err := c.TryReload("http://" + addr + " {\n\tbeat\n\treverse_proxy 127.0.0.1:1 {\n\t\ttrusted_proxies nonsense\n\t}\n}")
	if err == nil {
		t.Fatal("the configuration was accepted")
	}
	if n := running.Load(); n != 1 {
		t.Errorf("%d tasks run, want the one of the old configuration", n)
	}
}
