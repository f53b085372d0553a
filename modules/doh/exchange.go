package doh

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsconn"
)

// The kinds of failures, as metrics and admin answers name them.
const (
	failTimeout  = "timeout"      // no answer before the query's time was up
	failSlow     = "slow"         // another upstream, asked later, was faster
	failConnect  = "connect"      // no connection, or no trust
	failBroken   = "broken"       // the connection broke
	failStatus   = "status"       // an HTTP status other than 200
	failType     = "content_type" // not a DNS message
	failInvalid  = "malformed"    // a DNS message that does not parse
	failMismatch = "mismatch"     // not an answer to the question
	failQuota    = "quota"        // nothing was sent: the quota is exhausted
	failServfail = "servfail"     // the server failed, and not over DNSSEC
)

// failure is the error of an exchange without a valid answer.
type failure struct {
	kind string
	err  error
}

func (f *failure) Error() string { return f.kind + ": " + f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

// exchange sends the query and returns the answer if it is valid; else the
// error is a *failure.
func (u *upstream) exchange(ctx context.Context, q *query) (*answer, error) {
	msg, age, err := u.send(ctx, u.link, q)
	if err == nil && u.whole != nil && truncated(msg) {
		msg, age, err = u.send(ctx, u.whole, q)
	}
	if err != nil {
		return nil, asFailure(err)
	}
	a, err := parseAnswer(msg, q, age)
	switch {
	case errors.Is(err, errWrongID) || errors.Is(err, errWrongQuestion):
		return nil, &failure{failMismatch, err}
	case err != nil:
		return nil, &failure{failInvalid, err}
	}
	return a, nil
}

// send tries once more when the connection breaks, most often since the server
// has closed it while it was idle, and when a datagram is lost.
func (u *upstream) send(ctx context.Context, l link, q *query) ([]byte, uint32, error) {
	msg, age, err := u.sendOnce(ctx, l, q)
	if err == nil || ctx.Err() != nil {
		return msg, age, err
	}
	var final *failure
	if lost := errors.Is(err, dnsconn.ErrNoAnswer); errors.As(err, &final) || !lost && kindOf(err) != failBroken {
		return nil, 0, err
	}
	l.broken()
	return u.sendOnce(ctx, l, q)
}

func (u *upstream) sendOnce(ctx context.Context, l link, q *query) ([]byte, uint32, error) {
	if !u.take() {
		return nil, 0, errExhausted
	}
	if u.addr != "" {
		u.awake.Touch(u.addr, time.Now())
	}
	u.sent()
	return l.exchange(ctx, q)
}

func truncated(msg []byte) bool { return len(msg) >= headerLen && get16(msg, atFlags)&flagTC != 0 }

// asFailure gives an error its kind, unless it has one.
func asFailure(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	return &failure{kindOf(err), err}
}

// kindOf sorts the errors of a round trip.
func kindOf(err error) string {
	var (
		untrusted *tls.CertificateVerificationError
		op        *net.OpError
		timeout   net.Error
	)
	switch {
	case errors.As(err, &untrusted), errors.As(err, &op) && op.Op == "dial":
		return failConnect
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, dnsconn.ErrNoAnswer), errors.As(err, &timeout) && timeout.Timeout():
		return failTimeout
	}
	return failBroken
}
