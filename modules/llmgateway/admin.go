package llmgateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

func init() {
	caddy.RegisterModule((*Admin)(nil))
}

// gateways holds the gateways of the loaded configurations, for the admin API.
var gateways = caddy.NewUsagePool()

// Admin adds `GET /llm-gateway/channels` to Caddy's admin API: the state of
// every channel and key, with its cooldowns and quotas. Keys appear by their last
// four characters.
type Admin struct{}

// CaddyModule returns the Caddy module information.
func (*Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.llm_gateway",
		New: func() caddy.Module { return new(Admin) },
	}
}

// Routes returns the admin route.
func (a *Admin) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{Pattern: "/llm-gateway/channels", Handler: caddy.AdminHandlerFunc(a.serve)}}
}

type channelState struct {
	Name      string          `json:"name"`
	Host      string          `json:"host"`
	Tier      int             `json:"tier"`
	Weight    int             `json:"weight"`
	Cooldowns []cooldownState `json:"cooldowns"`
	Keys      []keyState      `json:"keys"`
}

type keyState struct {
	Key       string          `json:"key"`
	Cooldowns []cooldownState `json:"cooldowns"`
	Quotas    []quotaState    `json:"quotas,omitempty"`
}

type quotaState struct {
	Unit   ledger.Unit `json:"unit"`
	Limit  int64       `json:"limit"`
	Used   int64       `json:"used"`
	Left   int64       `json:"left"`
	Renews time.Time   `json:"renews"`
}

func newQuotaState(unit ledger.Unit, m *quota.Meter) quotaState {
	return quotaState{Unit: unit, Limit: m.Limit(), Used: m.Used(), Left: m.Left(), Renews: m.Renews()}
}

func (a *Admin) serve(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: fmt.Errorf("method %s is not allowed", r.Method)}
	}
	states := []channelState{}
	gateways.Range(func(_, value any) bool {
		g := value.(*gateway)
		for _, c := range g.channels {
			states = append(states, c.state(g.clock.Now()))
		}
		return true
	})
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(states)
}

// Interface guards
var _ caddy.AdminRouter = (*Admin)(nil)
