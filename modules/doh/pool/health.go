package pool

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
)

const (
	// failuresInARow failures in a row put an upstream in cooldown for
	// defaultCooldown. Each trial that fails doubles it, up to longestCooldown.
	failuresInARow  = 3
	defaultCooldown = 30 * time.Second
	longestCooldown = 5 * time.Minute

	// trialTimeout ends a trial without an outcome. For example, its query was
	// answered with SERVFAIL by all upstreams, which counts for none of them.
	trialTimeout = 10 * time.Second

	// An upstream is considered to refuse everything after this many responses
	// in a row with REFUSED. One that has answered before may be a filter, and
	// needs more.
	refusalsOfNew    = 3
	refusalsOfProved = 10

	// provedFor is for how long after a usable response REFUSED is taken to be
	// about the name, as filters mean it, and not about the account.
	provedFor = time.Minute

	// longestWait bounds the server's Retry-After.
	longestWait = time.Hour
)

// health is the record of an upstream since it came into use. It outlives reloads
// with the account. All fields are safe for concurrent use; counters that belong
// together are not updated together, which at worst delays a cooldown.
//
//	in use ── 3 failures in a row, or it refuses everything ──▶ in cooldown ◀──┐
//	   ▲                                                           │ time over │ failed
//	   └───────────────── answered ─────────────────────────── trial ──────────┘
type health struct {
	queries  atomic.Int64
	failures atomic.Int64
	latency  atomic.Int64 // decayed mean, in nanoseconds; 0: not measured
	score    atomic.Int64 // the same with penalties for failures; 0: not measured
	last     atomic.Pointer[Failure]

	responses atomic.Int64 // of all kinds

	unanswered atomic.Int64 // attempts in a row without any response
	refused    atomic.Int64 // responses in a row with REFUSED
	refusals   atomic.Int64 // of these, those whose question another upstream answered

	// In Unix nanoseconds; 0: never.
	proved     atomic.Int64 // when it last gave a usable response
	waitUntil  atomic.Int64 // the end of the server's Retry-After
	plainUntil atomic.Int64 // until when it is sent queries without EDNS

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

// countSent counts a query that is sent.
func (h *health) countSent() {
	h.queries.Add(1)
	h.queriesTotal.Inc()
}

// inCooldown reports whether the upstream is in cooldown, or in a trial that
// another query makes.
func (h *health) inCooldown(now time.Time) bool {
	return !h.cooldowns.Until(cooldown.All, now).IsZero()
}

// onTrial reports whether a cooldown has begun and no trial has succeeded since.
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

// recordFailure records a failure, and reports whether it put the upstream in
// cooldown. In the score the failure counts as a response after longest.
func (h *health) recordFailure(f *Failure, now time.Time, longest time.Duration) bool {
	h.failures.Add(1)
	h.failuresTotal.WithLabelValues(f.kind).Inc()
	h.last.Store(f)
	decay(&h.score, longest, 3)
	return h.cooldowns.Fail(failuresInARow, cooldownFor(f), now)
}

// decay moves a mean by 1/share of the way to a new value. Of two concurrent calls
// one may be lost; the mean is an estimate, and a lock would cost every query.
func decay(mean *atomic.Int64, value time.Duration, share int64) {
	old := mean.Load()
	if old == 0 {
		mean.Store(int64(value))
		return
	}
	mean.Store(old + (int64(value)-old)/share)
}

// recordResponse records a response, usable or not.
func (h *health) recordResponse() {
	h.responses.Add(1)
	h.unanswered.Store(0)
}

// recordSilence records an attempt without any response. The name may be the cause.
func (h *health) recordSilence() { h.unanswered.Add(1) }

// silent reports whether the last attempt got no response.
func (h *health) silent() bool { return h.unanswered.Load() > 0 }

// recordRefused records a response with REFUSED, whatever its reason.
func (h *health) recordRefused() { h.refused.Add(1) }

// refusesName reports whether REFUSED is about the name, as filters mean it: the
// upstream has answered another question within provedFor, and has not refused
// so many in a row since that its account seems to have expired.
func (h *health) refusesName(now time.Time) bool {
	proved := h.proved.Load()
	return proved != 0 && now.UnixNano()-proved < int64(provedFor) && !h.refusesAll()
}

// refusesAll reports whether the upstream has never given a usable response, or
// refuses every question now.
func (h *health) refusesAll() bool {
	return h.proved.Load() == 0 || h.refused.Load() > refusalsOfProved
}

// recordRefusal records that the upstream has refused a question that another one
// answered, and reports whether that put it in cooldown. An account that refuses
// everything has expired, or is not linked to this server's address.
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

// recordWait records the server's Retry-After, and reports whether it put the
// upstream in cooldown.
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

// mustWait reports whether the server's Retry-After is not over.
func (h *health) mustWait(now time.Time) bool { return now.UnixNano() < h.waitUntil.Load() }

// cooldownFor returns the cooldown that a failure starts.
func cooldownFor(f *Failure) cooldown.Cooldown {
	return cooldown.Cooldown{
		Reason:       f.kind,
		Length:       defaultCooldown,
		MaxLength:    longestCooldown,
		Fixed:        true,
		TrialTimeout: trialTimeout,
	}
}
