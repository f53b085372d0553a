package pool

import (
	"errors"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// errExhausted is the failure of an attempt that was not made because the quota is
// exhausted.
var errExhausted = &Failure{failQuota, errors.New("the quota is exhausted")}

// quotaUse is the use of an account's quota. Without a quota it is never exhausted.
type quotaUse struct {
	// meter is nil without a quota. It is replaced at each load of the
	// configuration, since the ledger belongs to the configuration's storage.
	meter atomic.Pointer[quota.Meter]

	// warnedMost and warnedAll are the beginnings of the periods, in Unix
	// seconds, for which the log has a warning that four fifths or all of the
	// quota is used.
	warnedMost, warnedAll atomic.Int64
}

// charge charges a query to the quota, and reports whether it may be sent.
func (u *quotaUse) charge() bool {
	m := u.meter.Load()
	return m == nil || m.Take(1)
}

// exhausted reports whether no more queries may be sent in this period.
func (u *quotaUse) exhausted() bool {
	m := u.meter.Load()
	return m != nil && !m.May(1)
}

// pace returns the rate, in queries per second, that exhausts the quota exactly at
// the end of the period. It returns false if there is no quota.
func (u *quotaUse) pace(now time.Time) (float64, bool) {
	m := u.meter.Load()
	if m == nil {
		return 0, false
	}
	// At least a second, so that the pace stays finite at the period's end.
	return float64(m.Left()) / max(1, m.Renews().Sub(now).Seconds()), true
}

// warn sets the metric of what remains, and logs a warning once per period when
// four fifths of the quota are used and once when it is exhausted.
func (u *quotaUse) warn(name string, logger *zap.Logger) {
	m := u.meter.Load()
	if m == nil {
		return
	}
	collectors.quotaRemaining.WithLabelValues(name).Set(float64(m.Left()))
	used, limit := m.Used(), m.Limit()
	if used < limit-limit/5 {
		return
	}
	from, until := m.Window()
	once := func(warned *atomic.Int64) bool { return warned.Swap(from.Unix()) != from.Unix() }
	fields := []zap.Field{
		zap.String("upstream", name), zap.Int64("used", used), zap.Int64("quota", limit), zap.Time("renews", until),
	}
	if used >= limit && once(&u.warnedAll) {
		u.warnedMost.Store(from.Unix())
		logger.Warn("quota of upstream exhausted; not asking it before the next period", fields...)
	} else if once(&u.warnedMost) {
		logger.Warn("four fifths of the quota of an upstream are used", fields...)
	}
}
