package pool

import (
	"context"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsclient"
	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// plainFor is how long an upstream that knows no EDNS is asked without it.
const plainFor = time.Hour

// attempt is one upstream that is asked, or asked once more over another
// connection.
type attempt struct {
	account   *Account
	began     time.Time
	responses int64 // those of the account before
	over      bool
	network   dnsclient.Attempt
}

// run sends the query and returns the response if it is valid; else the error is
// a *Failure.
func (t *attempt) run(ctx context.Context, q *dnsmsg.Outgoing) (*dnsmsg.Response, error) {
	a := t.account
	plain := t.began.UnixNano() < a.plainUntil.Load()
	if plain {
		q = q.Plain()
	}
	msg, age, err := t.exchange(ctx, q)
	if rcode, ok := dnsmsg.Rcode(msg); err == nil && ok && rcode == dnsmsg.RcodeFormErr && !plain {
		// RFC 6891, section 6.2.2
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

// exchange returns what the upstream says, the whole of it if there is a way.
func (t *attempt) exchange(ctx context.Context, q *dnsmsg.Outgoing) ([]byte, uint32, error) {
	msg, age, err := t.send(ctx, t.account.client, q)
	if err == nil && t.account.whole != nil && dnsmsg.Truncated(msg) {
		return t.send(ctx, t.account.whole, q)
	}
	return msg, age, err
}

// send sends the query, and once more if that makes sense.
func (t *attempt) send(ctx context.Context, client dnsclient.Client, q *dnsmsg.Outgoing) ([]byte, uint32, error) {
	msg, age, err := t.sendOnce(ctx, client, q)
	if err == nil || ctx.Err() != nil || !repeatable(err) {
		return msg, age, err
	}
	client.Broken()
	return t.sendOnce(ctx, client, q)
}

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
