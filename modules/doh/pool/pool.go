// Package pool combines several DNS upstreams into one resolver.
//
//	Resolve ──▶ cache ── hit ──▶ response
//	              │ miss
//	              ▼
//	         singleflight ──▶ exchange ──▶ selector ──▶ attempt ──▶ upstream
//	                             ▲  hedges, next tier        │
//	                             └── health, quota, metrics ◀┘
//
// A query is looked up in the cache (cache.go), where identical questions share
// one exchange (singleflight.go). The exchange selects accounts by policy and
// quota (policy.go, quota.go) and asks one after the other (exchange.go), and
// another one at the same time when the first is slow (hedge.go). Each attempt is
// sent over connections that stay open (attempt.go). Its outcome is classified
// (usable.go, failure.go) and recorded (record.go, health.go).
//
// Accounts and caches are in UsagePools: their connections, counts and responses
// outlive a reload that does not change them.
package pool

import (
	"cmp"
	"errors"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
)

const (
	defaultTimeout = 5 * time.Second
	defaultHedge   = 400 * time.Millisecond
)

// Config is a set of upstreams that answer as one. A response is valid if it has
// HTTP status 200 and the content type of DNS messages, parses, and answers the
// question; otherwise the next upstream is asked. SERVFAIL gets a second opinion
// from another upstream, unless its extended error is a failure of DNSSEC
// validation.
type Config struct {
	// The upstreams.
	Upstreams []*Upstream `json:"upstreams,omitempty"`

	// How long a query may take, including all its attempts. Default: 5s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// How long an upstream may take before another one is asked as well; the
	// first valid response is used. A negative value turns this off. Default:
	// 400ms.
	Hedge caddy.Duration `json:"hedge,omitempty"`
}

// Pool is a number of upstreams in use. Its configuration does not change after
// Open, Edit and OpenCache; all methods may then be called concurrently.
type Pool struct {
	timeout time.Duration
	hedge   time.Duration // negative: off

	// patience is how long an exchange waits for the upstreams that were asked
	// before it does something: hedge, and its default when hedges are off.
	patience time.Duration

	selector selector
	recorder recorder
	keys     []any // of the accounts in the UsagePool, one for each load
	cache    cacheLease
	edit     edit
	clock    clockwork.Clock
}

// Open opens the upstreams. Close releases them, and must be called after an error
// as well; the Pool is never nil. policy is the choice among the upstreams of one
// tier, PolicyQuota if it is empty. Open makes no connection.
func (c *Config) Open(ctx caddy.Context, policy string) (*Pool, error) {
	p := &Pool{
		timeout: cmp.Or(time.Duration(c.Timeout), defaultTimeout),
		hedge:   cmp.Or(time.Duration(c.Hedge), defaultHedge),
	}
	p.patience = p.hedge
	if p.hedge < 0 {
		p.patience = defaultHedge
	}
	p.selector.policy = cmp.Or(policy, PolicyQuota)
	if p.timeout < 0 {
		return p, errors.New("the timeout must be positive")
	}
	app, err := runtime.FromContext(ctx)
	if err != nil {
		return p, err
	}
	p.clock = app.Clock()
	p.recorder = recorder{clock: p.clock, logger: ctx.Logger(), penalty: p.timeout}
	if err := collectors.register(ctx.GetMetricsRegistry()); err != nil {
		return p, err
	}
	p.selector.tiers, p.keys, err = openAccounts(c.Upstreams, app.Awake(), func() (*ledger.Ledger, error) { return ledger.FromContext(ctx) })
	return p, err
}

// edit is a change of responses before they are stored.
type edit struct {
	key   any // a part of the cache's key; must encode as JSON
	apply func(*dnsmsg.Response) *dnsmsg.Response
}

// Edit sets a function that changes responses before they are stored. Pools with
// the same upstreams share a cache only if key is the same. Edit must be called
// before OpenCache.
func (p *Pool) Edit(key any, apply func(*dnsmsg.Response) *dnsmsg.Response) {
	p.edit = edit{key, apply}
}

// Close releases the upstreams and the cache. Queries that are being answered still
// use them until they end.
func (p *Pool) Close() error {
	errs := make([]error, 0, 1+len(p.keys))
	errs = append(errs, p.cache.release())
	for _, key := range p.keys {
		_, err := accounts.Delete(key)
		errs = append(errs, err)
	}
	p.keys = nil
	return errors.Join(errs...)
}

// Empty reports whether the pool has no upstreams.
func (p *Pool) Empty() bool { return len(p.selector.tiers) == 0 }

// Timeout returns how long a query may take.
func (p *Pool) Timeout() time.Duration { return p.timeout }

// Clock returns the clock of the pool.
func (p *Pool) Clock() clockwork.Clock { return p.clock }

// Left returns the accounts that reverse_proxy may choose from: those of the first
// tier with any that the lookup has not tried and that have quota left, or the
// whole first tier if there are none.
func (p *Pool) Left(l *Lookup) []*Account { return p.selector.untried(l.tried) }

// Unanswered returns the response to a client when no upstream gave one: SERVFAIL,
// with the reason as an extended error (RFC 8914) in words that name no upstream.
func Unanswered(q *dnsmsg.Query, err error) *dnsmsg.Response {
	b := dnsmsg.NewBuilder(q, dnsmsg.RcodeServFail)
	switch kind := asFailure(err).kind; kind {
	case failQuota:
		b.Explain(dnsmsg.EDEOther, "the quotas of all upstreams are exhausted")
	case failWait:
		b.Explain(dnsmsg.EDEOther, "the upstreams have asked for a pause")
	case failTimeout:
		b.Explain(dnsmsg.EDENoReachableAuthority, "no upstream answered in time")
	default:
		b.Explain(dnsmsg.EDENetworkError, "no upstream gave a valid answer")
	}
	return b.Response()
}
