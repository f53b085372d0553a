package doh

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-freetier/caddy-freetier/modules/doh/pool"
)

func init() {
	caddy.RegisterModule(adminDoH{})
}

// adminDoH are the admin routes `GET /doh/upstreams` and `GET /doh/clients`.
type adminDoH struct{}

// CaddyModule returns the Caddy module information.
func (adminDoH) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.doh",
		New: func() caddy.Module { return new(adminDoH) },
	}
}

// Routes implements caddy.AdminRouter.
func (a adminDoH) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: "/doh/upstreams", Handler: list(func() any { return pool.List() })},
		{Pattern: "/doh/clients", Handler: list(func() any { return listUsers() })},
	}
}

// list returns a handler that answers GET with the result of show, as JSON.
func list(show func() any) caddy.AdminHandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", http.MethodGet)
			return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed}
		}
		w.Header().Set("Content-Type", "application/json")
		return json.NewEncoder(w).Encode(show())
	}
}

// userStatus is the state of a client in the admin API. It does not contain the
// path, which is the client's secret.
type userStatus struct {
	Name string `json:"name"`

	// Queries is the number of queries answered since the process started.
	// Limited is the number refused because a limit was reached.
	Queries int64 `json:"queries"`
	Limited int64 `json:"limited"`

	Limits []pool.QuotaStatus `json:"limits,omitempty"`
}

// listUsers returns the status of all clients, by name.
func listUsers() []userStatus {
	all := []userStatus{}
	userCounts.Range(func(key, value any) bool {
		count := value.(*userCount)
		s := userStatus{Name: key.(string), Queries: count.queries.Load(), Limited: count.limited.Load()}
		if meters := count.meters.Load(); meters != nil {
			for _, m := range *meters {
				s.Limits = append(s.Limits, pool.QuotaStatus{Limit: m.Limit(), Used: m.Used(), Left: m.Left(), Renews: m.Renews()})
			}
		}
		all = append(all, s)
		return true
	})
	slices.SortFunc(all, func(a, b userStatus) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// Interface guards
var _ caddy.AdminRouter = adminDoH{}
