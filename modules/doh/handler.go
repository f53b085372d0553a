// Package doh answers DNS queries over HTTPS (RFC 8484) from several upstreams that
// act as one. It has the handler `doh`, and for hand-written reverse_proxy blocks
// the upstream source and the transport of the same name.
//
//	request ──▶ locate ──▶ read ──▶ limits ─┐
//	                                        ├──▶ resolve ──▶ hosts, for, local names
//	listener ──▶ answer ──▶ limits ─────────┘       └──────▶ pool: cache, upstreams
//
// A query is read from a request (place.go, http.go, json.go) or comes from a
// listener (listen.go), and is charged to the limits of its address (limit.go) and
// client (user.go). It is answered here if it can be (resolve.go, hosts.go,
// local.go), and otherwise from the cache or by an upstream (package pool), which
// may be one for its name only (split.go). Records are withheld by filter.go.
//
// In Go names and comments a "user" is a person with a path of their own, which
// the Caddyfile calls client, and a client is what sends a query.
package doh

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/caddyfileutil"
	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
	"github.com/caddy-freetier/caddy-freetier/internal/domainset"
	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
	"github.com/caddy-freetier/caddy-freetier/internal/status"
	"github.com/caddy-freetier/caddy-freetier/modules/doh/pool"
)

func init() {
	caddy.RegisterModule((*Handler)(nil))
}

// Handler answers DNS queries over HTTPS from a pool of upstreams.
//
// It answers GET, HEAD and POST; a request without a valid query gets status 400,
// 405, 413 or 415. When no upstream gives a valid response, the response is
// SERVFAIL with an extended DNS error (RFC 8914). Names under resolver.arpa are
// never forwarded.
//
// Requests are not written to the access log unless `log_queries` is set.
type Handler struct {
	pool.Config

	// The choice among upstreams of one tier: `quota` in proportion to what
	// remains of each quota, divided by the time that remains of its period, and
	// like `random` if there are no quotas; `random` by weight; `fastest` the one
	// with the lowest recent latency, and now and then another one; `round_robin`
	// one after the other. Default: `quota`.
	Policy string `json:"policy,omitempty"`

	// The path that answers. All other paths below it and below the paths of
	// clients get status 404, and are not written to the access log. Default: any
	// path answers.
	Path string `json:"path,omitempty"`

	// Names that are answered here.
	Hosts []*Host `json:"hosts,omitempty"`

	// Names that have upstreams of their own.
	For []*Route `json:"for,omitempty"`

	// Whether names that no public resolver can answer are answered here: `on`
	// or `off`. They are the reverse zones of private networks (RFC 6303),
	// localhost, local, onion, test, invalid, internal, alt, home.arpa and
	// others that are reserved, single labels, and use-application-dns.net.
	// Default: `on`, unless all upstreams are `system` or have private
	// addresses.
	LocalNames string `json:"local_names,omitempty"`

	// Clients with a path of their own. If there are any, only their paths
	// answer, and over TLS only their host names.
	Clients []*User `json:"clients,omitempty"`

	// Whether listeners also answer others than the clients. Default: false.
	Anonymous bool `json:"anonymous,omitempty"`

	// Addresses that answer DNS over TLS, TCP or UDP.
	Listen []*Listen `json:"listen,omitempty"`

	// Names of clients and listeners whose certificates Caddy manages without a
	// site for them (the global option `tls_automate_names`; the Caddyfile fills
	// this in). There is no warning that their certificates are missing.
	ManagedNames []string `json:"managed_names,omitempty"`

	// Types that are answered as if no name had records of them: `a`, `aaaa`,
	// `https` or `svcb`. Addresses of such a type are also removed from HTTPS
	// records. `hosts` are not filtered. Default: none.
	Filter []string `json:"filter,omitempty"`

	// Withhold private addresses in responses of the upstreams, except those of
	// `for`. Default: they are passed on.
	RebindProtection *Rebind `json:"rebind_protection,omitempty"`

	// Write an entry for each query to the logger http.handlers.doh.queries.
	// Default: none.
	QueryLog *QueryLog `json:"query_log,omitempty"`

	// How many queries an address may send per second, minute, hour or day. An
	// IPv6 address counts as its /64 network. Counts are in memory. Above the
	// limit the response is status 429. Default: no limit.
	PerIP *quota.Quota `json:"per_ip,omitempty"`

	// The client subnet that is sent to upstreams (RFC 7871): `strip`, none;
	// `pass`, the one that the client sends; `client`, the client's /24 network
	// (IPv6: /56); or a fixed prefix. Default: `strip`.
	ECS string `json:"ecs,omitempty"`

	// Whether requests with a parameter `name` instead of `dns` are answered
	// in JSON, as Google and Cloudflare do. Default: false.
	JSON bool `json:"json,omitempty"`

	// The cache of responses. Default: 10000 entries.
	Cache *pool.Cache `json:"cache,omitempty"`

	// Whether requests are written to the access log. With GET, their URLs
	// contain the names that are looked up. Default: false.
	LogQueries bool `json:"log_queries,omitempty"`

	// File and line in the Caddyfile, for errors about values that are known
	// only when the configuration is loaded.
	Source string `json:"source,omitempty"`

	// Set in Provision, and never changed after it.
	pool     *pool.Pool
	files    files
	resolver resolver
	users    *users
	perIP    *perIP    // nil without a limit
	subnets  *subnets  // never nil
	queryLog *queryLog // nil without a log
	values   []string  // the placeholders of requests in upstreams' headers

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
func (h *Handler) Provision(ctx caddy.Context) error {
	return caddyfileutil.At(h.Source, runtime.ExplainUnset(h.provision(ctx)))
}

// provision sets up the handler. What it has opened when it fails is released by
// Cleanup, which Caddy calls in that case too.
func (h *Handler) provision(ctx caddy.Context) (err error) {
	if err := collectors.register(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	if h.pool, err = h.Open(ctx, h.Policy); err != nil {
		return err
	}
	if err := h.provisionUsers(ctx); err != nil {
		return err
	}
	if h.perIP, err = newPerIP(h.PerIP, h.pool.Clock()); err != nil {
		return err
	}
	if h.subnets, err = newSubnets(h.ECS); err != nil {
		return err
	}
	h.queries.New = func() any { return new(dnsmsg.Query) }
	h.warnOfOpenQuotas(ctx.Logger())
	h.queryLog = h.QueryLog.open(ctx.Logger())
	app, err := runtime.FromContext(ctx)
	if err != nil {
		return err
	}
	if err := h.provisionResolver(ctx, app); err != nil {
		return err
	}
	app.Status().Describe(func(now time.Time, s *status.Status) { describe(h, now, s) })
	return h.listen(ctx, app)
}

// warnOfOpenQuotas logs a warning if anybody can use up the quotas.
func (h *Handler) warnOfOpenQuotas(logger *zap.Logger) {
	if warning := h.openQuotasWarning(); warning != "" {
		logger.Warn(warning)
	}
}

// openQuotasWarning returns the warning, or "" if it does not apply.
func (h *Handler) openQuotasWarning() string {
	limited := func(c pool.Config) bool {
		return slices.ContainsFunc(c.Upstreams, func(u *pool.Upstream) bool { return u.Quota != nil })
	}
	quotas := limited(h.Config) || slices.ContainsFunc(h.For, func(r *Route) bool { return limited(r.Config) })
	if !quotas || h.PerIP != nil || len(h.Clients) > 0 {
		return ""
	}
	return "anybody who finds this server can use up the quotas of its upstreams; add a limit, such as per_ip 50/second, or clients with paths of their own"
}

// provisionUsers sets up the clients and their limits.
func (h *Handler) provisionUsers(ctx caddy.Context) (err error) {
	if h.users, err = newUsers(h.Clients); err != nil {
		return err
	}
	for _, u := range h.Clients {
		if err := u.open(func() (*ledger.Ledger, error) { return ledger.FromContext(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

// provisionResolver sets up the sources of responses, from hosts to upstreams.
func (h *Handler) provisionResolver(ctx caddy.Context, app *runtime.App) (err error) {
	h.files = files{clock: app.Clock(), logger: ctx.Logger()}
	r := &h.resolver
	r.pool = h.pool
	if r.hosts, err = newHosts(h.Hosts); err != nil {
		return err
	}
	for _, host := range h.Hosts {
		if host.File == "" {
			continue
		}
		f, err := openFile(&h.files, host.File, domainset.OpenHosts)
		if err != nil {
			return fmt.Errorf("hosts: %w", err)
		}
		r.hosts.files = append(r.hosts.files, f)
	}
	if r.local, err = answersLocalNames(h.LocalNames, h.Upstreams); err != nil {
		return err
	}
	if r.filter, err = newFilter(h.Filter, h.RebindProtection); err != nil {
		return err
	}
	h.values = h.Placeholders()
	for _, config := range h.For {
		h.values = append(h.values, config.Placeholders()...)
		route, err := config.open(ctx, h, &h.files)
		r.routes = append(r.routes, route)
		if err != nil {
			return err
		}
		if err := h.openCache(route.pool, false); err != nil {
			return err
		}
	}
	if len(h.files.open) > 0 {
		if err := app.Go("files of doh", h.files.watch); err != nil {
			return err
		}
	}
	return h.openCache(h.pool, h.resolver.filter.rebind)
}

// openCache opens a pool's cache. Withheld records are removed before responses are
// stored, so that a hit costs no filtering; the settings of the filter are
// therefore a part of the cache's key.
func (h *Handler) openCache(p *pool.Pool, guarded bool) error {
	if len(h.resolver.filter.types) > 0 || guarded {
		key := []any{h.Filter}
		if guarded {
			key = append(key, h.RebindProtection)
		}
		p.Edit(key, func(resp *dnsmsg.Response) *dnsmsg.Response { return h.resolver.filter.edit(resp, guarded) })
	}
	return p.OpenCache(cmp.Or(h.Cache, new(pool.Cache)))
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
	if h.pool.Empty() && len(h.Hosts) == 0 && len(h.For) == 0 {
		return errors.New("there is neither an upstream nor hosts: no query could be answered")
	}
	return h.checkListeners()
}

// Cleanup releases what Provision has opened, even if Provision failed halfway.
func (h *Handler) Cleanup() error {
	if h.pool == nil {
		return nil
	}
	errs := []error{h.pool.Close(), h.files.close()}
	for _, r := range h.resolver.routes {
		errs = append(errs, r.close())
	}
	for _, u := range h.Clients {
		errs = append(errs, u.close())
	}
	return errors.Join(errs...)
}

// ServeHTTP answers the query of a request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	place := locate(h, r.URL.Path)
	if place.kind == elsewhere {
		return next.ServeHTTP(w, r)
	}
	if !h.LogQueries || place.kind == wrongPath {
		skipLog(r)
	}
	body := boundBody(w, r, h.pool.Clock())
	defer body.end()
	switch {
	case place.kind == wrongPath:
		errPathUnknown.write(w)
		return nil
	case place.profile:
		serveProfile(w, r)
		return nil
	case r.Method == http.MethodOptions:
		writePreflight(w)
		return nil
	}
	ask := asker{ip: clientIP(r), user: place.user, device: place.device, protocol: r.Method}
	ask.describe(r)
	q := h.queries.Get().(*dnsmsg.Query)
	defer h.recycle(q)
	form, bad := h.read(r, q, ask)
	if bad != nil {
		bad.write(w)
		return nil
	}
	body.end() // the time of the upstreams is not the client's
	q.Values = requestValues(r, h.values)
	out := h.serve(q, ask)
	if form == formJSON {
		writeJSON(w, q, out.response, out.elapsed, h.subnets.private())
	} else {
		writeMessage(w, q, out.response, out.elapsed, h.subnets.private())
	}
	return nil
}

// serve answers a query that is within its limits.
func (h *Handler) serve(q *dnsmsg.Query, ask asker) outcome {
	h.subnets.apply(q, ask.ip)
	var start time.Time
	if h.queryLog != nil {
		start = h.pool.Clock().Now()
	}
	out := h.resolver.resolve(q)
	collectors.count(ask, out.response)
	if h.queryLog != nil {
		h.queryLog.write(q, ask, out, h.pool.Clock().Since(start))
	}
	return out
}

// recycle returns a query to the pool. An exchange in the background has a copy of
// its own; see dnsmsg.Query.Outgoing.
func (h *Handler) recycle(q *dnsmsg.Query) {
	q.Reset()
	h.queries.Put(q)
}

// read reads the query of a request, and charges it to the limits. It returns the
// form of the response.
func (h *Handler) read(r *http.Request, q *dnsmsg.Query, ask asker) (form responseForm, bad *refusal) {
	if h.perIP != nil {
		// Before the query is parsed, which costs time as well.
		if bad := h.perIP.charge(ask.ip); bad != nil {
			return formMessage, bad
		}
	}
	if h.JSON && asksJSON(r) {
		form, bad = readJSON(q, r.URL.Query())
	} else {
		bad = readQuery(r, q)
	}
	if bad == nil && ask.user != nil {
		bad = ask.user.charge(h.pool.Clock().Now())
	}
	return form, bad
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
