package statuspage

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

func init() {
	caddy.RegisterModule(adminStatus{})
}

// adminStatus adds `GET /freetier/status` to the admin API: the JSON that a page
// has as `status.json`, also where no page is configured.
type adminStatus struct{}

// CaddyModule returns the Caddy module information.
func (adminStatus) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.freetier_status",
		New: func() caddy.Module { return new(adminStatus) },
	}
}

// Routes implements caddy.AdminRouter.
func (a adminStatus) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{Pattern: "/freetier/status", Handler: caddy.AdminHandlerFunc(a.serve)}}
}

func (adminStatus) serve(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: errors.New("the method is GET")}
	}
	w.Header().Set("Content-Type", "application/json")
	ctx := caddy.ActiveContext()
	if app, err := ctx.AppIfConfigured("freetier.status"); err == nil {
		_, err := w.Write(app.(*App).board.status().json)
		return err
	}
	app, err := ctx.AppIfConfigured("freetier")
	if err != nil {
		return json.NewEncoder(w).Encode(status.New(time.Now())) // no module of ours is configured
	}
	rt := app.(*runtime.App)
	return json.NewEncoder(w).Encode(rt.Status().Collect(rt.Clock().Now()))
}

// Interface guards
var _ caddy.AdminRouter = adminStatus{}
