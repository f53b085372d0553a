package llmgateway

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
	"github.com/caddy-freetier/caddy-freetier/internal/bodies"
	"github.com/caddy-freetier/caddy-freetier/internal/cooldownstore"
	"github.com/caddy-freetier/caddy-freetier/internal/idstore"
	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

// gateway is what the requests of a Handler share while it runs. It is made in
// Provision and does not change after it; what its parts hold may.
type gateway struct {
	clock  clockwork.Clock
	awake  *awake.Tracker
	logger *zap.Logger
	bodies *bodies.Shared
	calls  *neutral.CallMemory

	changes *status.Registry // where changes of keys and channels are reported

	translates bool // a channel says in which dialects it can be asked

	limitsConcurrency bool // a channel limits how much a key answers at once

	reading sync.Mutex // held while keys are read again

	cors       cors
	allowPaths []string
	maxBody    int64
	auth       *authenticator
	models     *modelLister
	usedNames  *usedNames
	uploads    *uploads
	ids        *idstore.Store

	channels  []*Channel
	tiers     tiers
	unnamed   *Channel // for requests without a model, unless takesUnnamed is false
	fallbacks fallbacks
	planner   *planner
	keyPolicy KeyPolicy
	affinity  bool // a channel keeps conversations with their keys
	balancer  balancer
	upgrades  *reverseproxy.Handler // carries WebSockets

	refusals         []refusal.UserRule // for all channels
	retryOn          statuses           // empty: the refusal's meaning decides
	retries          int
	tryDuration      time.Duration
	cooldown         time.Duration
	maxCooldown      time.Duration
	wait             time.Duration // for a cooldown to end, 0 for none
	firstByteTimeout time.Duration
	responseTimeout  time.Duration // not positive: none
	heartbeat        time.Duration // not positive: none
}

// newGateway returns the gateway that a Handler describes, before its channels
// are provisioned.
//
// It copies the options, which setDefaults has completed: requests read the gateway and
// not the Handler.
func newGateway(h *Handler, clock clockwork.Clock, tracker *awake.Tracker, logger *zap.Logger) *gateway {
	g := &gateway{
		clock:            clock,
		awake:            tracker,
		logger:           logger,
		calls:            neutral.NewCallMemory(callMemorySize),
		cors:             newCORS(h.CORS, h.Anonymous),
		allowPaths:       h.AllowPaths,
		maxBody:          h.MaxBody,
		auth:             newAuthenticator(h, clock, logger),
		channels:         h.Channels,
		tiers:            newTiers(h.Channels),
		fallbacks:        h.Fallbacks,
		keyPolicy:        h.KeyPolicy,
		refusals:         h.Refusals,
		retryOn:          h.RetryOn,
		retries:          h.Retries,
		tryDuration:      time.Duration(h.TryDuration),
		cooldown:         time.Duration(h.Cooldown),
		maxCooldown:      time.Duration(h.MaxCooldown),
		wait:             max(0, time.Duration(h.Wait)),
		firstByteTimeout: time.Duration(h.FirstByteTimeout),
		responseTimeout:  time.Duration(h.ResponseTimeout),
		heartbeat:        time.Duration(h.Heartbeat),
	}
	g.planner = newPlanner(g)
	return g
}

// takesUnnamed reports whether there is a channel for requests without a model.
func (g *gateway) takesUnnamed() bool { return g.unnamed != nil }

// statuses are HTTP statuses, of which one digit stands for its hundred: 5 for 5xx, as in
// Caddy's own matchers.
//
// As retry_on has them. The zero value is none, which leaves the decision to the
// classifier.
type statuses []int

// contain reports whether an error's status is among them.
func (s statuses) contain(status int) bool {
	if status < http.StatusBadRequest {
		return false
	}
	for _, configured := range s {
		if caddyhttp.StatusCodeMatches(status, configured) {
			return true
		}
	}
	return false
}

// pooled are entries of pools, which belong to the process, until they are given
// back. Handler.Cleanup gives them back, also after half a Provision.
type pooled []pooledEntry

type pooledEntry struct {
	pool *caddy.UsagePool
	key  any
}

// take gets an entry of a pool.
//
// fresh is dropped if the pool has an entry. Parts are what the entry is about, such as
// a channel's URL and a key; different pools may have the same ones.
func take[T any](p *pooled, pool *caddy.UsagePool, fresh T, parts ...string) T {
	key := poolKey(parts...)
	entry, _ := pool.LoadOrStore(key, fresh)
	*p = append(*p, pooledEntry{pool, key})
	return entry.(T)
}

// giveBack returns all entries to their pools.
//
// An entry whose last user gives it back is dropped: histories and catalogs are
// forgotten when no configuration has the channel or key any more. During a reload
// Caddy provisions the new configuration first, so that they pass from one to the
// other.
func (p *pooled) giveBack() {
	for _, entry := range *p {
		_, _ = entry.pool.Delete(entry.key)
	}
	*p = nil
}

// loading is what clients and channels are provisioned with, and what their keys are read
// again with while the configuration runs.
//
// The task that reads files again uses it long after Provision. gateway.reading
// protects it then, since keys that are new append to pooled.
type loading struct {
	repl       *caddy.Replacer
	transports *transports
	pooled     *pooled
	keys       *atomic.Pointer[keyring]       // the clients'
	book       func() (*ledger.Ledger, error) // opened when something is counted
	cooldowns  *cooldownstore.Store
	logger     *zap.Logger
}

// readKeysAgain reads the keys of clients and channels from their files. What
// cannot be used leaves the old keys in place. A key that is still listed stays the same
// object, with its cooldowns and counts; requests under way go on with the keys that they
// have claimed. The task that watches the files calls it.
func (g *gateway) readKeysAgain(l *loading) {
	g.reading.Lock()
	defer g.reading.Unlock()
	if err := g.replaceKeyring(l); err != nil {
		g.logger.Warn("could not reload client keys; keeping the previous ones", zap.Error(err))
	}
	for _, c := range g.channels {
		if err := c.readKeys(l); err != nil {
			g.logger.Warn("could not reload channel keys; keeping the previous ones", zap.String("channel", c.Name), zap.Error(err))
		}
	}
	g.logger.Info("keys reloaded from their files")
}
