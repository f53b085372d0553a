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
}

// suspect is an upstream that has failed the lookup if another one answers it.
type suspect struct {
	account *Account
	failure *Failure
}
