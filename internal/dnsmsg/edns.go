package dnsmsg

import (
	"net/netip"
	"slices"

	"github.com/miekg/dns"
)

// EDNS options (RFC 6891).
const (
	OptionSubnet    = 8  // RFC 7871
	OptionCookie    = 10 // RFC 7873
	OptionKeepalive = 11 // RFC 7828
	OptionPadding   = 12 // RFC 7830
	OptionEDE       = 15 // RFC 8914
)

// Extended DNS errors (RFC 8914).
const (
	EDEOther                = 0
	EDEStale                = 3
	EDEBlocked              = 15
	EDECensored             = 16
	EDEFiltered             = 17
	EDEStaleNXDomain        = 19
	EDENotAuthoritative     = 20
	EDENoReachableAuthority = 22
	EDENetworkError         = 23
)

const (
	// FlagDO requests DNSSEC records. It is a bit in the OPT record's TTL field.
	FlagDO = 1 << 15

	// UDPSize is the UDP payload size in OPT records that this server sends. DNS
	// Flag Day 2020 recommends 1232, which fits into an unfragmented packet.
	UDPSize = 1232

	// Messages are padded to a multiple of padQuery or PadResponse bytes (RFC
	// 8467, section 4.1).
	padQuery    = 128
	PadResponse = 468

	optLen    = 11 // of an OPT record without options
	optionLen = 4  // of an option without data
)

// An OPT record (RFC 6891, section 6.1.2) is a record of the root in the additional
// section whose class and TTL have other meanings:
//
//	0 | 41 | UDP size (2) | upper RCODE (1) | version (1) | DO, Z (2) | length (2) | options
//
// Each option is its code (2), its length (2) and its data.

// options calls yield for each option of an OPT record, with the offsets of its
// beginning and its end.
func options(msg []byte, opt record, yield func(code uint16, at, end int)) error {
	for at := opt.data; at < opt.end; {
		if at+4 > opt.end {
			return ErrMalformed
		}
		end := at + 4 + int(get16(msg, at+2))
		if end > opt.end {
			return ErrMalformed
		}
		yield(get16(msg, at), at, end)
		at = end
	}
	return nil
}

// DNSSECFailed reports whether an extended error is a failure of DNSSEC validation,
// which is the same at every validating resolver.
func DNSSECFailed(ede int) bool {
	switch uint16(ede) {
	case dns.ExtendedErrorCodeUnsupportedDNSKEYAlgorithm,
		dns.ExtendedErrorCodeUnsupportedDSDigestType,
		dns.ExtendedErrorCodeDNSSECIndeterminate,
		dns.ExtendedErrorCodeDNSBogus,
		dns.ExtendedErrorCodeSignatureExpired,
		dns.ExtendedErrorCodeSignatureNotYetValid,
		dns.ExtendedErrorCodeDNSKEYMissing,
		dns.ExtendedErrorCodeRRSIGsMissing,
		dns.ExtendedErrorCodeNoZoneKeyBitSet,
		dns.ExtendedErrorCodeNSECMissing,
		dns.ExtendedErrorCodeSignatureExpiredBeforeValid,
		dns.ExtendedErrorCodeUnsupportedNSEC3IterValue:
		return true
	}
	return false
}

// appendOPT appends an OPT record without options, and increments the count of the
// additional section.
func appendOPT(msg []byte, do bool) []byte {
	var ttl uint32
	if do {
		ttl = FlagDO
	}
	msg = append(msg, 0) // the root
	msg = append16(msg, TypeOPT)
	msg = append16(msg, UDPSize)
	msg = append32(msg, ttl)
	msg = append16(msg, 0)
	put16(msg, atAR, get16(msg, atAR)+1)
	return msg
}

// appendPadding pads a message to a multiple of block (RFC 7830). The message must end
// with an OPT record whose type is at the offset head. A message that would become
// too long is not padded.
func appendPadding(msg []byte, head, block int) []byte {
	total := roundUp(len(msg)+optionLen, block)
	if total > MaxMessage {
		return msg
	}
	zeros := total - len(msg) - optionLen
	msg = append16(msg, OptionPadding)
	msg = append16(msg, uint16(zeros))
	msg = slices.Grow(msg, zeros)[:total]
	clear(msg[total-zeros:])
	put16(msg, head+8, uint16(total-head-10))
	return msg
}

// roundUp returns the smallest multiple of block that is at least n.
func roundUp(n, block int) int { return (n + block - 1) / block * block }

// appendEDE appends an extended error as an EDNS option.
func appendEDE(opts []byte, code uint16, text string) []byte {
	opts = append16(opts, OptionEDE)
	opts = append16(opts, uint16(2+len(text)))
	opts = append16(opts, code)
	return append(opts, text...)
}

// SubnetOption returns the data of the client subnet option for a prefix, and nil for
// the zero prefix (RFC 7871, section 6):
//
//	family (2) | source prefix length (1) | scope prefix length (1) | address, truncated to the prefix
func SubnetOption(prefix netip.Prefix) []byte {
	if !prefix.IsValid() {
		return nil
	}
	prefix = prefix.Masked()
	family := byte(familyIPv6)
	if prefix.Addr().Is4() {
		family = familyIPv4
	}
	bits := prefix.Bits()
	return append([]byte{0, family, byte(bits), 0}, prefix.Addr().AsSlice()[:(bits+7)/8]...)
}

// The address families of the client subnet option.
const (
	familyIPv4 = 1
	familyIPv6 = 2
)

// soundSubnet reports whether the data of a client subnet option in a query is valid
// (RFC 7871, section 6): the scope is 0, and the address has as many bytes as the
// prefix needs, with 0 in the bits after it. An unknown family is not valid.
func soundSubnet(data []byte) bool {
	if len(data) < 4 || data[0] != 0 || data[3] != 0 {
		return false
	}
	bits, address := int(data[2]), data[4:]
	if most := [...]int{0, 32, 128}; int(data[1]) >= len(most) || bits > most[data[1]] {
		return false
	}
	if len(address) != (bits+7)/8 {
		return false
	}
	rest := bits % 8
	return rest == 0 || address[len(address)-1]&(0xFF>>rest) == 0
}
