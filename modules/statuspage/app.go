// Package statuspage shows what the modules of a configuration do: the directive
// `status_page` on a page for people, and the admin API as JSON.
//
// Nothing is collected on the request path. The way of what is shown:
//
//	modules ── Describe ──→ status.Registry ── Collect ──→ snapshot (Status and its JSON)
//	pings, loads, changes ──→ history.History ── annotate ──↗        │
//	                                                       renderParts, in each language
//	                                                                 │
//	GET /  ←── document ──── rendering (HTML of each part) ──── since ──→ /events
//
// One board a configuration owns the snapshot and its renderings. It asks the modules
// at most once a second, and soon after a change; only while somebody looks. A
// viewer is sent the parts whose HTML differs from what it has seen, each as one
// event. Handlers of the same configuration share the board, whatever their paths.
//
// The history belongs to the process (a UsagePool by storage), so it outlives a
// reload. The board does not: it ends at Caddy's event `stopping`, since Caddy would
// otherwise wait for the requests of viewers, and they come back to the next one.
//
// The page is built for a bound of 60 kB with 50 targets and 50 upstreams: tables
// with optional end tags left out, times that are their own machine-readable form,
// and strips and curves whose paths have small numbers that the style scales. The
// Content-Security-Policy allows no style attribute, so what varies is a class or an
// attribute of SVG.
package statuspage

import (
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/history"
	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

func init() {
	caddy.RegisterModule((*App)(nil))
}

// App holds what the status pages of one configuration share. It needs no
// configuration of its own: Caddy loads it as soon as a page asks for it.
type App struct {
	board  *board
	pool   any // the key of the history in histories
	keeper *history.Keeper
}

// histories holds the history of each storage in use, so that it outlives a reload.
var histories = caddy.NewUsagePool()

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

// Provision sets up the board, the history and their tasks.
func (a *App) Provision(ctx caddy.Context) error {
	rt, err := runtime.FromContext(ctx)
	if err != nil {
		return err
	}
	a.board = newBoard(rt.Status(), rt.Clock())
	a.pool = safestore.Identity(ctx.Storage())
	pooled, _ := histories.LoadOrStore(a.pool, history.New())
	a.keeper = &history.Keeper{History: pooled.(*history.History), Storage: ctx.Storage(), Clock: rt.Clock(), Logger: ctx.Logger()}

	rt.Status().Observe(a.keeper.History.Record)
	rt.Status().Listen(a.record)
	rt.Status().Annotate(a.annotate)
	if err := a.followEvents(rt); err != nil {
		return err
	}
	// When Caddy stops it waits for open requests, so the viewers' have to end
	// before; after a reload they come back to the new configuration.
	if err := rt.Events().On("stopping", func(caddy.Event) { a.board.close() }); err != nil {
		return err
	}
	if err := rt.Go("status page", a.board.run); err != nil {
		return err
	}
	return rt.Go("status history", a.keeper.Run)
}

// Start reads the history from the storage.
func (a *App) Start() error {
	a.keeper.Start()
	return nil
}

// Stop ends the requests of viewers and writes the history.
func (a *App) Stop() error {
	a.board.close()
	uses, _ := histories.References(a.pool)
	a.keeper.Stop(uses == 1)
	return nil
}

// Cleanup gives back what Provision took, however far it came.
func (a *App) Cleanup() error {
	if a.keeper == nil {
		return nil
	}
	_, err := histories.Delete(a.pool)
	return err
}

// annotate adds what was recorded to a status.
func (a *App) annotate(now time.Time, s *status.Status) {
	h := a.keeper.History
	for i := range s.Targets {
		t := &s.Targets[i]
		t.History = h.Of(status.SampleTarget, t.Name, now)
	}
	for i := range s.Upstreams {
		u := &s.Upstreams[i]
		u.History = h.Of(status.SampleUpstream, status.UpstreamSeries(u.Name, u.Page), now)
	}
	s.Events = h.Events()
}

// Interface guards
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
