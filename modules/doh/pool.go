package doh

import (
	"cmp"
	"errors"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
)

const (
	defaultTimeout = 5 * time.Second
	defaultHedge   = 400 * time.Millisecond
)

// Pool is a number of upstreams that answer as one. An answer is valid when it
// comes with HTTP status 200 and the right content type, parses, and is to the
// question; after anything else the next upstream is asked. SERVFAIL is given
// a second opinion, unless its extended error says that DNSSEC validation
// failed.
type Pool struct {
	// The upstreams.
	Upstreams []*Upstream `json:"upstreams,omitempty"`

	// How long a query may take, with all its tries. Default: 5s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// When an upstream has not answered after this long, the next one is asked
	// as well, and the first valid answer is taken. A negative value turns
	// this off. Default: 400ms.
	Hedge caddy.Duration `json:"hedge,omitempty"`

	// Whether requests appear in the access log. With GET, their addresses
	// hold the names that were asked for. Default: false.
	LogQueries bool `json:"log_queries,omitempty"`

	policy string // the choice among the upstreams of a tier
	turn   atomic.Uint32
	turns  turns
	tiers  [][]*upstream
	keys   []any
	clock  clockwork.Clock
	logger *zap.Logger
}

// provision sets up the pool. What it took is given back by cleanup, whether
// or not it fails.
func (p *Pool) provision(ctx caddy.Context) error {
	app, err := runtime.FromContext(ctx)
	if err != nil {
		return err
	}
	p.clock = app.Clock()
	p.logger = ctx.Logger()
	p.Timeout = cmp.Or(p.Timeout, caddy.Duration(defaultTimeout))
	p.Hedge = cmp.Or(p.Hedge, caddy.Duration(defaultHedge))
	if p.Timeout < 0 {
		return errors.New("the timeout must be positive")
	}
	if err := collectors.register(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	p.tiers, p.keys, err = loadUpstreams(p.Upstreams, app.Awake(), func() (*ledger.Ledger, error) { return ledger.FromContext(ctx) })
	return err
}

func (p *Pool) cleanup() error {
	var errs []error
	for _, key := range p.keys {
		_, err := upstreams.Delete(key)
		errs = append(errs, err)
	}
	p.keys = nil
	return errors.Join(errs...)
}

// answer answers a query from the upstreams.
func (p *Pool) answer(q *query) (*answer, error) {
	return p.ask(&lookup{query: q}, nil, false)
}

// unanswered is the answer when no upstream gave one.
func unanswered(q *query, err error) *answer {
	reply := newReply(q, rcodeServFail)
	var f *failure
	errors.As(err, &f)
	if f != nil && f.kind == failQuota {
		reply.explain(edeOther, "the quotas of all upstreams are exhausted")
	} else if f != nil && f.kind == failTimeout {
		reply.explain(edeNoReachableAuthority, "no upstream answered in time")
	} else {
		reply.explain(edeNetworkError, "no upstream gave a valid answer")
	}
	return reply.answer()
}
