package pool

import (
	"errors"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsclient"
)

// recordSuccess records a response that settles the question.
func (p *Pool) recordSuccess(a *Account, took time.Duration, now time.Time) {
	a.warn(a.name, p.logger)
	if a.recordSuccess(took, now) {
		p.logger.Info("upstream works again", zap.String("upstream", a.name))
	}
}

// recordFailure records an attempt that has failed by the upstream's fault.
func (p *Pool) recordFailure(a *Account, f *Failure) {
	a.warn(a.name, p.logger)
	now := p.clock.Now()
	var (
		status *dnsclient.StatusError
		begun  bool
	)
	switch {
	case f.kind == failQuota, f.kind == failTruncated:
		return // that is no fault
	case f.kind == failRefused:
		if begun = a.recordRefusal(now); begun {
			p.logger.Warn("upstream refuses all queries; has its account expired, or is it not linked to this address?",
				zap.String("upstream", a.name))
			return
		}
	case errors.As(f, &status) && status.RetryAfter > 0:
		begun = a.recordWait(f, status.RetryAfter, now)
	default:
		begun = a.recordFailure(f, now, p.timeout)
	}
	if begun {
		p.logger.Info("upstream in cooldown", zap.String("upstream", a.name), zap.Error(f))
	} else if c := p.logger.Check(zapcore.DebugLevel, "attempt failed"); c != nil {
		c.Write(zap.String("upstream", a.name), zap.Error(f))
	}
}
