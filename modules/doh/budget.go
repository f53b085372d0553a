package doh

import (
	"errors"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// errSpent is the failure of an upstream that may be asked no more.
var errSpent = &failure{failQuota, errors.New("the quota is spent")}

// budget is what is left of an upstream's quota. An upstream without a quota
// has one that is never spent.
type budget struct {
	// meter is replaced at each load of the configuration, since the ledger
	// belongs to its storage.
	meter atomic.Pointer[quota.Meter]

	// warned is the beginning of the period, in Unix seconds, about which the
	// log has said that most of the quota, and then all of it, is spent.
	warnedMost, warnedAll atomic.Int64
}

// take counts a query that is to be sent, and reports whether it may be.
func (b *budget) take() bool {
	m := b.meter.Load()
	return m == nil || m.Take(1)
}

// spent tells whether no query may be sent any more in this period.
func (b *budget) spent() bool {
	m := b.meter.Load()
	return m != nil && !m.May(1)
}

// pace is how many queries a second would just spend the quota by the end of
// the period, and whether there is a quota at all.
func (b *budget) pace(now time.Time) (float64, bool) {
	m := b.meter.Load()
	if m == nil {
		return 0, false
	}
	// The last second counts whole, so that the share stays finite.
	return float64(m.Left()) / max(1, m.Renews().Sub(now).Seconds()), true
}

// watch warns once a period when four fifths of the quota are spent, and once
// when all of it is.
func (b *budget) watch(name string, logger *zap.Logger) {
	m := b.meter.Load()
	if m == nil {
		return
	}
	collectors.quotaLeft.WithLabelValues(name).Set(float64(m.Left()))
	used, limit := m.Used(), m.Limit()
	if used < limit-limit/5 {
		return
	}
	from, until := m.Window()
	once := func(warned *atomic.Int64) bool { return warned.Swap(from.Unix()) != from.Unix() }
	fields := []zap.Field{
		zap.String("upstream", name), zap.Int64("used", used), zap.Int64("quota", limit), zap.Time("renews", until),
	}
	if used >= limit && once(&b.warnedAll) {
		b.warnedMost.Store(from.Unix())
		logger.Warn("the quota of an upstream is spent; it rests until the next period", fields...)
	} else if once(&b.warnedMost) {
		logger.Warn("four fifths of the quota of an upstream are spent", fields...)
	}
}
