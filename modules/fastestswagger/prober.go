package fastestswagger

import (
	"context"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/certmagic"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

const (
	// maxDynamic bounds how many dynamic upstreams are measured.
	maxDynamic = 256
	// housekeeping is how often dynamic upstreams are looked through, and how
	// exactly the package awake knows of requests.
	housekeeping = time.Minute
	// forgetAfter is when a dynamic upstream that no request has met is
	// forgotten; Caddy itself remembers one as long.
	forgetAfter = time.Hour
)

// prober loads the pages of a scoreboard's upstreams at intervals. Requests ask
// it to wake upstreams up, and inform it of dynamic ones, without waiting.
type prober struct {
	loader     loader
	board      *scoreboard
	proxy      *reverseproxy.Handler // its transport is known once the prober runs
	clock      clockwork.Clock
	awake      *awake.Tracker
	discovered chan discovery
	wakeUps    chan *upstream // to be woken up
	storage    certmagic.Storage
	health     safestore.Health // of the storage
	samples    *status.Registry // where the results of loads go
	logger     *zap.Logger
}

// run measures the pool until the configuration ends. Each upstream has a
// watcher of its own, so one that hangs delays no other.
func (p *prober) run(ctx context.Context) {
	p.loader.transport = p.proxy.Transport
	p.board.running.Store(true)
	defer p.board.running.Store(false)

	var watchers sync.WaitGroup
	defer watchers.Wait()
	for _, u := range p.board.measurable() {
		watchers.Go(func() { p.watch(ctx, u) })
	}
	ticks := p.clock.NewTicker(housekeeping)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case d := <-p.discovered:
			if u := p.board.addDynamic(d); u != nil {
				own, stop := context.WithCancel(ctx)
				u.stop = stop
				watchers.Go(func() { p.watch(own, u) })
			}
		case u := <-p.wakeUps:
			watchers.Go(func() { p.wakeForRequests(ctx, u) })
		case <-ticks.Chan():
			p.board.removeUnused()
		}
	}
}

// discover informs the prober of a dynamic upstream. If it is busy the
// upstream is dropped: it comes again with the next request.
func (p *prober) discover(d discovery) {
	select {
	case p.discovered <- d:
	default:
	}
}

// watch loads an upstream's page whenever it is due.
func (p *prober) watch(ctx context.Context, u *upstream) {
	p.restore(ctx, u)
	defer p.save(ctx, u, true)
	for ctx.Err() == nil {
		if wait := u.score.beginLoad(p.clock.Now()); wait > 0 {
			timer := p.clock.NewTimer(wait)
			select {
			case <-ctx.Done():
			case <-timer.Chan():
			case <-u.score.changed:
			}
			timer.Stop()
			continue
		}
		if p.awake.Spare(u.name) {
			u.score.skipLoad()
			u.score.publish()
			p.logger.Debug("upstream is not loaded, so that it can sleep", zap.String("upstream", u.name))
			continue
		}
		p.wakeUp(ctx, u.name) // by one long ping, and not by loads that give up
		p.measure(ctx, u)
		p.save(ctx, u, false)
	}
}

// measure loads an upstream's page once and records what came of it.
func (p *prober) measure(ctx context.Context, u *upstream) {
	took, err := p.loader.load(ctx, u)
	if ctx.Err() != nil {
		u.score.abandonLoad() // the server stops or reloads: this says nothing
		return
	}
	var before, after record
	if err != nil {
		before, after = u.score.recordFailure(p.clock.Now(), err)
	} else {
		before, after = u.score.recordPass(p.clock.Now(), took)
	}
	collectors.count(u.label(), &before, &after)
	p.samples.Record(p.sample(u, &after))
	u.score.publish()
	p.log(u, &before, &after)
}

// log writes what a load has found, at level info when the upstream has gone
// down or come back.
func (p *prober) log(u *upstream, before, after *record) {
	level, message := zapcore.DebugLevel, "upstream loaded"
	switch {
	case after.failing() && !before.failing() && after.waking():
		level, message = zapcore.InfoLevel, "upstream is waking up"
	case after.failing() && !before.failing() && after.missing():
		level, message = zapcore.InfoLevel, "upstream is without the page"
	case after.failing() && !before.failing():
		level, message = zapcore.InfoLevel, "upstream is down: its page does not load"
	case after.failing():
		message = "upstream is still down"
	case before.failing():
		level, message = zapcore.InfoLevel, "upstream is up again"
	}
	c := p.logger.Check(level, message)
	if c == nil {
		return
	}
	if after.failing() {
		c.Write(zap.String("upstream", u.name), zap.Int("failures", after.inARow), zap.Error(after.lastErr))
		return
	}
	c.Write(zap.String("upstream", u.name), zap.Duration("took", after.lastLoad), zap.Float64("score_ms", after.mean*1e3))
}

// requestWake asks for an upstream to be woken up in the background: a request
// went elsewhere only because it sleeps. Once within a housekeeping interval is
// enough.
func (p *prober) requestWake(u *upstream) {
	if u.wakeRequested.Load() || u.wakeRequested.Swap(true) {
		return
	}
	select {
	case p.wakeUps <- u:
	default:
	}
}

// wakeForRequests wakes an upstream up, if it sleeps, and lets requests go to
// it then. A request that has nowhere else to go waits for that: what it would
// get before is the platform's interstitial page.
func (p *prober) wakeForRequests(ctx context.Context, u *upstream) {
	if !p.wakeUp(ctx, u.name) {
		return
	}
	p.board.refresh()
	if u.score != nil {
		u.score.makeDue()
	}
}

// wakeUp wakes an upstream up and waits for the end of that. It returns false
// when there was nothing to wait for, or ctx has ended.
func (p *prober) wakeUp(ctx context.Context, name string) bool {
	done := p.awake.Wake(name)
	if done == nil {
		return false
	}
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}
