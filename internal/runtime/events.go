package runtime

import (
	"context"
	"fmt"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
)

// Events emits events through Caddy's app `events`. Caddy starts its apps in
// no order, and that app must not be given an event while it starts: what
// comes before all apps have started waits until then.
type Events struct {
	app *caddyevents.App

	mu      sync.Mutex
	started bool
	waiting []func()
}

func newEvents(ctx caddy.Context) (*Events, error) {
	app, err := ctx.App("events")
	if err != nil {
		return nil, fmt.Errorf("loading the app events: %w", err)
	}
	e := &Events{app: app.(*caddyevents.App)}
	// Caddy itself emits it when all apps have started.
	return e, e.app.On("started", e)
}

// Emit emits an event of the module whose context ctx is. Data must not be
// changed afterwards.
func (e *Events) Emit(ctx caddy.Context, name string, data map[string]any) {
	emit := func() { e.app.Emit(ctx, name, data) }
	e.mu.Lock()
	if !e.started {
		e.waiting = append(e.waiting, emit)
		e.mu.Unlock()
		return
	}
	e.mu.Unlock()
	emit()
}

// On calls handle with each event of a name, on the goroutine that emits it. It is
// called in Provision.
func (e *Events) On(name string, handle func(caddy.Event)) error {
	return e.app.On(name, subscriber(handle))
}

type subscriber func(caddy.Event)

// Handle implements caddyevents.Handler.
func (s subscriber) Handle(_ context.Context, event caddy.Event) error {
	s(event)
	return nil
}

// Handle implements caddyevents.Handler: it emits what has waited.
func (e *Events) Handle(context.Context, caddy.Event) error {
	for {
		e.mu.Lock()
		waiting := e.waiting
		e.waiting, e.started = nil, len(waiting) == 0
		e.mu.Unlock()
		if len(waiting) == 0 {
			return nil
		}
		for _, emit := range waiting {
			emit()
		}
	}
}

// Interface guards
var (
	_ caddyevents.Handler = (*Events)(nil)
	_ caddyevents.Handler = subscriber(nil)
)
