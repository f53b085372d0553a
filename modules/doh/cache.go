package doh

import (
	"bytes"
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
)

// Cache is how answers are kept. A hit costs no quota. Answers outlive a
// reload of the configuration that keeps the upstreams, but not a restart.
//
// Answers are kept apart by name, type, class, the flags RD, AD, CD and DO,
// and the client subnet that was sent.
type Cache struct {
	// How many answers are kept; one of more than a kilobyte counts for each
	// kilobyte. A negative number turns the cache off. Default: 10000.
	Entries int `json:"entries,omitempty"`

	// The bounds of the time for which an answer is kept. Askers are given
	// TTLs within them, too. Default: 0s and 1d.
	MinTTL caddy.Duration `json:"min_ttl,omitempty"`
	MaxTTL caddy.Duration `json:"max_ttl,omitempty"`

	// For how long after its time an answer is given when no upstream has a
	// newer one (RFC 8767). A negative value turns this off. Default: 1d.
	Stale caddy.Duration `json:"stale,omitempty"`
}

const (
	defaultEntries = 10_000
	defaultMaxTTL  = 24 * time.Hour
	defaultStale   = 24 * time.Hour

	// staleAfter is how long a newer answer is waited for before an old one is
	// given, retryAfter how long after a failure none is asked for, and
	// staleTTL how long askers may keep an old one. RFC 8767, section 5.
	staleAfter = 1800 * time.Millisecond
	retryAfter = 30 * time.Second
	staleTTL   = 30

	// servfailTTL keeps a name that does not resolve from using up quotas.
	// RFC 9520, section 3.2.
	servfailTTL = 5 * time.Second
)

// The kinds of results, as metrics name them.
const (
	cacheHit    = "hit"
	cacheMiss   = "miss"
	cacheShared = "shared" // the same question was under way
	cacheStale  = "stale"
)

// caches are those in use, by their settings and upstreams.
var caches = caddy.NewUsagePool()

// cache holds answers, and the questions that are under way.
type cache struct {
	minTTL, maxTTL uint32 // in seconds
	stale          time.Duration
	clock          clockwork.Clock
	seed           maphash.Seed
	// entries are found by a hash, so that looking one up makes no string;
	// they hold their whole key.
	entries *otter.Cache[uint64, *entry] // nil: turned off
	flights flights
}

// entry is an answer that is kept.
type entry struct {
	key     []byte
	answer  *answer
	stored  time.Time
	expires time.Time
	// retry is when a newer answer may be asked for again, in Unix
	// nanoseconds; 0 if there was no failure.
	retry atomic.Int64
}

// Destruct drops the answers once no configuration uses the cache.
func (c *cache) Destruct() error {
	if c.entries != nil {
		c.entries.InvalidateAll()
	}
	return nil
}

// check refuses what makes no sense.
func (c *Cache) check() error {
	if c.MinTTL < 0 || c.MaxTTL < 0 || time.Duration(c.MinTTL) > cmp.Or(time.Duration(c.MaxTTL), defaultMaxTTL) {
		return errors.New("cache: min_ttl must not be above max_ttl")
	}
	return nil
}

// load returns the cache for the upstreams, and the key by which to give it
// back. One that is turned off still lets identical questions share an answer.
func (c *Cache) load(clock clockwork.Clock, upstreams []any) (*cache, any, error) {
	if c == nil {
		c = new(Cache)
	}
	settings, err := json.Marshal([]any{c, upstreams})
	if err != nil {
		return nil, nil, err
	}
	key := sha256.Sum256(settings)
	loaded, _, err := caches.LoadOrNew(key, func() (caddy.Destructor, error) {
		made := &cache{
			minTTL: seconds(time.Duration(c.MinTTL)),
			maxTTL: seconds(cmp.Or(time.Duration(c.MaxTTL), defaultMaxTTL)),
			stale:  cmp.Or(time.Duration(c.Stale), defaultStale),
			clock:  clock,
			seed:   maphash.MakeSeed(),
		}
		if c.Entries < 0 {
			return made, nil
		}
		var err error
		made.entries, err = otter.New(&otter.Options[uint64, *entry]{
			MaximumWeight: uint64(cmp.Or(c.Entries, defaultEntries)),
			Weigher:       func(_ uint64, e *entry) uint32 { return 1 + uint32(len(e.answer.msg)/1024) },
		})
		return made, err
	})
	if err != nil {
		return nil, nil, err
	}
	return loaded.(*cache), key, nil
}

func seconds(d time.Duration) uint32 {
	return uint32(min(max(d, 0)/time.Second, 1<<31-1))
}

// answer returns an answer that is kept, or else that of ask. Its TTLs are to
// be counted down by elapsed seconds.
func (c *cache) answer(q *query, ask func(*query) (*answer, error)) (a *answer, elapsed uint32, result string, err error) {
	q.makeKey()
	e, now := c.find(q), c.clock.Now()
	if e != nil && now.Before(e.expires) {
		return e.answer, seconds(now.Sub(e.stored)), cacheHit, nil
	}
	if e == nil || now.Sub(e.expires) >= c.stale {
		result = cacheShared
		f, first := c.flights.join(q.key)
		if first {
			// Not here: so deep below the server's goroutine the stack would
			// have to grow, which costs more than another one.
			go c.fly(f, q, ask)
			result = cacheMiss
		}
		<-f.done
		return f.answer, 0, result, f.err
	}
	if a := c.refresh(e, q, now, ask); a != nil {
		return a, 0, cacheMiss, nil
	}
	return e.answer.stale(), 0, cacheStale, nil
}

// find returns what is kept for a query, or nil.
func (c *cache) find(q *query) *entry {
	if c.entries == nil {
		return nil
	}
	e, ok := c.entries.GetIfPresent(maphash.Bytes(c.seed, q.key))
	if !ok || !bytes.Equal(e.key, q.key) {
		return nil
	}
	return e
}

// refresh asks for a newer answer than e, in the background, and returns it if
// it comes soon, else nil.
func (c *cache) refresh(e *entry, q *query, now time.Time, ask func(*query) (*answer, error)) *answer {
	if now.UnixNano() < e.retry.Load() {
		return nil
	}
	f, first := c.flights.join(q.key)
	if first {
		q.busy = true // it outlives the request
		q.compose()
		go c.fly(f, q, ask)
	}
	late := c.clock.NewTimer(staleAfter)
	defer late.Stop()
	select {
	case <-late.Chan():
		return nil
	case <-f.done:
	}
	if f.err != nil || f.answer.rcode == rcodeServFail {
		e.retry.Store(c.clock.Now().Add(retryAfter).UnixNano())
		return nil
	}
	return f.answer
}

// fly asks, keeps the answer and ends the flight.
func (c *cache) fly(f *flight, q *query, ask func(*query) (*answer, error)) {
	defer c.flights.end(f)
	f.answer, f.err = ask(q)
	if f.err == nil && c.entries != nil {
		c.keep(f.answer, q)
	}
}

// keep stores an answer that holds for some time. A failure never takes the
// place of an answer that can still be given.
func (c *cache) keep(a *answer, q *query) {
	a.clamp(c.minTTL, c.maxTTL)
	lasts := time.Duration(a.ttl) * time.Second
	now := c.clock.Now()
	if a.rcode == rcodeServFail {
		if e := c.find(q); e != nil && now.Sub(e.expires) < c.stale && e.answer.rcode != rcodeServFail {
			return
		}
		lasts = servfailTTL
	}
	if lasts > 0 {
		c.entries.Set(maphash.Bytes(c.seed, q.key), &entry{key: bytes.Clone(q.key), answer: a, stored: now, expires: now.Add(lasts)})
	}
}

// makeKey makes the key of the cache: all that the answer depends on.
func (q *query) makeKey() {
	key := append(q.key[:0], q.question...)
	for i, b := range key[:len(key)-4] {
		key[i] = lower(b)
	}
	flags := q.flags
	if q.do {
		flags |= flagDO
	}
	if q.edns {
		flags |= 1
	}
	q.key = append(append16(key, flags), q.subnet...)
}

// Interface guards
var _ caddy.Destructor = (*cache)(nil)
