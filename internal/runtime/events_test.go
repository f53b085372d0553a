package runtime_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// listener is an event handler.
type listener struct{}

var heard = make(chan string, 1000)

func init() { caddy.RegisterModule(listener{}) }

func (listener) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.runtime_test", New: func() caddy.Module { return new(listener) }}
}

func (*listener) UnmarshalCaddyfile(*caddyfile.Dispenser) error { return nil }

func (*listener) Handle(_ context.Context, e caddy.Event) error {
	heard <- e.Name()
	return nil
}

// An event that is emitted while Caddy starts its apps reaches those who
// subscribed to it, whichever app starts first.
func TestEventsWhileStarting(t *testing.T) {
	addr := caddytest.Addr(t)
	config := func(i int) string {
		return fmt.Sprintf("{\n\tevents {\n\t\ton beat runtime_test\n\t}\n}\nhttp://%s {\n\theader X-Reload %d\n\tbeat\n}", addr, i)
	}
	c := caddytest.Start(t, config(0))
	for i := range 20 {
		select {
		case <-heard:
		case <-time.After(time.Minute):
			t.Fatalf("no event came after reload %d", i)
		}
		c.Reload(config(i + 1))
	}
}
