package doh

import (
	"errors"
	"math"
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
// An IPv6 address counts as its network of 64 bits, since one client has many, and
// the networks of 64 bits in one of 48 bits, which is a site, have a limit
// together.
type perIP struct {
	limit  int64
	period time.Duration
	clock  clockwork.Clock

	mu    sync.Mutex
	began time.Time
	ipv4  counts
	ipv6  counts // by networks of 64 bits
	sites counts // by networks of 48 bits
}

const (
	// maxAddresses bounds the memory of each table.
	maxAddresses = 1 << 16

	// siteLimit is how many times the limit of an address all those of a site have.
	siteLimit = 16

	// candidates is how many entries of a full table are looked at to find one that
	// can be removed.
	candidates = 16
)

// counts are the queries of networks.
type counts map[netip.Prefix]int64

// add counts a query of a network, unless that has as many as the limit. Of a full
// table it removes an entry with few queries: so whoever comes from many addresses
// removes their own, and others keep a count of their own.
func (c counts) add(network netip.Prefix, limit int64) bool {
	n, known := c[network]
	if n >= limit {
		return false
	}
	if !known && len(c) >= maxAddresses {
		c.removeSmall()
	}
	c[network] = n + 1
	return true
}

func (c counts) removeSmall() {
	var small netip.Prefix
	least, seen := int64(math.MaxInt64), 0
	for network, n := range c { // in random order
		if n < least {
			small, least = network, n
		}
		if seen++; seen == candidates {
			break
		}
	}
	delete(c, small)
}

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
	now := p.clock.Now()
	began := now.Truncate(p.period)

	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ipv4 == nil || !began.Equal(p.began) {
		p.began, p.ipv4, p.ipv6, p.sites = began, make(counts), make(counts), make(counts)
	}
	if !p.add(ip) {
		return tooMany("too many queries from this address", began.Add(p.period).Sub(now))
	}
	return nil
}

// add counts a query of an address. The caller holds the lock.
func (p *perIP) add(ip netip.Addr) bool {
	if !ip.Is6() {
		network, _ := ip.Prefix(min(ip.BitLen(), 32))
		return p.ipv4.add(network, p.limit)
	}
	site, _ := ip.Prefix(48)
	network, _ := ip.Prefix(64)
	return p.sites[site] < p.limit*siteLimit && p.ipv6.add(network, p.limit) && p.sites.add(site, p.limit*siteLimit)
}
