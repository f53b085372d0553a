package pool

import (
	"context"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsclient"
	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// attempt sends the query and returns the response if it is valid; else the
// error is a *Failure.
func (a *Account) attempt(ctx context.Context, q *dnsmsg.Outgoing) (*dnsmsg.Response, error) {
	msg, age, err := a.send(ctx, a.client, q)
	if err == nil && a.whole != nil && dnsmsg.Truncated(msg) {
		msg, age, err = a.send(ctx, a.whole, q)
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

// send sends the query, and once more if that makes sense.
func (a *Account) send(ctx context.Context, client dnsclient.Client, q *dnsmsg.Outgoing) ([]byte, uint32, error) {
	msg, age, err := a.sendOnce(ctx, client, q)
	if err == nil || ctx.Err() != nil || !repeatable(err) {
		return msg, age, err
	}
	client.Broken()
	return a.sendOnce(ctx, client, q)
}

func (a *Account) sendOnce(ctx context.Context, client dnsclient.Client, q *dnsmsg.Outgoing) ([]byte, uint32, error) {
	if !a.charge() {
		return nil, 0, errExhausted
	}
	if a.addr != "" {
		a.awake.Touch(a.addr, time.Now())
	}
	a.countSent()
	return client.Exchange(ctx, q)
}
