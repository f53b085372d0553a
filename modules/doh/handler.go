// Package doh answers DNS queries over HTTPS (RFC 8484) from any number of
// upstreams that act as one: the handler `doh`, and for hand-written
// reverse_proxy blocks the upstream source and transport of the same name.
//
// A query's way is short: it is read from the request (place.go, http.go,
// json.go) or comes by a listener (listen.go), is answered here if it can be
// (resolve.go, hosts.go, local.go), else from the cache or by an upstream
// (package pool), which may be one for its name only (split.go).
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

	// The path that answers. Below it, and below the paths of clients, all other
	// paths are status 404, and are kept out of the access log. Default: any.
	Path string `json:"path,omitempty"`

	// Names that are answered here.
	Hosts []*Host `json:"hosts,omitempty"`

	// Names that have upstreams of their own.
	For []*Route `json:"for,omitempty"`

	// Whether names that no public resolver knows are answered here: `on` or
	// `off`. They are the reverse zones of private networks (RFC 6303),
	// localhost, local, onion, test, invalid, internal, alt, home.arpa and
	// others that are reserved, single labels, and use-application-dns.net.
	// Default: `on`, unless all upstreams are `system` or have private
	// addresses.
	LocalNames string `json:"local_names,omitempty"`

	// If there are any, only their paths answer, and over TLS their host names.
	Clients []*User `json:"clients,omitempty"`

	// Whether listeners also answer who is none of the clients. Default: false.
	Anonymous bool `json:"anonymous,omitempty"`

	// Where DNS is answered besides HTTP.
	Listen []*Listen `json:"listen,omitempty"`

	// Names of clients and listeners whose certificates are ordered without a
	// site that has them (the global option `tls_automate_names`; the Caddyfile
	// fills this in). No warning says that they are missing.
	ManagedNames []string `json:"managed_names,omitempty"`

	// Types that are answered as if no name had records of them: `a`, `aaaa`,
	// `https` or `svcb`. Addresses of such a type are also taken out of HTTPS
	// records. It does not hold for `hosts`. Default: none.
	Filter []string `json:"filter,omitempty"`

	// Withhold private addresses in responses of the upstreams, but not of those
	// of `for`. Default: they are passed on.
	RebindProtection *Rebind `json:"rebind_protection,omitempty"`

	// Write an entry for each query to the logger http.handlers.doh.queries.
	// Default: none.
	QueryLog *QueryLog `json:"query_log,omitempty"`

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

	// Where the Caddyfile has it, for errors about values that are known only
	// when the configuration is loaded.
	Source string `json:"source,omitempty"`

	pool     *pool.Pool
	files    files
	resolver resolver
	users    *users
	perIP    *perIP
	subnets  *subnets
	queryLog *queryLog
	values   []string  // the placeholders of requests that upstreams' headers have
	queries  sync.Pool // of *dnsmsg.Query
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
	h.warnOfStrangers(ctx.Logger())
	h.queryLog = h.QueryLog.open(ctx.Logger())
	app, err := runtime.FromContext(ctx)
	if err != nil {
		return err
	}
	if err := h.provisionResolver(ctx, app); err != nil {
		return err
	}
	app.Status().Describe(h.describe)
	return h.listen(ctx, app)
}

// warnOfStrangers warns of quotas that anybody can use up.
func (h *Handler) warnOfStrangers(logger *zap.Logger) {
	if warning := h.warningOfStrangers(); warning != "" {
		logger.Warn(warning)
	}
}

func (h *Handler) warningOfStrangers() string {
	limited := func(c pool.Config) bool {
		return slices.ContainsFunc(c.Upstreams, func(u *pool.Upstream) bool { return u.Quota != nil })
	}
	quotas := limited(h.Config) || slices.ContainsFunc(h.For, func(r *Route) bool { return limited(r.Config) })
	if !quotas || h.PerIP != nil || len(h.Clients) > 0 {
		return ""
	}
	return "anybody who finds this server can use up the quotas of its upstreams; add a limit, such as per_ip 50/second, or clients with paths of their own"
}

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

// provisionResolver sets up where names are answered.
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

// openCache gives a pool its cache. What is withheld is taken out before
// responses are kept.
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
		return errors.New("there is neither an upstream nor hosts: nothing could be answered")
	}
	return h.checkListeners()
}

// Cleanup gives back what Provision took, however far it came.
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
	place := h.locate(r.URL.Path)
	if place.kind == elsewhere {
		return next.ServeHTTP(w, r)
	}
	if !h.LogQueries || place.kind == wrongPath {
		skipLog(r)
	}
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
	q.Values = requestValues(r, h.values)
	out := h.serve(q, ask)
	if form == formJSON {
		writeJSON(w, q, out.response, out.elapsed, h.subnets.private())
	} else {
		writeMessage(w, q, out.response, out.elapsed, h.subnets.private())
	}
	return nil
}

// serve answers a query that was admitted.
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

// recycle makes a query that was answered ready for another client.
func (h *Handler) recycle(q *dnsmsg.Query) {
	q.Reset()
	h.queries.Put(q)
}

// read reads the query of a request, and counts it against the limits. It
// returns the form of the response.
func (h *Handler) read(r *http.Request, q *dnsmsg.Query, ask asker) (responseForm, *refusal) {
	if h.perIP != nil {
		// Before the query is parsed, since that is work too.
		if bad := h.perIP.charge(ask.ip); bad != nil {
			return formMessage, bad
		}
	}
	form, bad := formMessage, (*refusal)(nil)
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
