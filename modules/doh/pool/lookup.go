package pool

import (
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// Lookup is a query and its outcome so far. It is kept over the tries of a
// reverse_proxy. During a call of [Pool.Ask] it is guarded by the exchange's lock;
// calls for one Lookup must not overlap.
type Lookup struct {
	// Query is sent to upstreams. It must be set before the first attempt and not
	// change after that.
	Query *dnsmsg.Outgoing

	tried    []*Account
	until    time.Time        // the end of the timeout; zero before the first attempt
	opinion  *dnsmsg.Response // the best unusable response; nil if there is none
	suspects []suspect

	slots [2]*Account // memory for tried
}

// agree reports whether another upstream has given the same unusable response. Then
// the name is the cause, and neither upstream has failed.
func (l *Lookup) agree(a *Account, resp *dnsmsg.Response) bool {
	if l.opinion == nil || l.opinion.Truncated() != resp.Truncated() || l.opinion.Rcode() != resp.Rcode() {
		return false
	}
	// An upstream that refuses everything has no opinion on the name.
	return resp.Rcode() != dnsmsg.RcodeRefused || !a.refusesAll()
}

// addOpinion records an unusable response.
func (l *Lookup) addOpinion(a *Account, resp *dnsmsg.Response) {
	if l.opinion == nil || better(resp, l.opinion) {
		l.opinion = resp
	}
	l.suspects = append(l.suspects, suspect{a, failureOf(resp)})
}

// suspect is an account with a failure that is recorded only if another one gives
// a usable response.
type suspect struct {
	account *Account
	failure *Failure
}
