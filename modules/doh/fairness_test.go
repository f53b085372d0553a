package doh

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

func newLimit(t *testing.T, n int64) *perIP {
	t.Helper()
	p, err := newPerIP(&quota.Quota{Amount: n, Period: ledger.Day}, clockwork.NewFakeClockAt(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// numbered returns the i-th network of 64 bits, or the i-th IPv4 address.
func numbered(prefix string, i int) netip.Addr {
	ip := netip.MustParseAddr(prefix)
	if ip.Is4() {
		b := ip.As4()
		binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+uint32(i))
		return netip.AddrFrom4(b)
	}
	b := ip.As16()
	binary.BigEndian.PutUint64(b[:], binary.BigEndian.Uint64(b[:])+uint64(i))
	return netip.AddrFrom16(b)
}

// Whoever has many addresses cannot take the limit of others away.
func TestPerIPIsFair(t *testing.T) {
	const limit = 5
	for name, flood := range map[string]string{
		"one site":           "2001:db8:1::",
		"many sites":         "2001:db8::",
		"one IPv4 address":   "192.0.2.1",
		"many IPv4 networks": "10.0.0.0",
	} {
		t.Run(name, func(t *testing.T) {
			p := newLimit(t, limit)
			known := netip.MustParseAddr("198.51.100.1")
			for range limit {
				p.charge(known)
			}
			for i := range 3 * maxAddresses {
				if name == "one IPv4 address" {
					i = 0
				}
				p.charge(numbered(flood, i))
			}
			for _, other := range []string{"203.0.113.7", "203.0.113.8", "2001:db8:ffff:1::1", "2001:db8:fffe:2::1"} {
				for n := range limit {
					if p.charge(netip.MustParseAddr(other)) != nil {
						t.Fatalf("query %d of %s was refused", n+1, other)
					}
				}
				if p.charge(netip.MustParseAddr(other)) == nil {
					t.Errorf("%s has no limit", other)
				}
			}
			if p.charge(known) == nil {
				t.Error("the flood has lifted the limit of an address")
			}
			for table, n := range map[string]int{"IPv4": len(p.ipv4), "IPv6": len(p.ipv6), "sites": len(p.sites)} {
				if n > maxAddresses {
					t.Errorf("the table %s has %d entries", table, n)
				}
			}
		})
	}
}

// A site has a limit, however many networks it has.
func TestPerIPOfSite(t *testing.T) {
	p := newLimit(t, 5)
	admitted := 0
	for i := range 1000 {
		if p.charge(numbered("2001:db8:1::", i)) == nil {
			admitted++
		}
	}
	if admitted != 5*siteLimit {
		t.Errorf("%d queries of a site were admitted, want %d", admitted, 5*siteLimit)
	}
}
