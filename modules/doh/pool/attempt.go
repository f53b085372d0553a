package pool

import (
	"context"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsclient"
	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// plainFor is how long an upstream without support for EDNS is sent queries
// without it.
const plainFor = time.Hour

// attempt is one query to one account. An account that is silent may get a second
// attempt over another connection.
type attempt struct {
	account *Account
	began   time.Time

	// responses is the account's count of responses when the attempt began. A
	// higher one later means that the upstream answers other queries.
	responses int64

	over    bool // guarded by exchange.mu
	network dnsclient.Attempt
}

// run sends the query and returns the response if it is valid. Otherwise the error
// is a *Failure.
func (t *attempt) run(ctx context.Context, q *dnsmsg.Outgoing) (*dnsmsg.Response, error) {
	a := t.account
	plain := t.began.UnixNano() < a.plainUntil.Load()
	if plain {
		q = q.Plain()
	}
	msg, age, err := t.exchange(ctx, q)
	if rcode, ok := dnsmsg.Rcode(msg); err == nil && ok && rcode == dnsmsg.RcodeFormErr && !plain {
		// A server without EDNS answers FORMERR (RFC 6891, section 7). It is
		// remembered as one (section 6.2.2) only if it answers the same query
		// without EDNS: the query itself may be malformed for it.
		q = q.Plain()
		msg, age, err = t.exchange(ctx, q)
		if rcode, ok := dnsmsg.Rcode(msg); err == nil && ok && rcode != dnsmsg.RcodeFormErr {
			a.plainUntil.Store(t.began.Add(plainFor).UnixNano())
		}
	}
	if err != nil {
		return nil, asFailure(err)
	}
	resp, err := dnsmsg.ParseResponse(msg, q.Question, age)
	if err != nil {
		return nil, asFailure(err)
	}
	return resp, nil
}

// exchange returns the upstream's message, and its Age over HTTP, in seconds. A
// truncated message is asked for again over TCP where the account has that.
func (t *attempt) exchange(ctx context.Context, q *dnsmsg.Outgoing) ([]byte, uint32, error) {
	msg, age, err := t.send(ctx, t.account.client, q)
	if err == nil && t.account.whole != nil && dnsmsg.Truncated(msg) {
		return t.send(ctx, t.account.whole, q)
	}
	return msg, age, err
}

// send sends the query, and a second time after an error that a new connection may
// avoid.
func (t *attempt) send(ctx context.Context, client dnsclient.Client, q *dnsmsg.Outgoing) ([]byte, uint32, error) {
	msg, age, err := t.sendOnce(ctx, client, q)
	if err == nil || ctx.Err() != nil || !repeatable(err) {
		return msg, age, err
	}
	client.Broken()
	return t.sendOnce(ctx, client, q)
}

// sendOnce charges the quota and sends the query. Every query that is sent counts,
// since the provider counts it too.
func (t *attempt) sendOnce(ctx context.Context, client dnsclient.Client, q *dnsmsg.Outgoing) ([]byte, uint32, error) {
	a := t.account
	if !a.charge() {
		return nil, 0, errExhausted
	}
	if a.addr != "" {
		a.awake.Touch(a.addr, t.began)
	}
	a.countSent()
	return client.Exchange(ctx, q, &t.network)
}
