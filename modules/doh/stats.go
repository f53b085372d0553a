package doh

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// downAfter is how many failures in a row make an upstream count as down, in
// the log.
const downAfter = 3

// stats is what an upstream has done since it came into use.
type stats struct {
	queries  atomic.Int64
	failures atomic.Int64
	streak   atomic.Int64 // failures in a row
	latency  atomic.Int64 // decayed, in nanoseconds
	last     atomic.Pointer[failure]

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

// answered notes a valid answer and tells whether the upstream was down.
func (s *stats) answered(took time.Duration) (wasDown bool) {
	s.duration.Observe(took.Seconds())
	if old := s.latency.Load(); old == 0 {
		s.latency.Store(int64(took))
	} else {
		// Two answers at once may lose one of them, which does not matter.
		s.latency.Store(old + (int64(took)-old)/8)
	}
	return s.streak.Load() > 0 && s.streak.Swap(0) >= downAfter
}

// failed notes a failure and tells whether the upstream has just gone down.
func (s *stats) failed(f *failure) (down bool) {
	s.failures.Add(1)
	s.failuresTotal.WithLabelValues(f.kind).Inc()
	s.last.Store(f)
	return s.streak.Add(1) == downAfter
}
