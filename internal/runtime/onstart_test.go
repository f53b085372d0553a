package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
)

// early is a handler that prepares something before its task runs.
type early struct {
	Mode string `json:"mode,omitempty"`
}

// order is what instances of early have done.
var order struct {
	sync.Mutex
	steps []string
	ran   chan struct{}
}

func step(name string) {
	order.Lock()
	defer order.Unlock()
	order.steps = append(order.steps, name)
}

func init() {
	caddy.RegisterModule((*early)(nil))
	httpcaddyfile.RegisterHandlerDirective("early", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		h.Next()
		h.NextArg()
		return &early{Mode: h.Val()}, nil
	})
	httpcaddyfile.RegisterDirectiveOrder("early", httpcaddyfile.Before, "respond")
}

func (*early) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.early", New: func() caddy.Module { return new(early) }}
}

func (e *early) Provision(ctx caddy.Context) error {
	app, err := runtime.FromContext(ctx)
	if err != nil {
		return err
	}
	if err := app.Go("task of early", func(context.Context) {
		step("task")
		order.ran <- struct{}{}
	}); err != nil {
		return err
	}
	return app.OnStart("preparation of early", func() error {
		step(e.Mode)
		switch e.Mode {
		case "fails":
			return errors.New("on purpose")
		case "panics":
			panic("on purpose")
		}
		return nil
	})
}

func (*early) ServeHTTP(http.ResponseWriter, *http.Request, caddyhttp.Handler) error { return nil }

// What is registered with OnStart is done before the tasks run, not for a
// configuration that is only validated, and its failure is one of the reload.
func TestOnStart(t *testing.T) {
	order.ran, order.steps = make(chan struct{}, 10), nil
	addr := caddytest.Addr(t)
	config := func(mode string) string { return fmt.Sprintf("http://%s {\n\tearly %s\n}", addr, mode) }
	if err := caddytest.Validate(config("works")); err != nil {
		t.Fatal(err)
	}
	c := caddytest.Start(t, config("works"))
	<-order.ran
	for _, mode := range []string{"fails", "panics"} {
		if err := c.TryReload(config(mode)); err == nil {
			t.Errorf("a preparation that %s does not fail the reload", mode)
		}
	}
	order.Lock()
	defer order.Unlock()
	if got := fmt.Sprint(order.steps); got != "[works task fails panics]" {
		t.Errorf("done: %s", got)
	}
}
