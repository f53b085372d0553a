// Package awake records when requests were last sent to each upstream, and which
// instances are awake, asleep or waking up. A platform puts an instance to sleep
// when no request has come for a while, so a request that any module has just
// sent makes a ping unnecessary.
package awake

import (
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxUpstreams bounds the memory when dynamic sources provide ever new upstreams.
// A configuration has a few dozen.
const maxUpstreams = 1024

// Tracker records when requests were last sent to each upstream (host:port, as
// Upstream returns it), and the upstream's keepers. The app `freetier` has one per
// process, since an instance stays awake over a reload. It is safe for concurrent
// use, and takes no lock for an upstream that it knows already.
type Tracker struct {
	entries sync.Map // upstream to *entry
	count   atomic.Int64

	// keepers is a snapshot: the map is never changed, only replaced, so that
	// readers take no lock. Writers hold changing.
	keepers  atomic.Pointer[map[string][]Keeper]
	changing sync.Mutex
}

// NewTracker returns a Tracker without upstreams.
func NewTracker() *Tracker { return new(Tracker) }

// entry is when the last requests were sent, in Unix nanoseconds.
type entry struct {
	traffic atomic.Int64 // of a user
	probe   atomic.Int64 // of a module, except pings
	ping    atomic.Int64 // of the app keepalive
}

// other returns when the last request other than a ping was sent.
func (e *entry) other() int64 { return max(e.traffic.Load(), e.probe.Load()) }

func (e *entry) last() int64 { return max(e.other(), e.ping.Load()) }

// Touch records a user's request to upstream.
func (t *Tracker) Touch(upstream string, at time.Time) {
	t.entryOf(upstream).traffic.Store(at.UnixNano())
}

// Probe records a module's own request to upstream. It keeps an instance awake as
// any other does, but does not count as demand.
func (t *Tracker) Probe(upstream string, at time.Time) {
	t.entryOf(upstream).probe.Store(at.UnixNano())
}

// Ping records a ping of the app `keepalive` to upstream. It keeps an instance awake
// as any other request does, but does not replace the ping of another target,
// which has a response of its own to check. A time before the recorded one changes
// nothing.
func (t *Tracker) Ping(upstream string, at time.Time) {
	e := t.entryOf(upstream)
	for nano := at.UnixNano(); ; {
		known := e.ping.Load()
		if known >= nano || e.ping.CompareAndSwap(known, nano) {
			return
		}
	}
}

// LastOther returns when a request other than a ping was last sent to upstream, and
// the zero time if this process never sent one.
func (t *Tracker) LastOther(upstream string) time.Time { return t.last(upstream, (*entry).other) }

// LastSeen returns when a request was last sent to upstream, and the zero time
// if this process never sent one.
func (t *Tracker) LastSeen(upstream string) time.Time { return t.last(upstream, (*entry).last) }

// LastTraffic returns when a user's request was last sent to upstream, and the
// zero time if this process never sent one.
func (t *Tracker) LastTraffic(upstream string) time.Time {
	return t.last(upstream, func(e *entry) int64 { return e.traffic.Load() })
}

func (t *Tracker) last(upstream string, of func(*entry) int64) time.Time {
	if e, ok := t.entries.Load(upstream); ok {
		if at := of(e.(*entry)); at != 0 {
			return time.Unix(0, at)
		}
	}
	return time.Time{}
}

func (t *Tracker) entryOf(upstream string) *entry {
	if e, ok := t.entries.Load(upstream); ok {
		return e.(*entry)
	}
	e, loaded := t.entries.LoadOrStore(upstream, new(entry))
	if !loaded && t.count.Add(1) > maxUpstreams {
		t.removeOldest(upstream)
	}
	return e.(*entry)
}

// removeOldest removes the upstream that has been idle longest, except the one that
// is being recorded.
func (t *Tracker) removeOldest(except string) {
	var (
		oldest any
		at     int64
	)
	t.entries.Range(func(upstream, e any) bool {
		if last := e.(*entry).last(); upstream != except && (oldest == nil || last < at) {
			oldest, at = upstream, last
		}
		return true
	})
	if _, loaded := t.entries.LoadAndDelete(oldest); loaded {
		t.count.Add(-1)
	}
}

// Upstream returns the name of an upstream in a Tracker, given its URL: the host in
// lower case, and the port or the scheme's default.
func Upstream(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "80"
		if u.Scheme == "https" || u.Scheme == "wss" {
			port = "443"
		}
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}
