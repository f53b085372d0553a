package pool

import (
	"fmt"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// usable reports whether a response can be given to a client without a second
// opinion: an answer, a denial, a name that fails DNSSEC, which fails everywhere,
// or what a filter blocks, whatever code it says that with. After all else
// another upstream may know better: after SERVFAIL; after FORMERR, NOTIMP, NOTAUTH
// and codes nobody expects, which say that a server cannot serve the query; after
// REFUSED, which is said by filters, but also by providers whose account has
// expired; and when records are missing.
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

// better reports whether an unusable response is of more use to a client than
// another: some records are better than none, and SERVFAIL makes resolvers ask
// elsewhere.
func better(a, b *dnsmsg.Response) bool { return worth(a) > worth(b) }

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

// failureOf is what an unusable response means for the upstream if another one
// gives a usable one.
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
