// Package doh answers DNS queries over HTTPS (RFC 8484) from any number of
// upstreams that act as one: the handler `doh`, and for hand-written
// reverse_proxy blocks the upstream source and transport of the same name.
//
// A query's way is short: it is read from the request (http.go, json.go),
// answered here if it can be (hosts.go, local.go), else from the cache or by an
// upstream (package pool).
package doh

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
	"github.com/caddy-freetier/caddy-freetier/modules/doh/pool"
)

func init() {
	caddy.RegisterModule((*Handler)(nil))
}

// Handler answers DNS queries over HTTPS from a pool of upstreams.
//
// It answers GET, HEAD and POST; what holds no query gets status 400, 405, 413
// or 415. When no upstream gives a valid answer, the answer is SERVFAIL with
// an extended DNS error. Names under resolver.arpa are never forwarded.
//
// Requests are kept out of the access log unless `log_queries` is set.
type Handler struct {
	pool.Config

	// The choice among upstreams of one tier: `quota` goes by what is left of
	// each quota for the time that is left of its period, and is `random`
	// where there are none; `random` goes by weight; `fastest` takes the one
	// that has answered fastest of late, and now and then another;
	// `round_robin` takes turns.
	// Default: `quota`.
	Policy string `json:"policy,omitempty"`

	// Names that are answered here.
	Hosts []*Host `json:"hosts,omitempty"`

	// If there are any, only their paths answer; requests with other paths
	// are passed on to the next handler.
	Clients []*User `json:"clients,omitempty"`

	// How many queries an address may send in a second, minute, hour or day; an
	// IPv6 address counts as its network of 64 bits. It is counted in memory.
	// Beyond the limit the answer is status 429. Default: no limit.
	PerIP *quota.Quota `json:"per_ip,omitempty"`

	// Which client subnet upstreams are told (RFC 7871): `strip`, none;
	// `pass`, the one that the asker sends; `client`, the asker's network of
	// 24 bits (IPv6: 56 bits); or a prefix. Default: `strip`.
	ECS string `json:"ecs,omitempty"`

	// Whether requests with a parameter `name` instead of `dns` are answered
	// in JSON, as Google and Cloudflare do. Default: false.
	JSON bool `json:"json,omitempty"`

	// How responses are kept.
	Cache *pool.Cache `json:"cache,omitempty"`

	// Whether requests appear in the access log. With GET, their addresses
	// hold the names that were asked for. Default: false.
	LogQueries bool `json:"log_queries,omitempty"`

	pool    *pool.Pool
	hosts   *hosts
	users   map[string]*User // by path
	perIP   *perIP
	subnets *subnets
	queries sync.Pool // of *dnsmsg.Query
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.doh",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision sets up the handler.
func (h *Handler) Provision(ctx caddy.Context) (err error) {
	if err := collectors.register(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	if h.pool, err = h.Open(ctx, h.Policy); err != nil {
		return err
	}
	if h.hosts, err = newHosts(h.Hosts); err != nil {
		return err
	}
	if h.users, err = byPath(h.Clients); err != nil {
		return err
	}
	for _, u := range h.Clients {
		if err := u.open(func() (*ledger.Ledger, error) { return ledger.FromContext(ctx) }); err != nil {
			return err
		}
	}
	if h.perIP, err = newPerIP(h.PerIP, h.pool.Clock()); err != nil {
		return err
	}
	if h.subnets, err = newSubnets(h.ECS); err != nil {
		return err
	}
	h.queries.New = func() any { return new(dnsmsg.Query) }
	return h.pool.OpenCache(cmp.Or(h.Cache, new(pool.Cache)))
}

// Validate checks the settings.
func (h *Handler) Validate() error {
	if h.Policy != "" && !slices.Contains(pool.Policies, h.Policy) {
		return fmt.Errorf("there is no policy %q: choose %s", h.Policy, strings.Join(pool.Policies, " or "))
	}
	if h.Cache != nil {
		if err := h.Cache.Check(); err != nil {
			return err
		}
	}
	if h.pool.Empty() && len(h.Hosts) == 0 {
		return errors.New("there is neither an upstream nor hosts: nothing could be answered")
	}
	return nil
}

// Cleanup gives the upstreams and the cache back.
func (h *Handler) Cleanup() error {
	if h.pool == nil {
		return nil // Provision came to nothing
	}
	return h.pool.Close()
}

// ServeHTTP answers the query of a request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	path, profile := strings.CutSuffix(r.URL.Path, profileName)
	user := h.users[path]
	if len(h.users) > 0 && user == nil {
		return next.ServeHTTP(w, r)
	}
	if !h.LogQueries {
		skipLog(r)
	}
	if profile {
		serveProfile(w, r)
		return nil
	}
	q := h.queries.Get().(*dnsmsg.Query)
	defer h.recycle(q)
	json, bad := h.read(r, q, user)
	if bad != nil {
		bad.write(w)
		return nil
	}
	h.subnets.apply(q, r)
	resp, elapsed := h.resolve(q)
	collectors.count(r.Method, resp)
	if json {
		writeJSON(w, q, resp, elapsed, h.subnets.private())
	} else {
		writeMessage(w, q, resp, elapsed, h.subnets.private())
	}
	return nil
}

// recycle makes a query that was answered ready for another client.
func (h *Handler) recycle(q *dnsmsg.Query) {
	q.Reset()
	h.queries.Put(q)
}

// read reads the query of a request, and counts it against the limits. It
// reports whether the client asks for JSON.
func (h *Handler) read(r *http.Request, q *dnsmsg.Query, user *User) (json bool, bad *refusal) {
	if h.perIP != nil {
		// Before the query is parsed, since that is work too.
		if bad := h.perIP.charge(clientIP(r)); bad != nil {
			return false, bad
		}
	}
	if json = h.JSON && asksJSON(r); json {
		bad = readJSON(q, r.URL.Query())
	} else {
		bad = readQuery(r, q)
	}
	if bad == nil && user != nil {
		bad = user.charge(h.pool.Clock().Now())
	}
	return json, bad
}

// resolve answers a query, here or from the pool. The response was kept for
// elapsed seconds.
func (h *Handler) resolve(q *dnsmsg.Query) (resp *dnsmsg.Response, elapsed uint32) {
	if resp := local(q); resp != nil {
		return resp, 0
	}
	if resp := h.hosts.resolve(q); resp != nil {
		return resp, 0
	}
	if h.pool.Empty() {
		b := dnsmsg.NewBuilder(q, dnsmsg.RcodeRefused)
		b.Explain(dnsmsg.EDENotAuthoritative, "only local names are answered here")
		return b.Response(), 0
	}
	resp, elapsed, err := h.pool.Resolve(q)
	if err != nil {
		return pool.Unanswered(q, err), 0
	}
	return resp, elapsed
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
