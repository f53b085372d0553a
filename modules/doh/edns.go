package doh

import (
	"slices"

	"github.com/miekg/dns"
)

// EDNS options (RFC 6891).
const (
	optSubnet    = 8  // RFC 7871
	optCookie    = 10 // RFC 7873
	optKeepalive = 11 // RFC 7828
	optPadding   = 12 // RFC 7830
	optEDE       = 15 // RFC 8914
)

// Extended DNS errors of our own (RFC 8914).
const (
	edeOther                = 0
	edeStale                = 3
	edeStaleNXDomain        = 19
	edeNotAuthoritative     = 20
	edeNoReachableAuthority = 22
	edeNetworkError         = 23
)

const (
	// flagDO asks for DNSSEC records; it is a part of the OPT record's TTL.
	flagDO = 1 << 15
	// udpSize is what we announce in OPT records of our own.
	udpSize = 1232
	// padQuery and padResponse are what messages are padded to a multiple of.
	// RFC 8467, section 4.1.
	padQuery    = 128
	padResponse = 468
)

// options calls yield for each option of an OPT record.
func options(msg []byte, opt record, yield func(code uint16, at, end int)) error {
	for at := opt.data; at < opt.end; {
		if at+4 > opt.end {
			return errMalformed
		}
		end := at + 4 + int(get16(msg, at+2))
		if end > opt.end {
			return errMalformed
		}
		yield(get16(msg, at), at, end)
		at = end
	}
	return nil
}

// dnssecFailed tells whether an extended error means that DNSSEC validation
// failed: then every validating resolver says the same.
func dnssecFailed(ede int) bool {
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
		ttl = flagDO
	}
	msg = append(msg, 0) // the root
	msg = append16(msg, typeOPT)
	msg = append16(msg, udpSize)
	msg = append32(msg, ttl)
	msg = append16(msg, 0)
	put16(msg, atAR, get16(msg, atAR)+1)
	return msg
}

// pad pads a response. One that is too long for it stays as it is.
func pad(msg []byte, opt record, do bool) []byte {
	if opt.end == 0 {
		if len(msg)+11 > maxMessage {
			return msg
		}
		opt = record{at: len(msg), head: len(msg) + 1}
		msg = appendOPT(msg, do)
	} else if opt.end < len(msg) {
		return msg
	}
	return appendPadding(msg, opt.head, padResponse)
}

// appendPadding pads a message to a multiple of block. It ends with an EDNS
// record whose type is at the offset head.
func appendPadding(msg []byte, head, block int) []byte {
	total := (len(msg) + 4 + block - 1) / block * block
	if total > maxMessage {
		return msg
	}
	zeros := total - len(msg) - 4
	msg = append16(msg, optPadding)
	msg = append16(msg, uint16(zeros))
	msg = slices.Grow(msg, zeros)[:total]
	clear(msg[total-zeros:])
	put16(msg, head+8, uint16(total-head-10))
	return msg
}

// dropOptions takes options out of an OPT record that ends the message.
func dropOptions(msg []byte, opt record, drop func(code uint16) bool) ([]byte, record) {
	to := opt.data
	_ = options(msg, opt, func(code uint16, at, end int) {
		if !drop(code) {
			to += copy(msg[to:], msg[at:end])
		}
	})
	opt.end = to
	put16(msg, opt.head+8, uint16(opt.end-opt.data))
	return msg[:to], opt
}

// moveOPT packs the message again with its OPT record at the end, where it can
// grow and shrink: names of records behind it may be pointed to. Servers that
// put it elsewhere are rare. It returns false if it cannot be done.
func (a *answer) moveOPT() bool {
	var m dns.Msg
	if m.Unpack(a.msg) != nil {
		return false
	}
	slices.SortStableFunc(m.Extra, func(a, b dns.RR) int { return isOPT(a) - isOPT(b) })
	m.Compress = true
	packed, err := m.Pack()
	if err != nil || len(packed) > maxMessage {
		return false
	}
	a.msg = packed
	return true
}

func isOPT(rr dns.RR) int {
	if rr.Header().Rrtype == dns.TypeOPT {
		return 1
	}
	return 0
}
