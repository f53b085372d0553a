// Package awake remembers when traffic last reached which upstream, and knows
// who is awake, asleep or waking up. A platform puts an instance to sleep when
// no request has come for a while, so a request that any of our modules has
// just sent makes a ping needless.
package awake

import (
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxUpstreams bounds the memory when dynamic sources bring ever new
// upstreams. A configuration has a few dozen.
const maxUpstreams = 1024

// seen maps an upstream (host:port) to an *entry. It belongs to the process
// and not to a configuration, because an instance stays awake over a reload.
var (
	seen  sync.Map
	count atomic.Int64
)

// entry holds when the last requests were sent, in nanoseconds since 1970.
type entry struct {
	traffic atomic.Int64 // of a user
	probe   atomic.Int64 // of our own
}

func (e *entry) last() int64 { return max(e.traffic.Load(), e.probe.Load()) }

// Touch notes that a user's request is being sent to upstream, which is a host
// with its port, as Upstream returns it. It is safe for concurrent use and
// takes no lock for an upstream that was seen before.
func Touch(upstream string) { TouchAt(upstream, time.Now()) }

// TouchAt is Touch for those who tell the time by a clock of their own.
func TouchAt(upstream string, at time.Time) { entryOf(upstream).traffic.Store(at.UnixNano()) }

// Probe notes that a request of our own is being sent to upstream. It keeps an
// instance awake as any other does, but there is no demand for it.
func Probe(upstream string, at time.Time) { entryOf(upstream).probe.Store(at.UnixNano()) }

// LastSeen returns when a request was last sent to upstream, and the zero time
// if this process never sent one.
func LastSeen(upstream string) time.Time { return last(upstream, (*entry).last) }

// LastTraffic returns when a user's request was last sent to upstream, and the
// zero time if this process never sent one.
func LastTraffic(upstream string) time.Time {
	return last(upstream, func(e *entry) int64 { return e.traffic.Load() })
}

func last(upstream string, of func(*entry) int64) time.Time {
	if e, ok := seen.Load(upstream); ok {
		if at := of(e.(*entry)); at != 0 {
			return time.Unix(0, at)
		}
	}
	return time.Time{}
}

func entryOf(upstream string) *entry {
	if e, ok := seen.Load(upstream); ok {
		return e.(*entry)
	}
	e, loaded := seen.LoadOrStore(upstream, new(entry))
	if !loaded && count.Add(1) > maxUpstreams {
		forgetOldest(upstream)
	}
	return e.(*entry)
}

// Upstream returns the name under which the upstream of u is known here:
// lower-case host and port, the port being the scheme's default if u has none.
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

// forgetOldest removes the upstream that was idle longest, but not the one
// that is about to be noted.
func forgetOldest(but string) {
	var (
		oldest any
		at     int64
	)
	seen.Range(func(upstream, e any) bool {
		if t := e.(*entry).last(); upstream != but && (oldest == nil || t < at) {
			oldest, at = upstream, t
		}
		return true
	})
	if _, loaded := seen.LoadAndDelete(oldest); loaded {
		count.Add(-1)
	}
}
