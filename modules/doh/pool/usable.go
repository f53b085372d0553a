package pool

import (
	"fmt"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// usable reports whether a response can be served without a second opinion:
//
//	NOERROR, NXDOMAIN                 an answer or a denial
//	SERVFAIL with a DNSSEC error      fails at every validating resolver
//	any code with EDE 15, 16 or 17    blocked, censored or filtered (RFC 8914)
//
// After any other response another upstream may have the answer:
//
//	SERVFAIL                          the server failed
//	FORMERR, NOTIMP, NOTAUTH, …       the server cannot serve the query
//	REFUSED                           a filter, or an account that has expired
//	truncated                         records are missing
func usable(r *dnsmsg.Response) bool {
	if r.Truncated() {
		return false
	}
	switch r.ExtendedError() {
	case dnsmsg.EDEBlocked, dnsmsg.EDECensored, dnsmsg.EDEFiltered:
		return true
	}
	switch r.Rcode() {
	case dnsmsg.RcodeNoError, dnsmsg.RcodeNXDomain:
		return true
	case dnsmsg.RcodeServFail:
		return dnsmsg.DNSSECFailed(r.ExtendedError())
	}
	return false
}

// better reports whether an unusable response is more useful to a client than
// another one. Some records are better than none, and SERVFAIL makes a stub
// resolver ask its next server, which REFUSED does not at all of them.
func better(a, b *dnsmsg.Response) bool { return worth(a) > worth(b) }

// worth is the rank of an unusable response.
func worth(r *dnsmsg.Response) int {
	switch {
	case r.Truncated() && r.Rcode() == dnsmsg.RcodeNoError:
		return 3
	case r.Rcode() == dnsmsg.RcodeServFail:
		return 2
	case r.Rcode() == dnsmsg.RcodeRefused:
		return 1
	}
	return 0
}

// failureOf returns the failure that an unusable response is for its upstream, if
// another upstream gives a usable one.
func failureOf(r *dnsmsg.Response) *Failure {
	switch {
	case r.Truncated():
		return &Failure{failTruncated, errTruncated}
	case r.Rcode() == dnsmsg.RcodeServFail:
		return &Failure{failServfail, errServfail}
	case r.Rcode() == dnsmsg.RcodeRefused:
		return &Failure{failRefused, errRefused}
	}
	return &Failure{failCode, fmt.Errorf("response code %d", r.Rcode())}
}
