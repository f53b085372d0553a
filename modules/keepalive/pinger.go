package keepalive

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// pinger pings one target for one configuration. What it knows is in the
// target's state, which outlives the configuration.
type pinger struct {
	target   *Target
	app      *App
	schedule *schedule
	checks   *checks
	client   *http.Client
	place    *url.URL // where the instance is
	upstream string   // as package awake knows it

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
	p = &pinger{target: t, app: app, checks: t.checks(), client: app.client}
	if t.Follow {
		p.client = app.following
	}
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
	p.place = req.URL
	p.warn(app.logger.Warn)
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

// warning is where a warning goes: to a log, or to a report.
type warning func(text string, fields ...zap.Field)

// warn warns of what is wrong with the target's settings.
func (p *pinger) warn(to warning) {
	p.warnPlace(to)
	p.warnSleep(to)
	p.warnCost(to)
}

// warnPlace warns of a URL that keeps no instance awake, whatever its schedule.
func (p *pinger) warnPlace(to warning) {
	host := strings.ToLower(p.place.Hostname())
	target := zap.String("target", p.target.Name)
	switch space := spaceOf(p.place.Path); {
	case strings.HasSuffix(host, ".streamlit.app"):
		to(errStreamlit.Error(), target)
	case (host == "huggingface.co" || host == "hf.co") && space != "":
		to("this is the hub's page about a Space, which does not keep it awake; the Space's own address is "+space, target)
	}
}

// warnSleep warns of a schedule that lets the instance fall asleep.
func (p *pinger) warnSleep(to warning) {
	sleepsAfter := time.Duration(p.target.SleepsAfter)
	if sleepsAfter == 0 || p.schedule.cron != nil {
		return
	}
	longest := p.schedule.every + time.Duration(p.schedule.jitter*float64(p.schedule.every))
	if longest >= sleepsAfter {
		to("the target falls asleep between two pings; give it a shorter interval",
			zap.String("target", p.target.Name),
			zap.Duration("longest_wait", longest),
			zap.Duration("sleeps_after", sleepsAfter))
	}
}

// warnCost warns of pings that cost more than they save: each asks a model, or
// they use more than half of what the account gives.
func (p *pinger) warnCost(to warning) {
	if q := p.target.pingsQuota(); q != nil {
		if pings := p.schedule.pingsIn(lengthOf(q.Period), p.app.clock.Now()); pings > q.Amount/2 {
			to("the pings use most of the account's requests; give the target a longer interval, or ping a page that costs nothing",
				zap.String("target", p.target.Name),
				zap.Int64("pings", pings),
				zap.String("quota", q.String()))
		}
		return
	}
	if pings := p.schedule.pingsIn(month, p.app.clock.Now()); p.target.asksModel() && pings >= manyPings {
		to("each ping asks a model, which uses up its quota; a GET of a page that costs nothing keeps the instance awake as well",
			zap.String("target", p.target.Name),
			zap.Int64("pings_a_month", pings))
	}
}
