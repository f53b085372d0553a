package pool

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsclient"
	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// The kinds of failures, as metrics and admin answers name them.
const (
	failTimeout   = "timeout"      // no response before the query's time was up
	failSlow      = "slow"         // another upstream, asked later, was faster
	failConnect   = "connect"      // no connection, or no trust
	failBroken    = "broken"       // the connection broke
	failStatus    = "status"       // an HTTP status other than 200
	failType      = "content_type" // not a DNS message
	failInvalid   = "malformed"    // a DNS message that does not parse
	failMismatch  = "mismatch"     // not a response to the question
	failQuota     = "quota"        // nothing was sent: the quota is exhausted
	failServfail  = "servfail"     // the server failed, and not over DNSSEC
	failRefused   = "refused"      // the server refused the query, and no filter did
	failCode      = "rcode"        // another response code that no other upstream gave
	failTruncated = "truncated"    // records are missing
	failWait      = "retry_after"  // nothing was sent: the server has said until when to wait
)

// Failure is the error of an attempt without a valid response.
type Failure struct {
	kind string
	err  error
}

func (f *Failure) Error() string { return f.kind + ": " + f.err.Error() }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.err }

var (
	errNoUpstreams = errors.New("there is no upstream left to ask")
	errTimeIsUp    = error(&Failure{failTimeout, errors.New("the time for the query is up")})
	errMustWait    = error(&Failure{failWait, errors.New("the upstreams have asked for a pause")})
	errServfail    = errors.New("the server answered SERVFAIL")
	errRefused     = errors.New("the server answered REFUSED")
	errTruncated   = errors.New("the response is truncated")
	errNoResponse  = errors.New("no response came")
)

// public names a failure without anything that the upstream or the network
// said, but for the status.
func (f *Failure) public() string {
	if f.kind == failStatus {
		return f.err.Error()
	}
	return f.kind
}

// asFailure gives an error its kind, unless it has one.
func asFailure(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	return &Failure{kindOf(err), err}
}

// kindOf sorts the errors of an attempt.
func kindOf(err error) string {
	var (
		status    *dnsclient.StatusError
		untrusted *tls.CertificateVerificationError
		op        *net.OpError
		timeout   net.Error
	)
	switch {
	case errors.As(err, &status):
		return failStatus
	case errors.Is(err, dnsclient.ErrMediaType):
		return failType
	case errors.Is(err, dnsmsg.ErrWrongID), errors.Is(err, dnsmsg.ErrWrongQuestion):
		return failMismatch
	case errors.Is(err, dnsmsg.ErrMalformed), errors.Is(err, dnsmsg.ErrNoResponse), errors.Is(err, dnsclient.ErrTooLong):
		return failInvalid
	case errors.As(err, &untrusted), errors.As(err, &op) && op.Op == "dial":
		return failConnect
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, dnsclient.ErrNoAnswer), errors.As(err, &timeout) && timeout.Timeout():
		return failTimeout
	}
	return failBroken
}

// repeatable reports whether the same upstream may be sent the query once more:
// a connection broke, most often since the server has closed it while it was
// idle, or a datagram was lost.
func repeatable(err error) bool {
	var (
		final *Failure
		last  *dnsclient.FinalError
	)
	if errors.As(err, &final) || errors.As(err, &last) {
		return false
	}
	return errors.Is(err, dnsclient.ErrNoAnswer) || kindOf(err) == failBroken
}
