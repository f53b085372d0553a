// Package statuspage shows what the modules of a configuration do: the directive
// `status_page` on a page for people, and the admin API as JSON.
package statuspage

import (
	"context"
	"fmt"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
)

func init() {
	caddy.RegisterModule((*App)(nil))
}

// App holds what the status pages of one configuration share. It needs no
// configuration of its own: Caddy loads it as soon as a page asks for it.
type App struct {
	board *board
}

// fromContext returns the app of the configuration that is being provisioned.
func fromContext(ctx caddy.Context) (*App, error) {
	app, err := ctx.App("freetier.status")
	if err != nil {
		return nil, fmt.Errorf("loading the app freetier.status: %w", err)
	}
	return app.(*App), nil
}

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "freetier.status",
		New: func() caddy.Module { return new(App) },
	}
}

// Provision sets up the board and its task.
func (a *App) Provision(ctx caddy.Context) error {
	rt, err := runtime.FromContext(ctx)
	if err != nil {
		return err
	}
	a.board = newBoard(rt.Status(), rt.Clock())
	// When Caddy stops it waits for open requests, so the viewers' have to end
	// before; after a reload they come back to the new configuration.
	if err := rt.Events().On("stopping", func(caddy.Event) { a.board.close() }); err != nil {
		return err
	}
	return rt.Go("status page", func(ctx context.Context) { a.board.run(ctx) })
}

// Start implements caddy.App.
func (a *App) Start() error { return nil }

// Stop ends the requests of viewers.
func (a *App) Stop() error {
	a.board.close()
	return nil
}

// Interface guards
var (
	_ caddy.App         = (*App)(nil)
	_ caddy.Provisioner = (*App)(nil)
)
