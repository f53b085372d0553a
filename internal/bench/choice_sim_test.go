package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// simApp runs a reverse_proxy without a server, on places that are reached
// without a network.
type simApp struct {
	Handler json.RawMessage `json:"handler" caddy:"namespace=http.handlers inline_key=handler"`

	places []*place
	proxy  *reverseproxy.Handler
}

func init() { caddy.RegisterModule((*simApp)(nil)) }

// CaddyModule returns the Caddy module information.
func (*simApp) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "choice", New: func() caddy.Module { return new(simApp) }}
}

// Provision loads the proxy and gives it its places.
func (a *simApp) Provision(ctx caddy.Context) error {
	module, err := ctx.LoadModule(a, "Handler")
	if err != nil {
		return err
	}
	a.places, a.proxy = newPlaces(pace{1, 1}, time.Now()), module.(*reverseproxy.Handler)
	a.proxy.Transport = a
	return nil
}

// Start and Stop have nothing to do.
func (*simApp) Start() error { return nil }
func (*simApp) Stop() error  { return nil }

// RoundTrip takes a request to a place. Their ports are 1, 2, 3...
func (a *simApp) RoundTrip(r *http.Request) (*http.Response, error) {
	info, _ := reverseproxy.GetDialInfo(r.Context())
	p := a.places[info.Port[0]-'1']
	if p.now() == refuses {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// ask sends a request through the proxy.
func (a *simApp) ask() (place string, ok bool) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "http://example.com/", nil)
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, new(caddyhttp.Server))
	err := a.proxy.ServeHTTP(w, r, nil)
	return w.Header().Get(placeHeader), err == nil && w.Body.String() == placeAnswer
}

// simulateChoice runs a policy for some hours on the clock of a bubble.
func simulateChoice(t *testing.T, policy string, stock bool, length time.Duration) (v verdict) {
	config := simConfig(t, choiceProxy(policy, pace{1, 1}, stock, []string{"sim:1", "sim:2", "sim:3", "sim:4", "sim:5"}))
	synctest.Test(t, func(t *testing.T) {
		if err := caddy.Load(config, true); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := caddy.Stop(); err != nil {
				t.Error(err)
			}
		}()
		app, err := caddy.ActiveContext().AppIfConfigured("choice")
		if err != nil {
			t.Fatal(err)
		}
		sim := app.(*simApp)
		v = judge(drive(sim.places, pace{1, 1}, length, sim.ask))
	})
	return v
}

// simConfig is the configuration of a Caddy that has the proxy and no server.
func simConfig(t *testing.T, proxy string) []byte {
	t.Helper()
	adapted, err := caddytest.Adapt("http://example.com {\n" + proxy + "}\n")
	if err != nil {
		t.Fatal(err)
	}
	var site struct {
		Apps struct {
			HTTP struct {
				Servers map[string]struct {
					Routes []struct {
						Handle []struct {
							Routes []struct {
								Handle []json.RawMessage `json:"handle"`
							} `json:"routes"`
						} `json:"handle"`
					} `json:"routes"`
				} `json:"servers"`
			} `json:"http"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(adapted, &site); err != nil {
		t.Fatal(err)
	}
	handler := site.Apps.HTTP.Servers["srv0"].Routes[0].Handle[0].Routes[0].Handle[0]
	return fmt.Appendf(nil, `{"admin":{"disabled":true},"logging":{"logs":{"default":{"level":"ERROR","writer":{"output":"discard"}}}},
		"storage":{"module":"file_system","root":%q},"apps":{"choice":{"handler":%s}}}`, t.TempDir(), handler)
}

// An hour and a half of requests to five places in trouble, with each policy,
// first with nothing but the policy and then with the options of Caddy that our
// documentation shows beside it. Requests and places are drawn from fixed
// seeds. The policies themselves draw from the runtime's source, which has
// none, so that figures differ a little from run to run.
func TestChoiceSimulation(t *testing.T) {
	length := 90 * time.Minute
	if raceDetector {
		length /= 2
	}
	for _, with := range []struct {
		name    string
		stock   bool
		demands map[string]demand
	}{
		{"policy alone", false, demands(1.8, 0.5, 1, 1.2)},
		{"with retries and fail_duration", true, demands(1.8, 0.25, 0.5, 1.2)},
	} {
		verdicts := make(map[string]verdict)
		for _, policy := range choicePolicies {
			verdicts[policy] = simulateChoice(t, policy, with.stock, length)
		}
		t.Logf("%s:\n%s", with.name, choiceTable(verdicts))
		check(t, verdicts, with.demands)
	}
}
