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

// tooMany is the response to a query beyond a limit. wait is the time until the
// next period begins.
func tooMany(text string, wait time.Duration) *refusal {
	return &refusal{status: http.StatusTooManyRequests, text: text, after: max(wait.Round(time.Second), time.Second)}
}

// perIP counts the queries of each address in the current period, in memory. An
// IPv6 address counts as its /64 network, since one client has many addresses
// there. All /64 networks of a /48, which is the most that a site usually gets
// (RFC 6177, section 2), also have a limit in common.
type perIP struct {
	limit  int64 // queries per period
	period time.Duration
	clock  clockwork.Clock

	mu    sync.Mutex // guards the fields below
	began time.Time  // of the current period
	ipv4  counts
	ipv6  counts // by /64 network
	sites counts // by /48 network
}

const (
	// maxAddresses is the size of each table, which bounds its memory.
	maxAddresses = 1 << 16

	// siteLimit is the limit of a /48 network, in limits of an address.
	siteLimit = 16

	// candidates is the number of entries of a full table from which the one to
	// remove is chosen.
	candidates = 16
)

// counts are the numbers of queries by network.
type counts map[netip.Prefix]int64

// add counts a query of a network, and returns false if the network has reached the
// limit. From a full table it removes an entry with few queries. An attacker with
// many addresses thereby removes entries of its own, and the counts of others
// remain.
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

// removeSmall removes the entry with the fewest queries among candidates entries.
// A search of the whole table for each query would be an attack by itself.
func (c counts) removeSmall() {
	var small netip.Prefix
	least, seen := int64(math.MaxInt64), 0
	for network, n := range c { // maps are ranged over in random order
		if n < least {
			small, least = network, n
		}
		if seen++; seen == candidates {
			break
		}
	}
	delete(c, small)
}

var errPerIP = errors.New("per_ip counts queries per second, minute, hour or day; write per_ip 50/second, for example")

// newPerIP returns the counts for a limit, and nil without an error if q is nil.
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

// charge counts a query of an address, and returns a refusal if the limit is
// reached. Periods begin at multiples of their length since year 1, so that a
// restart does not move them.
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

// add counts a query of an address, and returns false if a limit is reached. The
// caller holds the lock.
func (p *perIP) add(ip netip.Addr) bool {
	if !ip.Is6() {
		network, _ := ip.Prefix(min(ip.BitLen(), 32))
		return p.ipv4.add(network, p.limit)
	}
	site, _ := ip.Prefix(48)
	network, _ := ip.Prefix(64)
	return p.sites[site] < p.limit*siteLimit && p.ipv6.add(network, p.limit) && p.sites.add(site, p.limit*siteLimit)
}
