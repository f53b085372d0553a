package keepalive

import (
	"context"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// pinger pings one target for one configuration. What it knows is in the
// target's state, which outlives the configuration.
type pinger struct {
	target   *Target
	app      *App
	schedule *schedule
	exchange *exchange
	review   *review
	upstream string // as package awake knows it

	key   string // of the state
	state *state

	lease  *lease // of the target's ticks, in Caddy's storage
	report *reporter
	hours  awakeTime
	pings  *quota.Meter // nil: not limited

	release func() // from package awake; nil: not kept there
}

// newPinger returns the pinger of a target whose configuration is complete.
// Its quotas are opened later, when all targets are known.
func newPinger(app *App, t *Target) (p *pinger, err error) {
	p = &pinger{target: t, app: app, exchange: newExchange(app, t)}
	if p.schedule, err = t.newSchedule(app); err != nil {
		return nil, err
	}
	req, err := t.request(app.ctx)
	if err != nil {
		return nil, err
	}
	if err := t.checkPlace(req.URL.String()); err != nil {
		return nil, err
	}
	if p.upstream, err = replaceUpstream(t.Upstream); err != nil {
		return nil, err
	}
	if p.upstream == "" {
		p.upstream = awake.Upstream(req.URL)
	}
	if p.key, err = t.identity(); err != nil {
		return nil, err
	}
	value, _, err := states.LoadOrNew(p.key, func() (caddy.Destructor, error) { return newState(t.Name), nil })
	if err != nil {
		return nil, err
	}
	p.state = value.(*state)
	p.report = &reporter{app: app, target: t.Name, upstream: p.upstream}
	p.hours = awakeTime{pinger: p}
	p.lease = newLease(p)
	p.review = &review{target: t, schedule: p.schedule, place: req.URL, clock: app.clock}
	p.review.warn(app.logger.Warn)
	return p, nil
}

// start makes the target known to those who ask who is awake, and begins to
// ping it.
func (p *pinger) start() {
	if p.target.SleepsAfter > 0 { // others know nothing that anybody would ask for
		p.release = p.app.awake.Keep(p.upstream, p)
	}
	p.state.start(p)
}

func (p *pinger) stop() {
	if p.release != nil {
		p.release()
	}
	p.state.stop(p)
}

// end ends the ping under way and leaves the target to other instances: no
// configuration follows that has it.
func (p *pinger) end(ctx context.Context) {
	p.state.cancel()
	if p.state.begun() {
		p.lease.resign(ctx, p.state.share())
	}
}
