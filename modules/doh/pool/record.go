package pool

import (
	"errors"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsclient"
)

// recorder records the outcomes of attempts: in the account's health and quota, in
// metrics and in the log.
type recorder struct {
	clock   clockwork.Clock
	logger  *zap.Logger
	penalty time.Duration // what a failure counts as in an account's score
}

// success records a response that settles the question.
func (r *recorder) success(a *Account, took time.Duration, now time.Time) {
	a.warn(a.name, r.logger)
	if a.recordSuccess(took, now) {
		r.logger.Info("upstream works again", zap.String("upstream", a.name))
	}
}

// failure records an attempt that has failed through the upstream's fault.
func (r *recorder) failure(a *Account, f *Failure) {
	a.warn(a.name, r.logger)
	now := r.clock.Now()
	var (
		status *dnsclient.StatusError
		begun  bool
	)
	switch {
	case f.kind == failQuota, f.kind == failTruncated:
		return // not a fault of the upstream
	case f.kind == failRefused:
		if begun = a.recordRefusal(now); begun {
			r.logger.Warn("upstream refuses all queries; has its account expired, or is it not linked to this address?",
				zap.String("upstream", a.name))
			return
		}
	case errors.As(f, &status) && status.RetryAfter > 0:
		begun = a.recordWait(f, status.RetryAfter, now)
	default:
		begun = a.recordFailure(f, now, r.penalty)
	}
	if begun {
		r.logger.Info("upstream in cooldown", zap.String("upstream", a.name), zap.Error(f))
	} else if c := r.logger.Check(zapcore.DebugLevel, "attempt failed"); c != nil {
		c.Write(zap.String("upstream", a.name), zap.Error(f))
	}
}
