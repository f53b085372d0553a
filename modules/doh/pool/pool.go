// Package pool makes a number of DNS upstreams act as one.
//
// A query's way: Resolve looks into the cache (cache.go), where identical
// questions share one exchange (singleflight.go); the exchange picks accounts by
// policy and quota (policy.go, quota.go), asks one after the other, and a second
// one beside the first when that is slow (hedge.go); each attempt is sent over
// connections that are kept open, and its outcome is sorted (attempt.go,
// failure.go) and recorded (health.go).
package pool

import (
	"cmp"
	"errors"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
)

const (
	defaultTimeout = 5 * time.Second
	defaultHedge   = 400 * time.Millisecond
)

// Config is a number of upstreams that answer as one. A response is valid when
// it comes with HTTP status 200 and the right content type, parses, and is to
// the question; after anything else the next upstream is asked. SERVFAIL is
// given a second opinion, unless its extended error says that DNSSEC validation
// failed.
type Config struct {
	// The upstreams.
	Upstreams []*Upstream `json:"upstreams,omitempty"`

	// How long a query may take, with all its attempts. Default: 5s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// When an upstream has not answered after this long, the next one is asked
	// as well, and the first valid response is taken. A negative value turns
	// this off. Default: 400ms.
	Hedge caddy.Duration `json:"hedge,omitempty"`
}

// Pool is a number of upstreams in use.
type Pool struct {
	timeout time.Duration
	hedge   time.Duration // negative: off
	policy  string
	turn    atomic.Uint32
	turns   turns
	tiers   [][]*Account
	keys    []any // of the accounts
	cache   cacheLease
	edit    edit
	clock   clockwork.Clock
	logger  *zap.Logger
}

// Open takes the upstreams into use. What it took is given back by Close, which
// must be called also after an error. The policy is the choice among the
// upstreams of one tier, PolicyQuota if it is empty.
func (c *Config) Open(ctx caddy.Context, policy string) (*Pool, error) {
	p := &Pool{
		timeout: cmp.Or(time.Duration(c.Timeout), defaultTimeout),
		hedge:   cmp.Or(time.Duration(c.Hedge), defaultHedge),
		policy:  cmp.Or(policy, PolicyQuota),
		logger:  ctx.Logger(),
	}
	if p.timeout < 0 {
		return p, errors.New("the timeout must be positive")
	}
	app, err := runtime.FromContext(ctx)
	if err != nil {
		return p, err
	}
	p.clock = app.Clock()
	if err := collectors.register(ctx.GetMetricsRegistry()); err != nil {
		return p, err
	}
	p.tiers, p.keys, err = openAccounts(c.Upstreams, app.Awake(), func() (*ledger.Ledger, error) { return ledger.FromContext(ctx) })
	return p, err
}

// edit is a change of responses before they are kept.
type edit struct {
	key   any
	apply func(*dnsmsg.Response) *dnsmsg.Response
}

// Edit has responses changed before they are kept. Pools with the same
// upstreams share a cache only if key is the same. It must be called before
// OpenCache.
func (p *Pool) Edit(key any, apply func(*dnsmsg.Response) *dnsmsg.Response) {
	p.edit = edit{key, apply}
}

// Close gives the upstreams and the cache back.
func (p *Pool) Close() error {
	errs := []error{p.cache.release()}
	for _, key := range p.keys {
		_, err := accounts.Delete(key)
		errs = append(errs, err)
	}
	p.keys = nil
	return errors.Join(errs...)
}

// Empty reports whether there is no upstream.
func (p *Pool) Empty() bool { return len(p.tiers) == 0 }

// Timeout returns how long a query may take.
func (p *Pool) Timeout() time.Duration { return p.timeout }

// Clock returns the clock that the pool goes by.
func (p *Pool) Clock() clockwork.Clock { return p.clock }

// Unanswered returns the response to a client when no upstream gave one.
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
