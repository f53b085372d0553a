package keepalive

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

func init() {
	caddy.RegisterModule(adminKeepalive{})
}

const targetsPath = "/keepalive/targets"

// adminKeepalive holds the admin routes `GET /keepalive/targets`, which shows
// the targets, and `POST /keepalive/targets/{name}/ping`, which pings one now,
// whatever its schedule, and responds with what came of it. When a ping of that
// target is under way its result is the response.
type adminKeepalive struct{}

// targetStatus is what the routes show of a target.
type targetStatus struct {
	Name                string     `json:"name"`
	Upstream            string     `json:"upstream"`
	Healthy             *bool      `json:"healthy"` // what the last ping showed; null before the first
	Down                bool       `json:"down"`    // after as many failures in a row as `failures` says
	Awake               *bool      `json:"awake"`
	LastStatus          int        `json:"last_status"`
	LastLatencyMS       float64    `json:"last_latency_ms"`
	LastError           string     `json:"last_error"`
	LastPing            *time.Time `json:"last_ping"`
	NextPing            *time.Time `json:"next_ping"`
	SkippedBecause      string     `json:"skipped_because"`
	ConsecutiveFailures int        `json:"consecutive_failures"`
	ColdStarts          int        `json:"cold_starts"`
	ColdStartsMet       *int       `json:"cold_starts_met"` // by users; null without a quota of hours
	AwakeHours          *float64   `json:"awake_hours"`     // of its account in this period; null without a quota of hours
	QuotaHours          *float64   `json:"quota_hours"`
}

// CaddyModule returns the Caddy module information.
func (adminKeepalive) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.keepalive",
		New: func() caddy.Module { return new(adminKeepalive) },
	}
}

// Routes implements caddy.AdminRouter.
func (a adminKeepalive) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: targetsPath, Handler: caddy.AdminHandlerFunc(a.serveTargets)},
		{Pattern: targetsPath + "/", Handler: caddy.AdminHandlerFunc(a.servePing)},
	}
}

func (adminKeepalive) serveTargets(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return notAllowed(w, http.MethodGet)
	}
	all := []targetStatus{}
	if app := activeApp(); app != nil {
		for _, t := range app.Targets {
			all = append(all, t.pinger.status())
		}
	}
	return writeJSON(w, all)
}

func (adminKeepalive) servePing(w http.ResponseWriter, r *http.Request) error {
	name, ok := strings.CutPrefix(r.URL.EscapedPath(), targetsPath+"/")
	name, isPing := strings.CutSuffix(name, "/ping")
	name, err := url.PathUnescape(name)
	if !ok || !isPing || err != nil {
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: errors.New("there is only " + targetsPath + "/{name}/ping")}
	}
	if r.Method != http.MethodPost {
		return notAllowed(w, http.MethodPost)
	}
	var t *Target
	if app := activeApp(); app != nil {
		t = app.target(name)
	}
	if t == nil {
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: fmt.Errorf("no target is named %q", name)}
	}
	run := t.pinger.state.ping(t.pinger)
	for run.wait(r.Context()) && run.yielded {
		run = t.pinger.state.ping(t.pinger)
	}
	if err := r.Context().Err(); err != nil {
		return err
	}
	if !run.finished {
		return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: errors.New("the target was removed meanwhile")}
	}
	return writeJSON(w, t.pinger.status())
}

// activeApp returns the app of the running configuration, nil if it has none.
func activeApp() *App {
	app, err := caddy.ActiveContext().AppIfConfigured("keepalive")
	if err != nil {
		return nil
	}
	return app.(*App)
}

// status returns what is known of the target.
func (p *pinger) status() targetStatus {
	now := p.app.clock.Now()
	status := p.pingStatus(now)
	if h := &p.hours; h.limited {
		h.recordTraffic()
		met, used, limit := h.member.Met(), h.account.Used(now).Hours(), h.account.Limit().Hours()
		status.ColdStartsMet, status.AwakeHours, status.QuotaHours = &met, &used, &limit
	}
	return status
}

func (p *pinger) pingStatus(now time.Time) targetStatus {
	p.state.mu.Lock()
	defer p.state.mu.Unlock()
	h := &p.state.health
	status := targetStatus{
		Name:                p.target.Name,
		Upstream:            p.upstream,
		SkippedBecause:      h.skipped,
		ConsecutiveFailures: h.failures,
		Down:                h.down,
		ColdStarts:          h.coldStarts,
		NextPing:            known(p.state.next()),
	}
	if status.SkippedBecause == "" && !p.target.Window.contains(now) {
		status.SkippedBecause = "its window is closed"
	}
	if h.latest.at.IsZero() {
		return status
	}
	healthy, up := h.latest.err == nil, p.awake(h.latest, now)
	status.Healthy, status.Awake = &healthy, &up
	status.LastStatus = h.latest.status
	status.LastLatencyMS = float64(h.latest.latency) / float64(time.Millisecond)
	status.LastPing = known(h.latest.at)
	if !healthy {
		status.LastError = h.latest.err.Error()
	}
	return status
}

// describe returns what the status page shows of the target.
func (p *pinger) describe() status.Target {
	known := p.status()
	return status.Target{
		Name: known.Name, Upstream: known.Upstream, State: stateOf(&known), Awake: known.Awake,
		LastPing: known.LastPing, LastStatus: known.LastStatus, LatencyMS: known.LastLatencyMS, LastError: known.LastError,
		Failures: known.ConsecutiveFailures, NextPing: known.NextPing, Skipped: known.SkippedBecause, ColdStarts: known.ColdStarts,
		History: status.NoHistory(),
	}
}

// awake reports whether the instance is awake, as far as one can know: the last
// ping got a response, and there was no time to fall asleep since the last
// traffic.
func (p *pinger) awake(latest result, now time.Time) bool {
	if p.target.SleepsAfter == 0 || !latest.answered {
		return latest.answered
	}
	return !p.asleep(now)
}

func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func notAllowed(w http.ResponseWriter, method string) error {
	w.Header().Set("Allow", method)
	return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: fmt.Errorf("the method is %s", method)}
}

func writeJSON(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(v)
}

// Interface guards
var _ caddy.AdminRouter = adminKeepalive{}
