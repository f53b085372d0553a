package pool

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
)

const (
	// So many failures in a row put an upstream in cooldown: for
	// defaultCooldown, then twice as long after each trial that fails, up to
	// longestCooldown.
	failuresInARow  = 3
	defaultCooldown = 30 * time.Second
	longestCooldown = 5 * time.Minute

	// trialTimeout is when a trial without an outcome is over, such as one
	// that was answered with SERVFAIL, as all the others were.
	trialTimeout = 10 * time.Second
)

// health is what an upstream has done since it came into use.
type health struct {
	queries  atomic.Int64
	failures atomic.Int64
	latency  atomic.Int64 // decayed, in nanoseconds
	score    atomic.Int64 // the same with penalties for failures; 0: unmeasured
	last     atomic.Pointer[Failure]

	cooldowns *cooldown.Breaker

	queriesTotal  prometheus.Counter
	failuresTotal *prometheus.CounterVec
	duration      prometheus.Observer
}

func newHealth(name string) health {
	return health{
		cooldowns:     cooldown.New(),
		queriesTotal:  collectors.upstreamQueries.WithLabelValues(name),
		failuresTotal: collectors.upstreamFailures.MustCurryWith(prometheus.Labels{"upstream": name}),
		duration:      collectors.upstreamDuration.WithLabelValues(name),
	}
}

// countSent counts a query that goes out.
func (h *health) countSent() {
	h.queries.Add(1)
	h.queriesTotal.Inc()
}

// inCooldown reports whether the upstream is in cooldown, or in a trial that
// somebody else makes.
func (h *health) inCooldown(now time.Time) bool {
	return !h.cooldowns.Until(cooldown.All, now).IsZero()
}

// acquire reports whether the upstream may be asked now. When its cooldown has
// just ended, the caller makes the trial.
func (h *health) acquire(now time.Time) bool { return h.cooldowns.Acquire(cooldown.All, now) }

// recordSuccess records a valid response and reports whether it ended a cooldown.
func (h *health) recordSuccess(took time.Duration, now time.Time) bool {
	h.duration.Observe(took.Seconds())
	decay(&h.latency, took, 8)
	decay(&h.score, took, 8)
	return h.cooldowns.Succeed(cooldown.All, now)
}

// recordFailure records a failure, which costs as much as the longest wait, and
// reports whether it put the upstream in cooldown.
func (h *health) recordFailure(f *Failure, now time.Time, longest time.Duration) bool {
	h.failures.Add(1)
	h.failuresTotal.WithLabelValues(f.kind).Inc()
	h.last.Store(f)
	decay(&h.score, longest, 3)
	return h.cooldowns.Fail(failuresInARow, cooldown.Cooldown{
		Reason:       f.kind,
		Length:       defaultCooldown,
		MaxLength:    longestCooldown,
		Fixed:        true,
		TrialTimeout: trialTimeout,
	}, now)
}

// decay moves a mean by a share of the way to a new value. Two at once may
// lose one of them, which does not matter.
func decay(mean *atomic.Int64, value time.Duration, share int64) {
	old := mean.Load()
	if old == 0 {
		mean.Store(int64(value))
		return
	}
	mean.Store(old + (int64(value)-old)/share)
}
