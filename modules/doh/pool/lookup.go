package pool

import (
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// Lookup is a query and what came of it so far. It lives on over the attempts of
// a reverse_proxy.
type Lookup struct {
	// Query is what upstreams are sent. It must be set before the first attempt.
	Query *dnsmsg.Outgoing

	tried    []*Account
	until    time.Time        // when its time is up; zero before the first attempt
	opinion  *dnsmsg.Response // waits for a second one
	suspects []suspect

	slots [2]*Account // room for tried
}

// agree reports whether a second upstream gave the same unusable response. Then it
// is the name, and no fault of theirs.
func (l *Lookup) agree(a *Account, resp *dnsmsg.Response) bool {
	if l.opinion == nil || l.opinion.Truncated() != resp.Truncated() || l.opinion.Rcode() != resp.Rcode() {
		return false
	}
	// Whoever refuses everything knows nothing of the name.
	return resp.Rcode() != dnsmsg.RcodeRefused || !a.refusesAll()
}

// addOpinion records an unusable response.
func (l *Lookup) addOpinion(a *Account, resp *dnsmsg.Response) {
	if l.opinion == nil || better(resp, l.opinion) {
		l.opinion = resp
	}
	l.suspects = append(l.suspects, suspect{a, failureOf(resp)})
}

// suspect is an upstream that has failed the lookup if another one answers it.
type suspect struct {
	account *Account
	failure *Failure
}
