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

	// An upstream refuses everything when so many responses in a row were
	// REFUSED; one that has answered before may be a filter, and needs more.
	refusalsOfNew    = 3
	refusalsOfProved = 10

	// provedFor is for how long after a usable response REFUSED is taken to be
	// meant for the name: so filters say it.
	provedFor = time.Minute

	// longestWait bounds a pause that a server asks for, against slips.
	longestWait = time.Hour
)

// health is what an upstream has done since it came into use.
type health struct {
	queries  atomic.Int64
	failures atomic.Int64
	latency  atomic.Int64 // decayed, in nanoseconds
	score    atomic.Int64 // the same with penalties for failures; 0: unmeasured
	last     atomic.Pointer[Failure]

	responses atomic.Int64 // of all kinds

	// unanswered are the attempts in a row that ended without any response,
	// refused the responses in a row that were REFUSED, and refusals those of
	// them whose question another upstream answered.
	unanswered, refused, refusals atomic.Int64

	// In Unix nanoseconds; 0: never.
	proved     atomic.Int64 // when it last gave a usable response
	waitUntil  atomic.Int64 // the server has asked for a pause
	plainUntil atomic.Int64 // it is asked without EDNS

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

// onTrial reports whether the upstream has not answered since its cooldown began.
func (h *health) onTrial() bool { return !h.cooldowns.Until(cooldown.All, time.Time{}).IsZero() }

// acquire reports whether the upstream may be asked now. When its cooldown has
// just ended, the caller makes the trial.
func (h *health) acquire(now time.Time) bool { return h.cooldowns.Acquire(cooldown.All, now) }

// recordSuccess records a valid response and reports whether it ended a cooldown.
func (h *health) recordSuccess(took time.Duration, now time.Time) bool {
	h.duration.Observe(took.Seconds())
	decay(&h.latency, took, 8)
	decay(&h.score, took, 8)
	h.recordResponse()
	h.refused.Store(0)
	h.refusals.Store(0)
	h.proved.Store(now.UnixNano())
	return h.cooldowns.Succeed(cooldown.All, now)
}

// recordFailure records a failure, which costs as much as the longest wait, and
// reports whether it put the upstream in cooldown.
func (h *health) recordFailure(f *Failure, now time.Time, longest time.Duration) bool {
	h.failures.Add(1)
	h.failuresTotal.WithLabelValues(f.kind).Inc()
	h.last.Store(f)
	decay(&h.score, longest, 3)
	return h.cooldowns.Fail(failuresInARow, cooldownFor(f), now)
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

// recordResponse records that the server has responded, usably or not.
func (h *health) recordResponse() {
	h.responses.Add(1)
	h.unanswered.Store(0)
}

// recordSilence records an attempt without any response, which can be the fault
// of the name.
func (h *health) recordSilence() { h.unanswered.Add(1) }

// silent reports whether the last attempt brought no response.
func (h *health) silent() bool { return h.unanswered.Load() > 0 }

// recordRefused records a response that is REFUSED, whatever it means.
func (h *health) recordRefused() { h.refused.Add(1) }

// refusesName reports whether REFUSED is meant for the name, as filters say it,
// and not for all: the upstream has just answered other questions. One that has
// refused many in a row since seems to have expired.
func (h *health) refusesName(now time.Time) bool {
	proved := h.proved.Load()
	return proved != 0 && now.UnixNano()-proved < int64(provedFor) && !h.refusesAll()
}

// refusesAll reports whether each recent response of the server is REFUSED.
func (h *health) refusesAll() bool {
	return h.proved.Load() == 0 || h.refused.Load() > refusalsOfProved
}

// recordRefusal records that the server has refused what another one answered,
// and reports whether that put it in cooldown: an account that refuses everything
// has expired, or is not linked to this address.
func (h *health) recordRefusal(now time.Time) bool {
	h.failures.Add(1)
	h.failuresTotal.WithLabelValues(failRefused).Inc()
	f := &Failure{failRefused, errRefused}
	h.last.Store(f)
	n := h.refusals.Add(1)
	if n < refusalsOfNew || !h.refusesAll() {
		return false
	}
	return h.cooldowns.Start(cooldown.All, cooldownFor(f), now)
}

// recordWait records that the server has asked for a pause, and reports whether it
// was not in cooldown before.
func (h *health) recordWait(f *Failure, wait time.Duration, now time.Time) bool {
	until := now.Add(min(wait, longestWait))
	h.failures.Add(1)
	h.failuresTotal.WithLabelValues(f.kind).Inc()
	h.last.Store(f)
	h.waitUntil.Store(until.UnixNano())
	c := cooldownFor(f)
	c.Until = until
	return h.cooldowns.Start(cooldown.All, c, now)
}

// mustWait reports whether the server has asked for a pause that is not over.
func (h *health) mustWait(now time.Time) bool { return now.UnixNano() < h.waitUntil.Load() }

func cooldownFor(f *Failure) cooldown.Cooldown {
	return cooldown.Cooldown{
		Reason:       f.kind,
		Length:       defaultCooldown,
		MaxLength:    longestCooldown,
		Fixed:        true,
		TrialTimeout: trialTimeout,
	}
}
