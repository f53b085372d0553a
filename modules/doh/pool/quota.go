package pool

import (
	"errors"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// errExhausted is the failure of an upstream whose quota is exhausted.
var errExhausted = &Failure{failQuota, errors.New("the quota is exhausted")}

// quotaUse is what is used of an upstream's quota. Without a quota it is never
// exhausted.
type quotaUse struct {
	// meter is replaced at each load of the configuration, since the ledger
	// belongs to its storage.
	meter atomic.Pointer[quota.Meter]

	// warned is the beginning of the period, in Unix seconds, about which the
	// log has said that most of the quota, and then all of it, is used.
	warnedMost, warnedAll atomic.Int64
}

// charge counts a query that is to be sent, and reports whether it may be.
func (u *quotaUse) charge() bool {
	m := u.meter.Load()
	return m == nil || m.Take(1)
}

// exhausted reports whether no query may be sent any more in this period.
func (u *quotaUse) exhausted() bool {
	m := u.meter.Load()
	return m != nil && !m.May(1)
}

// pace is how many queries a second would just exhaust the quota by the end of
// the period, and whether there is a quota at all.
func (u *quotaUse) pace(now time.Time) (float64, bool) {
	m := u.meter.Load()
	if m == nil {
		return 0, false
	}
	// The last second counts whole, so that the share stays finite.
	return float64(m.Left()) / max(1, m.Renews().Sub(now).Seconds()), true
}

// warn records what is left and warns once a period when four fifths of the quota are used, and once
// when all of it is.
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
		logger.Warn("quota of upstream exhausted; it is not asked before the next period", fields...)
	} else if once(&u.warnedMost) {
		logger.Warn("four fifths of the quota of an upstream are used", fields...)
	}
}
