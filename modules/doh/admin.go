package doh

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
)

func init() {
	caddy.RegisterModule(adminDoH{})
}

// adminDoH is the admin route `GET /doh/upstreams`.
type adminDoH struct{}

// upstreamStatus is what the route shows of an upstream.
type upstreamStatus struct {
	Name      string  `json:"name"`
	Tier      int     `json:"tier"`
	Weight    int     `json:"weight"`
	Queries   int64   `json:"queries"`
	Failures  int64   `json:"failures"`
	InARow    int     `json:"consecutive_failures"`
	LastError string  `json:"last_error,omitempty"`
	LatencyMS float64 `json:"latency_ms"`

	// CooldownUntil stays after that time, until the trial succeeds.
	CooldownUntil *time.Time `json:"cooldown_until,omitempty"`

	Quota *quotaStatus `json:"quota,omitempty"`
}

// quotaStatus is what the route shows of an upstream's quota.
type quotaStatus struct {
	Limit  int64     `json:"limit"`
	Used   int64     `json:"used"`
	Left   int64     `json:"left"`
	Renews time.Time `json:"renews"`
}

// CaddyModule returns the Caddy module information.
func (adminDoH) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.doh",
		New: func() caddy.Module { return new(adminDoH) },
	}
}

// Routes implements caddy.AdminRouter.
func (a adminDoH) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{
		Pattern: "/doh/upstreams",
		Handler: caddy.AdminHandlerFunc(a.serveUpstreams),
	}}
}

func (adminDoH) serveUpstreams(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed}
	}
	all := []upstreamStatus{}
	upstreams.Range(func(_, value any) bool {
		all = append(all, value.(*upstream).status())
		return true
	})
	slices.SortFunc(all, func(a, b upstreamStatus) int {
		return cmp.Or(a.Tier-b.Tier, cmp.Compare(a.Name, b.Name))
	})
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(all)
}

func (u *upstream) status() upstreamStatus {
	s := upstreamStatus{
		Name:      u.name,
		Tier:      u.tier,
		Weight:    u.weight,
		Queries:   u.queries.Load(),
		Failures:  u.failures.Load(),
		InARow:    u.cooldowns.Failures(),
		LatencyMS: float64(u.latency.Load()) / float64(time.Millisecond),
	}
	if until := u.cooldowns.Until(cooldown.All, time.Time{}); !until.IsZero() {
		until = until.UTC()
		s.CooldownUntil = &until
	}
	if m := u.meter.Load(); m != nil {
		s.Quota = &quotaStatus{Limit: m.Limit(), Used: m.Used(), Left: m.Left(), Renews: m.Renews()}
	}
	if f := u.last.Load(); f != nil {
		s.LastError = f.public()
	}
	return s
}

// public names a failure without anything that the upstream or the network
// said, but for the status.
func (f *failure) public() string {
	if f.kind == failStatus {
		return f.err.Error()
	}
	return f.kind
}

// Interface guards
var _ caddy.AdminRouter = adminDoH{}
