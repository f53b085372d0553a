package doh

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// After downAfter failures in a row an upstream rests: for firstRest, then
// twice as long after each trial that fails, up to longestRest. A trial that
// is never heard of is over after trialTime.
const (
	downAfter   = 3
	firstRest   = 30 * time.Second
	longestRest = 5 * time.Minute
	trialTime   = 10 * time.Second
)

// stats is what an upstream has done since it came into use.
type stats struct {
	queries  atomic.Int64
	failures atomic.Int64
	streak   atomic.Int64 // failures in a row
	latency  atomic.Int64 // decayed, in nanoseconds
	score    atomic.Int64 // the same with penalties for failures; 0: unmeasured
	last     atomic.Pointer[failure]

	rests atomic.Int64 // one after the other
	rest  atomic.Int64 // when it ends, in Unix nanoseconds; 0: no rest

	queriesTotal  prometheus.Counter
	failuresTotal *prometheus.CounterVec
	duration      prometheus.Observer
}

func newStats(name string) stats {
	return stats{
		queriesTotal:  collectors.upstreamQueries.WithLabelValues(name),
		failuresTotal: collectors.upstreamFailures.MustCurryWith(prometheus.Labels{"upstream": name}),
		duration:      collectors.upstreamDuration.WithLabelValues(name),
	}
}

// sent counts a query that goes out.
func (s *stats) sent() {
	s.queries.Add(1)
	s.queriesTotal.Inc()
}

// rested tells whether the upstream may be asked: it does not rest, or its
// trial is due.
func (s *stats) rested(now time.Time) bool { return now.UnixNano() >= s.rest.Load() }

// try takes the trial that is due, if one is. It returns false if somebody
// else was faster.
func (s *stats) try(now time.Time) bool {
	rest := s.rest.Load()
	return rest == 0 || now.UnixNano() >= rest && s.rest.CompareAndSwap(rest, now.Add(trialTime).UnixNano())
}

// answered notes a valid answer and tells whether the upstream was down.
func (s *stats) answered(took time.Duration) (wasDown bool) {
	s.duration.Observe(took.Seconds())
	decay(&s.latency, took, 8)
	decay(&s.score, took, 8)
	if s.streak.Load() == 0 || s.streak.Swap(0) < downAfter {
		return false
	}
	s.rests.Store(0)
	s.rest.Store(0)
	return true
}

// failed notes a failure, which costs as much as the longest wait, and tells
// whether the upstream has just gone down.
func (s *stats) failed(f *failure, now time.Time, longest time.Duration) (down bool) {
	s.failures.Add(1)
	s.failuresTotal.WithLabelValues(f.kind).Inc()
	s.last.Store(f)
	decay(&s.score, longest, 3)
	streak := s.streak.Add(1)
	if streak >= downAfter && s.rested(now.Add(trialTime)) {
		// Else it rests already, and was asked since there was no other.
		length := min(firstRest<<min(s.rests.Add(1)-1, 10), longestRest)
		s.rest.Store(now.Add(length).UnixNano())
	}
	return streak == downAfter
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
