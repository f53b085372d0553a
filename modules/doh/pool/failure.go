package pool

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsclient"
	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// The kinds of failures, as labels of metrics and in the admin API.
const (
	failTimeout   = "timeout"      // no response before the query's time was up
	failSlow      = "slow"         // another upstream, asked later, was faster
	failConnect   = "connect"      // no connection, or an untrusted certificate
	failBroken    = "broken"       // the connection broke
	failStatus    = "status"       // an HTTP status other than 200
	failType      = "content_type" // not a DNS message
	failInvalid   = "malformed"    // a DNS message that does not parse
	failMismatch  = "mismatch"     // not a response to the question
	failQuota     = "quota"        // nothing was sent: the quota is exhausted
	failServfail  = "servfail"     // the server failed, and DNSSEC was not the reason
	failRefused   = "refused"      // the server refused the query, and not as a filter
	failCode      = "rcode"        // another response code that no other upstream gave
	failTruncated = "truncated"    // records are missing
	failWait      = "retry_after"  // nothing was sent: Retry-After is not over
)

// Failure is the error of an attempt without a valid response.
type Failure struct { //nolint:errname // named for what metrics and the log call it
	kind string // one of the constants above
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

// public returns a text for the admin API. It contains nothing that the upstream
// or the network has sent, except an HTTP status.
func (f *Failure) public() string {
	if f.kind == failStatus {
		return f.err.Error()
	}
	return f.kind
}

// asFailure returns the Failure in an error, or makes one of it.
func asFailure(err error) *Failure {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f
	}
	return &Failure{kindOf(err), err}
}

// kindOf returns the kind of an attempt's error. An error that is not known is a
// broken connection.
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

// repeatable reports whether the query may be sent to the same upstream once more:
// after a connection broke, most often because the server closed it while it was
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
