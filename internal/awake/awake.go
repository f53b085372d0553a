// Package awake remembers when traffic last reached which upstream. A platform
// puts an instance to sleep when no request has come for a while, so a request
// that any of our modules has just sent makes a ping needless.
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

// seen maps an upstream (host:port) to an *atomic.Int64, the time of its last
// request in nanoseconds since 1970. It belongs to the process and not to a
// configuration, because an instance stays awake over a reload.
var (
	seen  sync.Map
	count atomic.Int64
)

// Touch notes that a request is being sent to upstream, which is a host with
// its port, as Upstream returns it. It is safe for concurrent use and takes
// no lock for an upstream that was seen before.
func Touch(upstream string) { TouchAt(upstream, time.Now()) }

// TouchAt is Touch for those who tell the time by a clock of their own.
func TouchAt(upstream string, at time.Time) {
	now := at.UnixNano()
	if last, ok := seen.Load(upstream); ok {
		last.(*atomic.Int64).Store(now)
		return
	}
	last := new(atomic.Int64)
	last.Store(now)
	if _, loaded := seen.Swap(upstream, last); !loaded && count.Add(1) > maxUpstreams {
		forgetOldest()
	}
}

// LastSeen returns when a request was last sent to upstream, and the zero time
// if this process never sent one.
func LastSeen(upstream string) time.Time {
	last, ok := seen.Load(upstream)
	if !ok {
		return time.Time{}
	}
	return time.Unix(0, last.(*atomic.Int64).Load())
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

// forgetOldest removes the upstream that was idle longest.
func forgetOldest() {
	var (
		oldest any
		at     int64
	)
	seen.Range(func(upstream, last any) bool {
		if t := last.(*atomic.Int64).Load(); oldest == nil || t < at {
			oldest, at = upstream, t
		}
		return true
	})
	if _, loaded := seen.LoadAndDelete(oldest); loaded {
		count.Add(-1)
	}
}
