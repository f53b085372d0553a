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
	// FlagDO asks for DNSSEC records; it is a part of the OPT record's TTL.
	FlagDO = 1 << 15
	// UDPSize is what we announce in OPT records of our own.
	UDPSize = 1232
	// padQuery and PadResponse are what messages are padded to a multiple of.
	// RFC 8467, section 4.1.
	padQuery    = 128
	PadResponse = 468
	// optLen is the length of an empty OPT record, and optionLen that of an
	// option's head.
	optLen    = 11
	optionLen = 4
)

// options calls yield for each option of an OPT record.
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

// DNSSECFailed reports whether an extended error means that DNSSEC validation
// failed: then every validating resolver says the same.
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

// appendOPT appends an empty OPT record and counts it.
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

// appendPadding pads a message to a multiple of block. It ends with an EDNS
// record whose type is at the offset head.
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

// roundUp returns the next multiple of block.
func roundUp(n, block int) int { return (n + block - 1) / block * block }

// appendEDE appends an extended error as an EDNS option.
func appendEDE(opts []byte, code uint16, text string) []byte {
	opts = append16(opts, OptionEDE)
	opts = append16(opts, uint16(2+len(text)))
	opts = append16(opts, code)
	return append(opts, text...)
}

// SubnetOption returns the data of the client subnet option for a prefix, nil
// for the zero prefix.
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

// soundSubnet checks the data of a client subnet option in a query: as many
// bytes of the address as the prefix has, and no scope (RFC 7871, section 6).
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
