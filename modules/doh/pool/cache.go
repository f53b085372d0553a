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

// Cache is how responses are kept. A hit costs no quota. Responses outlive a
// reload of the configuration that keeps the upstreams, but not a restart.
//
// Responses are kept apart by name, type, class and the flags DO and CD, and
// by the client subnet that was sent, unless the upstream has said that the
// response holds for all of them.
type Cache struct {
	// How many responses are kept; one of more than a kilobyte counts for each
	// kilobyte. A negative number turns the cache off. Default: 10000.
	Entries int `json:"entries,omitempty"`

	// The bounds of the time for which a response is kept. Clients are given
	// TTLs within them, too; a TTL of 0 stays. Default: 0s and 1d.
	MinTTL caddy.Duration `json:"min_ttl,omitempty"`
	MaxTTL caddy.Duration `json:"max_ttl,omitempty"`

	// For how long after its time a response is given when no upstream has a
	// newer one (RFC 8767). A negative value turns this off. Default: 1d.
	Stale caddy.Duration `json:"stale,omitempty"`

	// Whether a response whose time is over is given at once, and a newer one is
	// asked for in the background. Clients may keep it for 30 seconds. Default:
	// false.
	Optimistic bool `json:"optimistic,omitempty"`

	// Whether names that are asked for again and again are renewed shortly before
	// their time is over. It costs quota. Default: false.
	Prefetch bool `json:"prefetch,omitempty"`
}

const (
	defaultEntries = 10_000
	defaultMaxTTL  = 24 * time.Hour
	defaultStale   = 24 * time.Hour

	// staleAfter is how long a newer response is waited for before an old one is
	// given, retryAfter how long after a failure none is asked for, and
	// staleTTL how long clients may keep an old one. RFC 8767, section 5.
	staleAfter = 1800 * time.Millisecond
	retryAfter = 30 * time.Second
	staleTTL   = 30

	// failureTTL keeps a name that does not resolve from using up quotas (RFC
	// 9520, section 3.2), and so a denial that does not say how long it holds.
	failureTTL = 5 * time.Second

	// A name that was asked for at least prefetchHits times is renewed when it is
	// asked for in the last prefetchShare of its time.
	prefetchHits  = 3
	prefetchShare = 10
)

// The kinds of results, as metrics name them.
const (
	cacheHit    = "hit"
	cacheMiss   = "miss"
	cacheShared = "shared" // the same question was under way
	cacheStale  = "stale"
)

var results = []string{cacheHit, cacheMiss, cacheShared, cacheStale}

// caches are those in use, by their settings and upstreams.
var caches = caddy.NewUsagePool()

// cache holds responses, and the questions that are being asked.
type cache struct {
	minTTL, maxTTL uint32 // in seconds
	stale          time.Duration
	optimistic     bool
	prefetch       bool
	clock          clockwork.Clock
	seed           maphash.Seed
	// entries are found by a hash, so that looking one up makes no string;
	// they hold their whole key.
	entries *otter.Cache[uint64, *entry] // nil: turned off
	calls   singleflight
}

// entry is a response that is kept.
type entry struct {
	key      string
	response *dnsmsg.Response
	shared   bool // holds for all client subnets
	stored   time.Time
	expires  time.Time
	// retry is when a newer response may be asked for again, in Unix
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

// Check refuses what makes no sense.
func (c *Cache) Check() error {
	if c.MinTTL < 0 || c.MaxTTL < 0 || time.Duration(c.MinTTL) > cmp.Or(time.Duration(c.MaxTTL), defaultMaxTTL) {
		return errors.New("cache: min_ttl must not be above max_ttl")
	}
	switch {
	case c.Optimistic && c.Stale < 0:
		return errors.New("cache: optimistic gives responses whose time is over, which stale off forbids")
	case c.Entries < 0 && (c.Optimistic || c.Prefetch):
		return errors.New("cache: optimistic and prefetch mean nothing when the cache is off")
	}
	return nil
}

// cacheLease is a pool's use of a cache.
type cacheLease struct {
	*cache
	key any
}

// OpenCache gives the pool a cache. One that is turned off still lets identical
// questions share a response.
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
	// Requests may be under way, and use the cache until they end.
	_, err := caches.Delete(l.key)
	return err
}

func seconds(d time.Duration) uint32 {
	return uint32(min(max(d, 0)/time.Second, 1<<31-1))
}

// Resolve returns a response that is kept, or else that of an upstream. Its TTLs
// are to be counted down by elapsed seconds.
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

// find returns what is kept for a query, or nil. It leaves the key for fetch in
// the query.
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

// appendKey appends the key of the cache: all that the response depends on, but
// for the client subnet.
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

// fetch has the question asked in the background, unless that is under way.
func (p *Pool) fetch(q *dnsmsg.Query) (*call, string) {
	c, first := p.cache.calls.join(q.Key)
	if !first {
		return c, cacheShared
	}
	// Not here: so deep below the server's goroutine the stack would have to
	// grow, which costs more than another one. Nor does it end with the client.
	go p.see(c, q.Outgoing())
	return c, cacheMiss
}

// see sees a call through to its end, and keeps the response.
func (p *Pool) see(c *call, q *dnsmsg.Outgoing) {
	cache := p.cache.cache
	defer cache.calls.end(c)
	c.response, c.err = p.Exchange(q)
	if c.err == nil && p.edit.apply != nil {
		c.response = p.edit.apply(c.response)
	}
	if cache.entries != nil {
		cache.keep(c, q)
	}
}

// refresh returns a response newer than e if there is one soon, else e.
func (p *Pool) refresh(e *entry, q *dnsmsg.Query, now time.Time) (*dnsmsg.Response, string) {
	if now.UnixNano() < e.retry.Load() {
		return e.response.Stale(staleTTL), cacheStale
	}
	c, _ := p.fetch(q)
	if p.cache.optimistic || p.silent(now) {
		return e.response.Stale(staleTTL), cacheStale
	}
	late := p.clock.NewTimer(staleAfter)
	defer late.Stop()
	select {
	case <-late.Chan():
		e.pause(p.clock.Now())
	case <-c.done:
		if !failed(c) {
			return c.response, cacheMiss
		}
		e.pause(p.clock.Now())
	}
	return e.response.Stale(staleTTL), cacheStale
}

// dueForRenewal counts a hit, and reports whether a popular response is near its
// end and no renewal has just failed.
func (e *entry) dueForRenewal(now time.Time) bool {
	hits := e.hits.Add(1)
	return hits >= prefetchHits && e.lasting() && now.UnixNano() >= e.retry.Load() &&
		e.expires.Sub(now) <= e.expires.Sub(e.stored)/prefetchShare
}

// pause says that no newer response can be had for now.
func (e *entry) pause(now time.Time) { e.retry.Store(now.Add(retryAfter).UnixNano()) }

// failed reports whether a call brought nothing that is better than an old
// response.
func failed(c *call) bool {
	return c.err != nil || c.response.Rcode() == dnsmsg.RcodeServFail || !usable(c.response)
}

// keep stores the response of a call. A failure never takes the place of a
// response that can still be given.
func (c *cache) keep(done *call, q *dnsmsg.Outgoing) {
	now := c.clock.Now()
	if failed(done) {
		if e := c.get([]byte(done.key)); e != nil && now.Sub(e.expires) < c.stale && e.lasting() {
			e.pause(now)
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
		// RFC 7871, section 7.3.1
		e.key, e.shared = done.key[:len(q.Question)+1], true
	}
	c.entries.Set(maphash.String(c.seed, e.key), e)
}

// lasting reports whether the entry says something about the name.
func (e *entry) lasting() bool { return e.response.Lasts() }

// Interface guards
var _ caddy.Destructor = (*cache)(nil)
