package pool

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"hash/maphash"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/jonboulle/clockwork"
	"github.com/maypok86/otter/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// Cache configures the cache of responses. A hit costs no quota. Responses outlive
// a reload of the configuration that keeps the upstreams, but not a restart.
//
// Responses are stored by name, type, class and the flags DO and CD, and by the
// client subnet that was sent, unless the upstream has declared that the response
// is the same for all of them.
//
//	stored ── TTL ──▶ expired ── stale ──▶ removed
//	  hit               a new response within 1.8 s, else the expired one
type Cache struct {
	// How many responses are stored; one of more than a kilobyte counts once per
	// kilobyte. A negative number turns the cache off. Default: 10000.
	Entries int `json:"entries,omitempty"`

	// The bounds of the time for which a response is stored. The TTLs that
	// clients get are within them, too; a TTL of 0 stays. Default: 0s and 1d.
	MinTTL caddy.Duration `json:"min_ttl,omitempty"`
	MaxTTL caddy.Duration `json:"max_ttl,omitempty"`

	// For how long an expired response is served when no upstream gives a newer
	// one (RFC 8767). A negative value turns this off. Default: 1d.
	Stale caddy.Duration `json:"stale,omitempty"`

	// Whether an expired response is served at once, while a newer one is
	// requested in the background. Clients may cache it for 30 seconds. Default:
	// false.
	Optimistic bool `json:"optimistic,omitempty"`

	// Whether popular names are requested again shortly before they expire. This
	// costs quota. Default: false.
	Prefetch bool `json:"prefetch,omitempty"`
}

const (
	defaultEntries = 10_000
	defaultMaxTTL  = 24 * time.Hour
	defaultStale   = 24 * time.Hour

	// The timers of RFC 8767, section 5: staleAfter is how long a client waits
	// for a newer response before it gets the expired one, retryAfter is how long
	// after a failure no newer one is requested, and staleTTL is the TTL of an
	// expired response, in seconds.
	staleAfter = 1800 * time.Millisecond
	retryAfter = 30 * time.Second
	staleTTL   = 30

	// failureTTL is how long a failure is stored, so that a name that does not
	// resolve cannot use up quotas (RFC 9520, section 3.2). It is also for a
	// denial without an SOA record, which states no TTL.
	failureTTL = 5 * time.Second

	// A name with at least prefetchHits hits is requested again by a hit in the
	// last tenth (1/prefetchShare) of its TTL.
	prefetchHits  = 3
	prefetchShare = 10
)

// The results of a look-up, as labels of metrics.
const (
	cacheHit    = "hit"
	cacheMiss   = "miss"
	cacheShared = "shared" // the same question was already sent to upstreams
	cacheStale  = "stale"
)

var results = []string{cacheHit, cacheMiss, cacheShared, cacheStale}

// caches are the caches in use, by the hash of their settings and upstreams.
var caches = caddy.NewUsagePool()

// cache stores responses. Its settings never change; entries and calls have locks
// of their own.
type cache struct {
	minTTL, maxTTL uint32 // in seconds
	stale          time.Duration
	optimistic     bool
	prefetch       bool
	clock          clockwork.Clock
	seed           maphash.Seed
	// entries are stored by a hash of their key, so that a look-up allocates no
	// string. Each entry has its whole key, which is compared, so a collision is
	// a miss. Nil if the cache is turned off.
	entries *otter.Cache[uint64, *entry]

	calls singleflight
}

// entry is a stored response. All but retry and hits never change.
type entry struct {
	key      string // see appendKey
	response *dnsmsg.Response
	shared   bool // the response is for all client subnets
	stored   time.Time
	expires  time.Time

	// retry is when a newer response may be requested again, in Unix
	// nanoseconds; 0 if there was no failure.
	retry atomic.Int64
	hits  atomic.Int32
}

// Destruct drops the responses once no configuration uses the cache.
func (c *cache) Destruct() error {
	if c.entries != nil {
		c.entries.InvalidateAll()
	}
	return nil
}

// Check returns an error if settings contradict each other.
func (c *Cache) Check() error {
	if c.MinTTL < 0 || c.MaxTTL < 0 || time.Duration(c.MinTTL) > cmp.Or(time.Duration(c.MaxTTL), defaultMaxTTL) {
		return errors.New("cache: min_ttl must not be above max_ttl")
	}
	switch {
	case c.Optimistic && c.Stale < 0:
		return errors.New("cache: optimistic serves expired responses, which stale off forbids; remove one of the two")
	case c.Entries < 0 && (c.Optimistic || c.Prefetch):
		return errors.New("cache: optimistic and prefetch have no effect when the cache is off; remove them")
	}
	return nil
}

// cacheLease is a pool's reference to a cache in caches. The zero value has none.
type cacheLease struct {
	*cache
	key any
}

// OpenCache opens the pool's cache, which Close releases. Pools with the same
// settings and upstreams share one. With a cache that is turned off, identical
// questions at the same time still share a response.
func (p *Pool) OpenCache(c *Cache) error {
	settings, err := json.Marshal([]any{c, p.keys, p.edit.key})
	if err != nil {
		return err
	}
	key := sha256.Sum256(settings)
	loaded, _, err := caches.LoadOrNew(key, func() (caddy.Destructor, error) { return newCache(c, p.clock) })
	if err != nil {
		return err
	}
	p.cache = cacheLease{loaded.(*cache), key}
	return nil
}

func newCache(c *Cache, clock clockwork.Clock) (*cache, error) {
	made := &cache{
		minTTL:     seconds(time.Duration(c.MinTTL)),
		maxTTL:     seconds(cmp.Or(time.Duration(c.MaxTTL), defaultMaxTTL)),
		stale:      cmp.Or(time.Duration(c.Stale), defaultStale),
		optimistic: c.Optimistic,
		prefetch:   c.Prefetch,
		clock:      clock,
		seed:       maphash.MakeSeed(),
	}
	if c.Entries < 0 {
		return made, nil
	}
	var err error
	made.entries, err = otter.New(&otter.Options[uint64, *entry]{
		MaximumWeight: uint64(cmp.Or(c.Entries, defaultEntries)),
		Weigher:       func(_ uint64, e *entry) uint32 { return 1 + uint32(e.response.Size()/1024) },
	})
	return made, err
}

func (l *cacheLease) release() error {
	if l.cache == nil {
		return nil
	}
	// The pointer stays: requests that are being answered use the cache until
	// they end.
	_, err := caches.Delete(l.key)
	return err
}

// seconds returns a duration in whole seconds, within the range of a TTL (RFC
// 2181, section 8).
func seconds(d time.Duration) uint32 {
	return uint32(min(max(d, 0)/time.Second, 1<<31-1))
}

// Resolve returns the response from the cache or from an upstream. elapsed is how
// long ago the response was stored, in seconds; the caller subtracts it from the
// TTLs.
func (p *Pool) Resolve(q *dnsmsg.Query) (resp *dnsmsg.Response, elapsed uint32, err error) {
	c := p.cache.cache
	e, now := c.find(q), c.clock.Now()
	if e != nil && now.Before(e.expires) {
		collectors.byResult[cacheHit].Inc()
		if c.prefetch && e.dueForRenewal(now) {
			p.fetch(q)
		}
		return e.response, seconds(now.Sub(e.stored)), nil
	}
	if e != nil && now.Sub(e.expires) < c.stale {
		resp, result := p.refresh(e, q, now)
		collectors.byResult[result].Inc()
		return resp, 0, nil
	}
	call, result := p.fetch(q)
	collectors.byResult[result].Inc()
	<-call.done
	return call.response, 0, call.err
}

// find returns the entry for a query, or nil. It leaves the key in the query, where
// fetch expects it. A query with a client subnet finds a response for all subnets
// first, then the one for its own.
func (c *cache) find(q *dnsmsg.Query) *entry {
	q.Key = appendKey(q.Key[:0], q)
	e := c.get(q.Key)
	if q.Subnet == nil {
		return e
	}
	q.Key = append(q.Key, q.Subnet...)
	if e != nil && e.shared {
		return e
	}
	return c.get(q.Key)
}

func (c *cache) get(key []byte) *entry {
	if c.entries == nil {
		return nil
	}
	e, ok := c.entries.GetIfPresent(maphash.Bytes(c.seed, key))
	if !ok || e.key != string(key) {
		return nil
	}
	return e
}

// appendKey appends the key of an entry without the client subnet:
//
//	name (wire format, lower case) | type (2 bytes) | class (2 bytes) | flags (1 byte: DO 1, CD 2)
//
// The subnet option follows for a response that depends on it.
func appendKey(key []byte, q *dnsmsg.Query) []byte {
	key = append(key, q.Question...)
	for i, b := range key[:len(key)-4] {
		key[i] = dnsmsg.Lower(b)
	}
	var flags byte
	if q.DO {
		flags |= 1
	}
	if q.Flags&dnsmsg.FlagCD != 0 {
		flags |= 2
	}
	return append(key, flags)
}

// fetch starts an exchange for the query in the background, or joins the one for
// the same question. It also returns the result for metrics.
func (p *Pool) fetch(q *dnsmsg.Query) (*call, string) {
	c, first := p.cache.calls.join(q.Key)
	if !first {
		return c, cacheShared
	}
	// Not in this goroutine: the exchange must not end with the client, since
	// others may share it. It would not be faster either: so deep below the
	// server's frames the stack would grow, which costs more than a goroutine.
	// The goroutine ends by the query's timeout.
	go p.complete(c, q.Outgoing())
	return c, cacheMiss
}

// complete makes the exchange of a call, stores the response and ends the call.
func (p *Pool) complete(c *call, q *dnsmsg.Outgoing) {
	cache := p.cache.cache
	defer cache.calls.end(c)
	c.response, c.err = p.Exchange(q)
	if c.err == nil && p.edit.apply != nil {
		c.response = p.edit.apply(c.response)
	}
	if cache.entries != nil {
		cache.store(c, q)
	}
}

// refresh returns a newer response than the expired entry e if one comes within
// staleAfter, and otherwise e. It also returns the result for metrics.
func (p *Pool) refresh(e *entry, q *dnsmsg.Query, now time.Time) (*dnsmsg.Response, string) {
	if now.UnixNano() < e.retry.Load() {
		return e.response.Stale(staleTTL), cacheStale
	}
	c, _ := p.fetch(q)
	if p.cache.optimistic || p.selector.silent(now) {
		return e.response.Stale(staleTTL), cacheStale
	}
	late := p.clock.NewTimer(staleAfter)
	defer late.Stop()
	select {
	case <-late.Chan():
		e.delayRetry(p.clock.Now())
	case <-c.done:
		if !failed(c) {
			return c.response, cacheMiss
		}
		e.delayRetry(p.clock.Now())
	}
	return e.response.Stale(staleTTL), cacheStale
}

// dueForRenewal counts a hit, and reports whether the entry is popular and about
// to expire, and no renewal has failed recently.
func (e *entry) dueForRenewal(now time.Time) bool {
	hits := e.hits.Add(1)
	return hits >= prefetchHits && e.lasting() && now.UnixNano() >= e.retry.Load() &&
		e.expires.Sub(now) <= e.expires.Sub(e.stored)/prefetchShare
}

// delayRetry keeps a newer response from being requested for retryAfter.
func (e *entry) delayRetry(now time.Time) { e.retry.Store(now.Add(retryAfter).UnixNano()) }

// failed reports whether the outcome of a call is worse than an expired response.
func failed(c *call) bool {
	return c.err != nil || c.response.Rcode() == dnsmsg.RcodeServFail || !usable(c.response)
}

// store stores the response of a call. A failure never replaces a response that
// can still be served. Truncated responses and a TTL of 0 are not stored.
func (c *cache) store(done *call, q *dnsmsg.Outgoing) {
	now := c.clock.Now()
	if failed(done) {
		if e := c.get([]byte(done.key)); e != nil && now.Sub(e.expires) < c.stale && e.lasting() {
			e.delayRetry(now)
			return
		}
	}
	if done.err != nil || done.response.Truncated() {
		return
	}
	r := done.response
	r.Clamp(c.minTTL, c.maxTTL)
	lasts := time.Duration(r.TTL()) * time.Second
	if !r.Lasts() {
		lasts = failureTTL
	}
	if lasts == 0 {
		return
	}
	e := &entry{key: done.key, response: r, stored: now, expires: now.Add(lasts)}
	if q.Subnet && r.Scope() == 0 {
		// RFC 7871, section 7.3.1: with a scope of 0 the response is suitable
		// for all addresses. The key loses the subnet.
		e.key, e.shared = done.key[:len(q.Question)+1], true
	}
	c.entries.Set(maphash.String(c.seed, e.key), e)
}

// lasting reports whether the response has a TTL of its own, so that it is an
// answer or a denial and not a failure.
func (e *entry) lasting() bool { return e.response.Lasts() }

// Interface guards
var _ caddy.Destructor = (*cache)(nil)
