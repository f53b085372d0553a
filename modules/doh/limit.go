package doh

import (
	"errors"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// tooMany is the answer to a query beyond a limit.
func tooMany(text string, wait time.Duration) *refusal {
	return &refusal{status: http.StatusTooManyRequests, text: text, after: max(wait.Round(time.Second), time.Second)}
}

// perIP counts the queries of each address in the current period, in memory.
// An IPv6 address counts as its network of 64 bits, since one client has many.
type perIP struct {
	limit  int64
	period time.Duration
	clock  clockwork.Clock

	mu     sync.Mutex
	began  time.Time
	counts map[netip.Prefix]int64
}

// maxAddresses bounds the memory. In a period in which there are more, the
// others share one count.
const maxAddresses = 1 << 16

var errPerIP = errors.New("per_ip counts queries in a second, minute, hour or day, like per_ip 50/second")

// newPerIP returns nil if there is no limit.
func newPerIP(q *quota.Quota, clock clockwork.Clock) (*perIP, error) {
	if q == nil {
		return nil, nil
	}
	period, ok := map[ledger.Period]time.Duration{
		ledger.Second: time.Second, ledger.Minute: time.Minute, ledger.Hour: time.Hour, ledger.Day: 24 * time.Hour,
	}[q.Period]
	if !ok || q.Unit != "" && q.Unit != ledger.Requests {
		return nil, errPerIP
	}
	return &perIP{limit: q.Amount, period: period, clock: clock}, nil
}

// charge counts a query, or returns why it must not be answered.
func (p *perIP) charge(ip netip.Addr) *refusal {
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	network, _ := ip.Prefix(bits)
	now := p.clock.Now()
	began := now.Truncate(p.period)

	p.mu.Lock()
	defer p.mu.Unlock()
	if p.counts == nil || !began.Equal(p.began) {
		p.began, p.counts = began, make(map[netip.Prefix]int64)
	}
	n, known := p.counts[network]
	if !known && len(p.counts) >= maxAddresses {
		network = netip.Prefix{}
		n = p.counts[network]
	}
	if n >= p.limit {
		return tooMany("too many queries from this address", began.Add(p.period).Sub(now))
	}
	p.counts[network] = n + 1
	return nil
}
