// Package runtime holds the app `freetier`, which owns everything that runs
// by itself: probes, pings, list refreshes, ledger writes, and DNS listeners.
//
// Policies, upstream sources, transports and handlers have only Provision, in
// which nothing may run or touch the network (it also runs for `caddy
// validate`). They register their work here instead, and it lives between the
// app's Start and Stop:
//
//	app, err := runtime.FromContext(ctx)
//	if err != nil {
//		return err
//	}
//	return app.Go("probes", p.run)
package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

// stopGrace is how long Stop waits for tasks. A task that ignores its context
// for longer is a bug; it is named in the log rather than blocking a reload.
const stopGrace = 10 * time.Second

func init() {
	caddy.RegisterModule((*App)(nil))
}

// App runs the background tasks of one configuration. It needs no
// configuration of its own, since Caddy loads it as soon as a module asks for
// it; the global option `freetier` has what concerns all modules.
type App struct {
	// Where the tasks' time comes from. Default: the system's clock. Tests
	// put a clock here that they turn by hand.
	ClockRaw json.RawMessage `json:"clock,omitempty" caddy:"namespace=freetier.clocks inline_key=source"`

	// The environment variables that the Caddyfile was read with. Default: it
	// is not checked whether the server has the same ones.
	Variables *Variables `json:"variables,omitempty"`

	clock  clockwork.Clock
	events *Events
	awake  *awake.Tracker
	status status.Registry
	logger *zap.Logger

	mu        sync.Mutex
	tasks     []*task
	listeners listeners
	first     []preparation
	started   bool
	cancel    context.CancelFunc
}

// trackers holds the process's only awake.Tracker while any configuration uses
// it: what is known of instances outlives a reload.
var trackers = caddy.NewUsagePool()

const trackerKey = "awake"

// ClockSource is a module of the namespace `freetier.clocks`.
type ClockSource interface {
	Clock() clockwork.Clock
}

type task struct {
	name string
	run  func(context.Context)
	done chan struct{}
}

// preparation is what comes before the tasks.
type preparation struct {
	name string
	run  func() error
}

// errStarted is the answer to work that comes too late.
var errStarted = errors.New("the app has started: tasks and listeners are registered in Provision")

// FromContext returns the app of the configuration that is being provisioned
// and makes Caddy load, start and stop it with that configuration.
func FromContext(ctx caddy.Context) (*App, error) {
	app, err := ctx.App("freetier")
	if err != nil {
		return nil, fmt.Errorf("loading the app freetier: %w", err)
	}
	return app.(*App), nil
}

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "freetier",
		New: func() caddy.Module { return new(App) },
	}
}

// Provision sets up the clock and the events.
func (a *App) Provision(ctx caddy.Context) (err error) {
	a.logger = ctx.Logger()
	pooled, _ := trackers.LoadOrStore(trackerKey, awake.NewTracker())
	a.awake = pooled.(*awake.Tracker)
	if a.Variables != nil {
		if err := a.Variables.check(a.logger); err != nil {
			return err
		}
	}
	if a.events, err = newEvents(ctx); err != nil {
		return err
	}
	if err := a.events.app.On("started", certificateCheck{a, ctx}); err != nil {
		return err
	}
	a.clock = clockwork.NewRealClock()
	if a.ClockRaw != nil {
		mod, err := ctx.LoadModule(a, "ClockRaw")
		if err != nil {
			return fmt.Errorf("loading the clock: %w", err)
		}
		a.clock = mod.(ClockSource).Clock()
	}
	return nil
}

// Clock is what tasks tell the time by.
func (a *App) Clock() clockwork.Clock { return a.clock }

// Events is what tasks emit events through.
func (a *App) Events() *Events { return a.events }

// Awake is what the process knows of its upstreams.
func (a *App) Awake() *awake.Tracker { return a.awake }

// Status is where modules describe themselves, for the status page and the admin
// API.
func (a *App) Status() *status.Registry { return &a.status }

// Go registers run, which is called in a goroutine of its own when the
// configuration starts and must return soon after its context is done. While
// a new configuration replaces an old one, both run for a moment: state that
// they share needs a lock of its own. Go fails once the app has started.
func (a *App) Go(name string, run func(context.Context)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.started {
		return fmt.Errorf("%s: %w", name, errStarted)
	}
	a.tasks = append(a.tasks, &task{name: name, run: run, done: make(chan struct{})})
	return nil
}

// OnStart registers what Start does before it runs the tasks, such as reading
// what is stored. It must not take longer than a few seconds. An error, or a
// panic, is one of the start: Caddy keeps the old configuration.
func (a *App) OnStart(name string, run func() error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.started {
		return fmt.Errorf("%s: %w", name, errStarted)
	}
	a.first = append(a.first, preparation{name, run})
	return nil
}

// Start does what OnStart has registered, opens the listeners and runs the
// tasks.
func (a *App) Start() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.started = true
	for _, p := range a.first {
		if err := safestore.Recover(p.run); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	if err := a.listeners.start(a); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	for _, t := range a.tasks {
		go a.runTask(ctx, t)
	}
	return nil
}

// runTask keeps a panic in one task from taking down the server.
func (a *App) runTask(ctx context.Context, t *task) {
	defer close(t.done)
	defer func() {
		if err := recover(); err != nil {
			a.logger.Error("background task panicked and has ended",
				zap.String("task", t.name),
				zap.Any("error", err),
				zap.ByteString("stack", debug.Stack()))
		}
	}()
	t.run(ctx)
}

// Stop gives the listeners back, ends the tasks and waits for both.
func (a *App) Stop() error {
	a.mu.Lock()
	cancel, tasks := a.cancel, slices.Clone(a.tasks)
	a.mu.Unlock()
	if cancel == nil {
		return nil
	}
	cancel()
	listening := a.listeners.stop()

	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	for _, t := range tasks {
		select {
		case <-t.done:
		case <-grace.C:
			return errors.Join(listening, fmt.Errorf("background task %s did not end within %v", t.name, stopGrace))
		}
	}
	return listening
}

// Cleanup gives back what Provision took, however far it came.
func (a *App) Cleanup() error {
	if a.awake == nil {
		return nil
	}
	_, err := trackers.Delete(trackerKey)
	return err
}

// Interface guards
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
