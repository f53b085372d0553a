// Package localname knows the names that no public resolver may be asked for:
// those of private networks and those that are reserved for other uses.
// Whoever asks for them outside tells others what the local network looks
// like, and gets no answer.
package localname

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
	"golang.org/x/net/publicsuffix"

	"github.com/caddy-freetier/caddy-freetier/internal/domainset"
)

// Kind says how a local name is answered.
type Kind int

const (
	// Public names are not answered here.
	Public Kind = iota
	// NXDomain: the name does not exist.
	NXDomain
	// NoData: the name exists and has no record of the type.
	NoData
	// Loopback: an address record of localhost.
	Loopback
	// Localhost: the PTR record of a loopback address.
	Localhost
)

// topLevel are the names that are reserved at the top, with all below them.
//
//   - invalid, localhost, test: RFC 6761, section 6
//   - local: RFC 6762, section 3
//   - onion: RFC 7686, section 2
//   - alt: RFC 9476, section 3
//   - internal: reserved by ICANN on 2024-07-29 for private use
//   - corp, home, intranet, lan, private: used in private networks, and not
//     delegated for that reason (RFC 6762, appendix G)
//
// example is not among them: its names are in the public DNS (RFC 6761, section
// 6.5).
var topLevel = words("alt corp home internal intranet invalid lan local localhost onion private test")

// zones are reserved further down, with all below them, in wire format.
var zones = wireSet(append(privateReverse(), "home.arpa", "use-application-dns.net"))

const (
	// LocalhostName is the name, in wire format, that the PTR records of
	// loopback addresses have.
	LocalhostName = "\x09localhost\x00"

	// canary is the name by which Firefox asks whether it may use a resolver of
	// its own choice; that it does not exist means no.
	// https://support.mozilla.org/kb/canary-domain-use-application-dnsnet
	canary = "\x13use-application-dns\x03net\x00"
)

// privateReverse returns the reverse zones of networks without a place in the
// world: RFC 6303, section 4, and RFC 7793.
func privateReverse() []string {
	prefixes := []string{
		"0.0.0.0/8", "10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16",
		"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "255.255.255.255/32",
		"::/128", "::1/128", "2001:db8::/32",
		"fc00::/8", "fd00::/8", "fe80::/12", "fe90::/12", "fea0::/12", "feb0::/12",
	}
	for second := 16; second < 32; second++ {
		prefixes = append(prefixes, fmt.Sprintf("172.%d.0.0/16", second))
	}
	for second := 64; second < 128; second++ {
		prefixes = append(prefixes, fmt.Sprintf("100.%d.0.0/16", second))
	}
	var names []string
	for _, prefix := range prefixes {
		name, err := domainset.Reverse(netip.MustParsePrefix(prefix))
		if err != nil {
			panic(err)
		}
		names = append(names, name)
	}
	return names
}

func words(text string) map[string]bool {
	set := make(map[string]bool)
	for word := range strings.FieldsSeq(text) {
		set[word] = true
	}
	return set
}

func wireSet(names []string) map[string]bool {
	set := make(map[string]bool)
	for _, name := range names {
		wire, err := domainset.Wire(name)
		if err != nil {
			panic(err)
		}
		set[wire] = true
	}
	return set
}

// Classify returns how a question is answered, and for a local name where in it
// its zone begins. The name is in wire format and lower case.
//
// DS records of a top-level name are public: those who validate need the proof
// of the root that the name is not signed (RFC 6761 and 7686 leave that open).
func Classify(name []byte, qtype uint16) (kind Kind, zone int) {
	top := lastLabel(name)
	label := name[top:]
	if len(label) == 1 {
		return Public, 0 // the root
	}
	text := label[1 : len(label)-1]
	switch {
	case top == 0:
		return single(text, qtype), 0
	case string(text) == "localhost":
		return loopback(qtype), top
	case topLevel[string(text)], digits(text):
		return NXDomain, top
	case string(text) != "arpa" && string(text) != "net":
		return Public, 0
	}
	for off := 0; off < top; off += 1 + int(name[off]) {
		if zones[string(name[off:])] {
			return within(name, off, qtype), off
		}
	}
	return Public, 0
}

// single classifies a name of one label. Top-level domains that exist are
// public. All others are names that a resolver's search list should have
// completed, such as `nas` or `wpad`.
func single(label []byte, qtype uint16) Kind {
	switch {
	case string(label) == "localhost":
		return loopback(qtype)
	case qtype == dns.TypeDS:
		return Public
	case topLevel[string(label)]:
		return NXDomain
	}
	if _, known := publicsuffix.PublicSuffix(string(label)); known || string(label) == "arpa" {
		return Public
	}
	return NXDomain
}

func loopback(qtype uint16) Kind {
	if qtype == dns.TypeA || qtype == dns.TypeAAAA {
		return Loopback
	}
	return NoData
}

// within classifies a name in a zone that begins at off.
func within(name []byte, off int, qtype uint16) Kind {
	switch string(name) {
	case canary:
		return NXDomain
	case loopback4, loopback6:
		if qtype == dns.TypePTR {
			return Localhost
		}
		return NoData
	}
	if off == 0 {
		return NoData // the zone itself exists
	}
	return NXDomain
}

// The names of the PTR records of the loopback addresses.
var (
	loopback4 = reverse("127.0.0.1/32")
	loopback6 = reverse("::1/128")
)

func reverse(prefix string) string {
	name, err := domainset.Reverse(netip.MustParsePrefix(prefix))
	if err != nil {
		panic(err)
	}
	wire, err := domainset.Wire(name)
	if err != nil {
		panic(err)
	}
	return wire
}

// lastLabel returns where the last label of a name begins.
func lastLabel(name []byte) int {
	last := 0
	for off := 0; name[off] != 0; off += 1 + int(name[off]) {
		last = off
	}
	return last
}

// digits reports whether a label is a number: the name is an IPv4 address then.
func digits(label []byte) bool {
	for _, c := range label {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
