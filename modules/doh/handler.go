// Package doh answers DNS queries over HTTPS (RFC 8484) from any number of
// upstreams that act as one: the handler `doh`, and for hand-written
// reverse_proxy blocks the upstream source and transport of the same name.
//
// A query's way is short: it is read from the request (http.go, query.go),
// answered here if it can be (hosts.go, local.go), else by the pool (pool.go),
// which picks upstreams (policy.go), asks them (race.go, exchange.go) and
// checks what they say (answer.go).
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

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
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
	Pool

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
	Clients []*Client `json:"clients,omitempty"`

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

	// How answers are kept.
	Cache *Cache `json:"cache,omitempty"`

	hosts    *hosts
	clients  map[string]*Client
	perIP    *perIP
	subnets  *subnets
	cache    *cache
	cacheKey any
	queries  sync.Pool // of *query
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
	h.policy = cmp.Or(h.Policy, policyQuota)
	if err := h.Pool.provision(ctx); err != nil {
		return err
	}
	if h.hosts, err = newHosts(h.Hosts); err != nil {
		return err
	}
	if h.clients, err = byPath(h.Clients); err != nil {
		return err
	}
	for _, c := range h.Clients {
		if err := c.open(func() (*ledger.Ledger, error) { return ledger.FromContext(ctx) }); err != nil {
			return err
		}
	}
	if h.perIP, err = newPerIP(h.PerIP, h.clock); err != nil {
		return err
	}
	if h.subnets, err = newSubnets(h.ECS); err != nil {
		return err
	}
	h.queries.New = func() any { return new(query) }
	h.cache, h.cacheKey, err = h.Cache.load(h.clock, h.keys)
	return err
}

// Validate checks the settings.
func (h *Handler) Validate() error {
	if h.Policy != "" && !slices.Contains(policies, h.Policy) {
		return fmt.Errorf("there is no policy %q: choose %s", h.Policy, strings.Join(policies, " or "))
	}
	if h.Cache != nil {
		if err := h.Cache.check(); err != nil {
			return err
		}
	}
	if len(h.tiers) == 0 && len(h.Hosts) == 0 {
		return errors.New("there is neither an upstream nor hosts: nothing could be answered")
	}
	return nil
}

// Cleanup gives the upstreams and the cache back.
func (h *Handler) Cleanup() error {
	err := h.Pool.cleanup()
	if h.cache != nil {
		_, drop := caches.Delete(h.cacheKey)
		err = errors.Join(err, drop)
	}
	return err
}

// ServeHTTP answers the query of a request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	path, wantsProfile := strings.CutSuffix(r.URL.Path, profileName)
	client := h.clients[path]
	if len(h.clients) > 0 && client == nil {
		return next.ServeHTTP(w, r)
	}
	if !h.LogQueries {
		skipLog(r)
	}
	if wantsProfile {
		serveProfile(w, r)
		return nil
	}
	q := h.queries.Get().(*query)
	if bad := h.read(r, q, client); bad != nil {
		bad.write(w)
		return nil
	}
	h.subnets.apply(q, r)
	a, elapsed := h.answer(q)
	collectors.count(r.Method, a)
	if q.json {
		a.writeJSON(w, q, elapsed)
	} else {
		a.write(w, q, elapsed)
	}
	if !q.busy {
		q.reset()
		h.queries.Put(q)
	}
	return nil
}

// read reads the query of a request, and counts it against the limits.
func (h *Handler) read(r *http.Request, q *query, client *Client) (bad *refusal) {
	if q.json = h.JSON && asksJSON(r); q.json {
		bad = q.readJSON(r.URL.Query())
	} else {
		bad = readQuery(r, q)
	}
	if bad != nil {
		return bad
	}
	if h.perIP != nil {
		if bad := h.perIP.take(clientIP(r)); bad != nil {
			return bad
		}
	}
	if client != nil {
		return client.take(h.clock.Now())
	}
	return nil
}

// answer answers a query, here or from the pool. The answer was kept for
// elapsed seconds.
func (h *Handler) answer(q *query) (a *answer, elapsed uint32) {
	if a := local(q); a != nil {
		return a, 0
	}
	if a := h.hosts.answer(q); a != nil {
		return a, 0
	}
	if len(h.tiers) == 0 {
		reply := newReply(q, rcodeRefused)
		reply.explain(edeNotAuthoritative, "only local names are answered here")
		return reply.answer(), 0
	}
	var err error
	if len(q.options) > 0 {
		a, err = h.Pool.answer(q)
	} else {
		var result string
		a, elapsed, result, err = h.cache.answer(q, h.Pool.answer)
		collectors.cache.inc(result)
	}
	if err != nil {
		return unanswered(q, err), 0
	}
	return a, elapsed
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
