package dnsclient

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jonboulle/clockwork"
)

const (
	// dialTimeout bounds a connection attempt and a TLS handshake.
	dialTimeout = 3 * time.Second
	// stagger is how long an address is tried alone before the next one is tried
	// at the same time. RFC 8305, section 5.
	stagger = 250 * time.Millisecond
)

// NewDialer returns a Dial that connects to the host by its bootstrap addresses, if
// there are any. Each address is tried stagger after the previous one or when that
// has failed. The next time the one that worked is tried first.
func NewDialer(host string, bootstrap []string) Dial {
	d := &net.Dialer{Timeout: dialTimeout}
	if len(bootstrap) == 0 {
		return d.DialContext
	}
	b := &bootstrapDialer{host: host, addresses: bootstrap, dial: d.DialContext, clock: clockwork.NewRealClock()}
	return b.dialContext
}

// bootstrapDialer connects to a host by configured addresses.
type bootstrapDialer struct {
	host      string
	addresses []string
	dial      Dial
	clock     clockwork.Clock
	first     atomic.Int32 // of the addresses: the one that worked last
}

// dialed is the outcome of one connection attempt.
type dialed struct {
	conn net.Conn
	err  error
	at   int32 // of the addresses
}

// dialContext is a Dial.
func (b *bootstrapDialer) dialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	name, port, err := net.SplitHostPort(addr)
	if err != nil || !strings.EqualFold(name, b.host) {
		return b.dial(ctx, network, addr) // of an HTTP proxy
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		first   = b.first.Load()
		results = make(chan dialed, len(b.addresses))
		begun   = 0
		errs    []error
	)
	begin := func() {
		at := (first + int32(begun)) % int32(len(b.addresses))
		begun++
		go func() {
			conn, err := b.dial(ctx, network, net.JoinHostPort(b.addresses[at], port))
			results <- dialed{conn, err, at}
		}()
	}
	begin()
	timer := b.clock.NewTimer(stagger)
	defer timer.Stop()
	for {
		select {
		case <-timer.Chan():
			if begun < len(b.addresses) {
				begin()
				timer.Reset(stagger)
			}
			continue
		case r := <-results:
			if r.err == nil {
				b.first.Store(r.at)
				go closeLate(results, begun-len(errs)-1)
				return r.conn, nil
			}
			errs = append(errs, r.err)
		}
		if begun < len(b.addresses) {
			begin()
		} else if len(errs) == begun {
			return nil, errors.Join(errs...)
		}
	}
}

// closeLate closes the connections of n attempts that succeed too late. It ends soon,
// since their context is canceled.
func closeLate(results <-chan dialed, n int) {
	for range n {
		if r := <-results; r.conn != nil {
			_ = r.conn.Close()
		}
	}
}
