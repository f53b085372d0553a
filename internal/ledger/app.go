package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
)

const (
	defaultInterval = 5 * time.Second

	// crowdAt is above how many files the interval grows with their number, up
	// to maxInterval: so the storage is not used more often, however many they are.
	crowdAt     = 32
	maxInterval = 5 * time.Minute

	// What a storage that hangs can cost at most, when Caddy starts and stops
	// and for one pass in between.
	startGrace = 2 * time.Second
	stopGrace  = 3 * time.Second
	passLimit  = time.Minute
)

// errSlow is the trouble of a storage that neither answers nor fails.
var errSlow = errors.New("it takes longer than an interval")

// ledgers holds the ledger of each storage in use, so that counts outlive a
// reload.
var ledgers = caddy.NewUsagePool()

func init() {
	caddy.RegisterModule((*App)(nil))
}

// App ties the ledger to one configuration: it is read when the configuration
// starts, written while it runs, and written a last time when it stops. It
// needs no configuration of its own: Caddy loads it as soon as a module asks
// for the ledger.
type App struct {
	// How old, at most, what this process knows of the counts of another
	// process on the same storage may be, and how much counting a crash may
	// lose. Files are read, and written when something was counted, twice
	// within it. With more than 8 processes that count, half as much time
	// again can go by until others know of a count; with more than 32, the
	// interval grows with their number. Default: 5s.
	Interval caddy.Duration `json:"interval,omitempty"`

	ledger  *Ledger
	pool    any // the key of ledger in ledgers
	runtime *runtime.App
	storage certmagic.Storage
	logger  *zap.Logger
}

// FromContext returns the ledger of the storage of the configuration that is
// being provisioned. There is nothing to release.
func FromContext(ctx caddy.Context) (*Ledger, error) {
	app, err := ctx.App("freetier.ledger")
	if err != nil {
		return nil, fmt.Errorf("loading the ledger: %w", err)
	}
	return app.(*App).ledger, nil
}

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "freetier.ledger",
		New: func() caddy.Module { return new(App) },
	}
}

// Provision takes the ledger from the pool.
func (a *App) Provision(ctx caddy.Context) (err error) {
	if a.Interval == 0 {
		a.Interval = caddy.Duration(defaultInterval)
	}
	if a.Interval < 0 {
		return fmt.Errorf("the interval of the ledger is %v, but must be above zero", time.Duration(a.Interval))
	}
	a.logger, a.storage = ctx.Logger(), ctx.Storage()
	if a.runtime, err = runtime.FromContext(ctx); err != nil {
		return err
	}
	if err := a.runtime.Go("ledger", a.run); err != nil {
		return err
	}
	a.pool = safestore.Identity(a.storage)
	pooled, _ := ledgers.LoadOrStore(a.pool, newLedger())
	a.ledger = pooled.(*Ledger)
	clock := a.runtime.Clock()
	a.ledger.clock.Store(&clock)
	return nil
}

// Start reads what is stored before the configuration takes effect, unless the
// storage is slow.
func (a *App) Start() error {
	if !a.ledger.hanging() {
		a.within(startGrace)
	}
	return nil
}

// every returns the interval for the number of processes that count.
func (a *App) every() time.Duration { return a.ledger.pace.Every(time.Duration(a.Interval)) }

// run makes two passes an interval, so that from a count here to its being
// known elsewhere no more than an interval goes by.
func (a *App) run(ctx context.Context) {
	every := a.every()
	ticker := a.runtime.Clock().NewTicker(every / 2)
	defer ticker.Stop()
	for {
		if now := a.every(); now != every {
			every = now
			ticker.Reset(every / 2)
		}
		select {
		case <-ticker.Chan():
		case <-ctx.Done():
			return
		}
		done := a.begin(ctx)
		for waited := 0; done != nil; {
			select {
			case <-done:
				done = nil
			case <-ticker.Chan():
				if waited++; waited == 2 {
					a.ledger.report(a.logger, errSlow)
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// Stop writes what was counted since the last pass, as long as the storage is
// certain to be there.
func (a *App) Stop() error {
	if uses, _ := ledgers.References(a.pool); uses == 1 || !a.ledger.hanging() {
		a.within(stopGrace)
	}
	return nil
}

// Cleanup writes what was counted while the other apps stopped.
func (a *App) Cleanup() error {
	if a.ledger == nil {
		return nil
	}
	if last, _ := ledgers.Delete(a.pool); !last || !a.ledger.unwritten() {
		return nil
	}
	if !a.ledger.hanging() {
		a.within(stopGrace)
	}
	if a.ledger.unwritten() {
		a.logger.Warn("storage unavailable; the last counts are lost")
	}
	return nil
}

// within makes a pass and waits for it, but not for longer than grace.
func (a *App) within(grace time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer a.runtime.Clock().AfterFunc(grace, cancel).Stop()
	select {
	case <-a.begin(ctx):
	case <-ctx.Done():
		a.ledger.report(a.logger, errSlow)
	}
}

// begin makes a pass in a goroutine of its own, which a storage that hangs may
// keep, and returns a channel that is closed after it.
func (a *App) begin(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	select {
	case a.ledger.busy <- struct{}{}:
	case <-ctx.Done():
		return done
	}
	go func() {
		defer close(done)
		defer func() { <-a.ledger.busy }()
		// Not cut off by a reload: half a pass would look like a failure.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), passLimit)
		defer cancel()
		p := pass{
			Ledger:   a.ledger,
			files:    &a.ledger.files,
			storage:  a.storage,
			logger:   a.logger,
			interval: a.every(),
		}
		began := time.Now()
		err := safestore.Recover(func() error { return p.run(ctx) })
		if err == nil && time.Since(began) > p.interval {
			err = errSlow
		}
		a.ledger.report(a.logger, err)
	}()
	return done
}

// report logs once when the storage becomes unavailable and when it is back.
func (l *Ledger) report(logger *zap.Logger, err error) {
	l.health.Report(logger, err, "storage unavailable; keeping counts in memory", "storage recovered; all counts saved")
}

// hanging reports whether a pass is under way that was given up before.
func (l *Ledger) hanging() bool {
	return l.health.Unavailable() && len(l.busy) > 0
}

// Interface guards
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
