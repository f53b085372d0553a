package doh

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
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
	failQuota    = "quota"        // nothing was sent: the quota is spent
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
	resp, err := u.roundTrip(ctx, q)
	if err != nil {
		return nil, &failure{kindOf(err), err}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, &failure{failStatus, fmt.Errorf("status %d", resp.StatusCode)}
	}
	if !isMessage(resp.Header.Get("Content-Type")) {
		return nil, &failure{failType, errors.New("the answer is not a DNS message")}
	}
	msg, err := readMessage(resp.Body, resp.ContentLength, nil, true)
	if errors.Is(err, errLong) {
		return nil, &failure{failInvalid, err}
	}
	if err != nil {
		return nil, &failure{kindOf(err), err}
	}
	a, err := parseAnswer(msg, q, age(resp.Header))
	switch {
	case errors.Is(err, errWrongID) || errors.Is(err, errWrongQuestion):
		return nil, &failure{failMismatch, err}
	case err != nil:
		return nil, &failure{failInvalid, err}
	}
	return a, nil
}

// roundTrip tries once more when the connection breaks: most often the server
// has closed it while it was idle.
func (u *upstream) roundTrip(ctx context.Context, q *query) (*http.Response, error) {
	resp, err := u.send(ctx, q)
	if err != nil && ctx.Err() == nil && kindOf(err) == failBroken {
		u.conns.broken()
		return u.send(ctx, q)
	}
	return resp, err
}

func (u *upstream) send(ctx context.Context, q *query) (*http.Response, error) {
	if !u.take() {
		return nil, errSpent
	}
	awake.Touch(u.addr)
	u.sent()
	return u.conns.roundTrip(u.request(ctx, q))
}

// kindOf sorts the errors of a round trip.
func kindOf(err error) string {
	var (
		untrusted *tls.CertificateVerificationError
		op        *net.OpError
		timeout   net.Error
	)
	switch {
	case errors.Is(err, errSpent):
		return failQuota
	case errors.As(err, &untrusted), errors.As(err, &op) && op.Op == "dial":
		return failConnect
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return failTimeout
	}
	return failBroken
}

// age is how many seconds an answer has spent in HTTP caches.
func age(h http.Header) uint32 {
	values := h["Age"]
	if len(values) == 0 {
		return 0
	}
	n, err := strconv.ParseUint(values[0], 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}
