package keepalive

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
	"github.com/caddy-freetier/caddy-freetier/internal/caddyfileutil"
	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

func init() {
	caddy.RegisterModule((*App)(nil))
}

const (
	defaultInterval    = 3 * time.Minute
	defaultJitter      = 0.1
	defaultTimeout     = 90 * time.Second
	defaultColdStart   = 5 * time.Second
	defaultConcurrency = 8
	defaultFailures    = 2

	// minDuration guards against typos such as 3ms.
	minDuration = 10 * time.Millisecond
)

// App pings targets so that they stay awake. The first ping of a target comes
// within a minute of the start; a reload of the configuration neither repeats
// nor drops one. It logs, and emits the events `keepalive.down` and
// `keepalive.up`, when the health of a target changes, `keepalive.cold_start`
// when a ping has found it asleep, and `keepalive.hours_low` when the hours of
// its account come to an end. The events' data are `target`, `upstream`,
// `message` and what belongs to each.
//
// Instances of Caddy on one storage share their pings: each is sent by one.
type App struct {
	// The time from one ping of a target to the next. Default: two thirds of
	// the target's `sleeps_after`; 3m if that is not known.
	Interval caddy.Duration `json:"interval,omitempty"`

	// How far a ping may come after its time, as a share of the wait between
	// two, from 0 to 1. Default: 0.1.
	Jitter *float64 `json:"jitter,omitempty"`

	// How long a response may take. Waking up takes a while. Default: 90s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// How many pings in a row must fail before a target is reported as down; 1
	// for at once. A failed ping is tried again after 30 seconds, twice that and
	// so on, up to the interval. Default: 2.
	Failures int `json:"failures,omitempty"`

	// How many pings may be under way at once. A target that hangs holds its
	// place until its timeout. A ping that a user waits for needs no place.
	// Default: 8.
	Concurrency int `json:"concurrency,omitempty"`

	// The services to which the events are sent.
	Notify []*Notification `json:"notify,omitempty"`

	// What is pinged.
	Targets []*Target `json:"targets,omitempty"`

	// Where the Caddyfile has it, for warnings.
	Source string `json:"source,omitempty"`

	ctx       caddy.Context
	logger    *zap.Logger
	events    *runtime.Events
	clock     clockwork.Clock
	awake     *awake.Tracker
	samples   *status.Registry // where the results of pings go
	client    *http.Client
	following *http.Client // follows redirects
	slots     *semaphore.Weighted
}

// slots holds the places for pings under way, a *semaphore.Weighted for each
// concurrency, so that the pings that a reload finds under way still count.
var slots = caddy.NewUsagePool()

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "keepalive",
		New: func() caddy.Module { return new(App) },
	}
}

// Provision checks the targets and finds what is known of them.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx, a.logger = ctx, ctx.Logger()
	if err := a.check(); err != nil {
		return err
	}
	rt, err := runtime.FromContext(ctx)
	if err != nil {
		return err
	}
	a.clock, a.events, a.awake = rt.Clock(), rt.Events(), rt.Awake()
	if err := collectors.register(ctx.GetMetricsRegistry()); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}

	a.client, a.following = newClient(keepRedirect), newClient(followRedirect)
	places, _ := slots.LoadOrStore(a.Concurrency, semaphore.NewWeighted(int64(a.Concurrency)))
	a.slots = places.(*semaphore.Weighted)
	for _, t := range a.Targets {
		if err := t.provision(a); err != nil {
			return caddyfileutil.At(t.Source, fmt.Errorf("target %s: %w", t.Name, runtime.ExplainUnset(err)))
		}
	}
	if err := sameQuotas(a.Targets); err != nil {
		return err
	}
	common := &commonReview{a.Targets, a.Source}
	common.warn(a.logger.Warn)
	for i, n := range a.Notify {
		if n == nil {
			return errors.New("a notification is null")
		}
		if err := n.provision(rt, a); err != nil {
			return caddyfileutil.At(n.Source, fmt.Errorf("notification %d: %w", i+1, runtime.ExplainUnset(err)))
		}
	}
	if err := a.openQuotas(rt); err != nil {
		return err
	}
	a.samples = rt.Status()
	a.samples.Describe(a.describe)
	return nil
}

// check sets the defaults and checks what does not belong to one target.
func (a *App) check() error {
	if a.Timeout == 0 {
		a.Timeout = caddy.Duration(defaultTimeout)
	}
	if a.Concurrency == 0 {
		a.Concurrency = defaultConcurrency
	}
	if a.Failures == 0 {
		a.Failures = defaultFailures
	}
	if a.Failures < 0 {
		return errFailures
	}
	if a.Concurrency < 0 {
		return errors.New("concurrency is less than 1")
	}
	if err := checkDurations(a.Interval, a.Timeout); err != nil {
		return err
	}
	if err := checkJitter(a.Jitter); err != nil {
		return err
	}
	names := make(map[string]bool, len(a.Targets))
	for _, t := range a.Targets {
		if t == nil {
			return errors.New("a target is null")
		}
		if names[t.Name] {
			return fmt.Errorf("two targets are named %s", t.Name)
		}
		names[t.Name] = true
	}
	return nil
}

// Start begins to ping, or goes on where the configuration before is.
func (a *App) Start() error {
	for _, t := range a.Targets {
		t.pinger.start()
	}
	return nil
}

// Stop ends the pings of this configuration. One that is under way is left to
// the configuration that follows, if that knows the target.
func (a *App) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), farewellLimit)
	defer cancel()
	for _, t := range a.Targets {
		t.pinger.stop()
		if uses, _ := states.References(t.pinger.key); uses == 1 {
			// Not in Cleanup: the storage can have ended before.
			t.pinger.end(ctx)
		}
	}
	a.client.CloseIdleConnections()
	a.following.CloseIdleConnections()
	return nil
}

// Cleanup gives up what Provision took from the pools, however far it came.
func (a *App) Cleanup() error {
	for _, t := range a.Targets {
		if t == nil || t.pinger == nil {
			continue
		}
		if _, err := states.Delete(t.pinger.key); err != nil {
			return err
		}
	}
	for _, n := range a.Notify {
		if n != nil && n.outbox != nil {
			if err := n.closeOutbox(); err != nil {
				return err
			}
		}
	}
	if a.slots != nil {
		_, err := slots.Delete(a.Concurrency)
		return err
	}
	return nil
}

// target returns the target of a name, nil if there is none.
func (a *App) target(name string) *Target {
	for _, t := range a.Targets {
		if t.Name == name {
			return t
		}
	}
	return nil
}

func checkDurations(durations ...caddy.Duration) error {
	for _, d := range durations {
		if d != 0 && time.Duration(d) < minDuration {
			return fmt.Errorf("the duration %v is too short; at least %v", time.Duration(d), minDuration)
		}
	}
	return nil
}

func checkJitter(jitter *float64) error {
	if jitter != nil && (*jitter < 0 || *jitter > 1) {
		return errors.New("jitter is a share from 0 to 1")
	}
	return nil
}

// Interface guards
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
