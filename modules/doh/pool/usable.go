package pool

import "github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"

// usable reports whether a response can be given to a client without a second
// opinion. A name that fails DNSSEC fails everywhere.
func usable(r *dnsmsg.Response) bool {
	return r.Rcode() != dnsmsg.RcodeServFail || dnsmsg.DNSSECFailed(r.ExtendedError())
}
