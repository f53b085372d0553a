package doh

import "github.com/miekg/dns"

// EDNS options (RFC 6891).
const (
	optPadding = 12 // RFC 7830
	optEDE     = 15 // RFC 8914
)

// Extended DNS errors of our own (RFC 8914).
const (
	edeOther                = 0
	edeNotAuthoritative     = 20
	edeNoReachableAuthority = 22
	edeNetworkError         = 23
)

const (
	// flagDO asks for DNSSEC records; it is a part of the OPT record's TTL.
	flagDO = 1 << 15
	// udpSize is what we announce in OPT records of our own.
	udpSize = 1232
	// padBlock is what responses are padded to a multiple of. RFC 8467,
	// section 4.1.
	padBlock = 468
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

// pad pads a response to a multiple of padBlock. Padding that it has already
// is taken out first. A response that is too long for it stays as it is.
func pad(msg []byte, opt record, do bool) []byte {
	switch {
	case opt.end == 0:
		head := len(msg) + 1
		if head+10 > maxMessage {
			return msg
		}
		msg = appendOPT(msg, do)
		opt = record{at: head - 1, head: head, data: head + 10, end: head + 10}
	case opt.end < len(msg):
		if msg, opt = optLast(msg, opt); opt.end < len(msg) {
			return msg
		}
	}
	msg, opt = unpad(msg, opt)

	total := (len(msg) + 4 + padBlock - 1) / padBlock * padBlock
	if total > maxMessage {
		return msg
	}
	zeros := total - len(msg) - 4
	msg = append16(msg, optPadding)
	msg = append16(msg, uint16(zeros))
	msg = append(msg, make([]byte, zeros)...)
	put16(msg, opt.head+8, uint16(len(msg)-opt.data))
	return msg
}

// unpad takes the padding out of an OPT record that ends the message.
func unpad(msg []byte, opt record) ([]byte, record) {
	from, to := 0, 0
	_ = options(msg, opt, func(code uint16, at, end int) {
		if code == optPadding {
			from, to = at, end
		}
	})
	if from == 0 {
		return msg, opt
	}
	msg = append(msg[:from], msg[to:]...)
	opt.end = len(msg)
	put16(msg, opt.head+8, uint16(opt.end-opt.data))
	return msg, opt
}

// optLast packs the message again with its OPT record at the end, where it can
// grow: names of records behind it may be pointed to. Servers that put it
// elsewhere are rare. If it cannot be done the message is returned unchanged.
func optLast(msg []byte, opt record) ([]byte, record) {
	var m dns.Msg
	if m.Unpack(msg) != nil {
		return msg, opt
	}
	var rest, opts []dns.RR
	for _, rr := range m.Extra {
		if rr.Header().Rrtype == dns.TypeOPT {
			opts = append(opts, rr)
		} else {
			rest = append(rest, rr)
		}
	}
	m.Extra, m.Compress = append(rest, opts...), true
	packed, err := m.Pack()
	if err != nil || len(packed) > maxMessage {
		return msg, opt
	}
	end, err := records(packed, questionEnd(packed), func(_ int, r record) error {
		if r.typ(packed) == typeOPT {
			opt = r
		}
		return nil
	})
	if err != nil || end != len(packed) {
		return msg, opt
	}
	return packed, opt
}
