package llmgateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

func init() {
	caddy.RegisterModule((*Admin)(nil))
}

// gateways holds the gateways of the loaded configurations, for the admin API.
var gateways = caddy.NewUsagePool()

// Admin adds to Caddy's admin API:
//
// Request | Response
// --------|---------
// `GET /llm-gateway/channels` | The state of each channel and key: attempts, the last refusal, cooldowns, quotas
// `GET /llm-gateway/channels?summary` | Counts for each channel
// `POST /llm-gateway/check` | Asks each provider about each key, as `caddy freetier check` does: a line of JSON with the number of keys, then one for each key
// `DELETE /llm-gateway/cooldowns` | Lifts cooldowns: `{"lifted": 3}`
//
// The check takes `?channel=`, and ends when the client leaves. Its calls count
// against the keys' quotas. DELETE takes `?channel=`, `?key=` and `?model=`, by the names that GET shows,
// and lifts what matches all of them, on all instances with the same storage.
// Keys appear by their last four characters.
type Admin struct{}

// CaddyModule returns the Caddy module information.
func (*Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.llm_gateway",
		New: func() caddy.Module { return new(Admin) },
	}
}

// Routes returns the admin routes.
func (a *Admin) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: "/llm-gateway/channels", Handler: caddy.AdminHandlerFunc(a.serveChannels)},
		{Pattern: "/llm-gateway/check", Handler: caddy.AdminHandlerFunc(a.serveCheck)},
		{Pattern: "/llm-gateway/cooldowns", Handler: caddy.AdminHandlerFunc(a.serveCooldowns)},
	}
}

// serveChannels shows the channels. The state is collected before the first byte
// is written, so that a slow reader holds nothing up.
func (a *Admin) serveChannels(w http.ResponseWriter, r *http.Request) error {
	if err := allowMethods(w, r, http.MethodGet, http.MethodHead); err != nil {
		return err
	}
	query, err := adminQuery(r, "summary")
	if err != nil {
		return err
	}
	_, short := query["summary"]
	summaries, states := []channelSummary{}, []channelState{}
	for _, g := range loadedGateways() {
		now := g.clock.Now()
		for _, c := range g.channels {
			if short {
				summaries = append(summaries, newChannelSummary(c, now))
			} else {
				states = append(states, newChannelState(c, now))
			}
		}
	}
	if short {
		return showJSON(w, summaries)
	}
	return showJSON(w, states)
}

func showJSON(w http.ResponseWriter, value any) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(value)
}

// allowMethods refuses all methods but these.
func allowMethods(w http.ResponseWriter, r *http.Request, methods ...string) error {
	if slices.Contains(methods, r.Method) {
		return nil
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: fmt.Errorf("method %s is not allowed", r.Method)}
}

var errQuery = errors.New("the query cannot be read: escape special characters with %")

// adminQuery returns the parameters of a request's URL, each of which may be
// given once. Its errors show no values, which may be keys.
func adminQuery(r *http.Request, known ...string) (map[string]string, error) {
	bad := func(err error) error { return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: err} }
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, bad(errQuery)
	}
	query := make(map[string]string, len(values))
	for name, given := range values {
		if !slices.Contains(known, name) {
			return nil, bad(fmt.Errorf("unknown parameter; those of %s are: %s", r.URL.Path, strings.Join(known, ", ")))
		}
		if len(given) > 1 {
			return nil, bad(fmt.Errorf("the parameter %s is given %d times", name, len(given)))
		}
		query[name] = given[0]
	}
	return query, nil
}

// Interface guards
var _ caddy.AdminRouter = (*Admin)(nil)
