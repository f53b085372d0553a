package doh

import (
	"encoding/json"
	"net/http"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-freetier/caddy-freetier/modules/doh/pool"
)

func init() {
	caddy.RegisterModule(adminDoH{})
}

// adminDoH is the admin route `GET /doh/upstreams`.
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
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(pool.List())
}

// Interface guards
var _ caddy.AdminRouter = adminDoH{}
