package pool

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the package's collectors. They are made once, since counters must
// not restart at a reload; Caddy's registry is new after each reload, and the
// collectors are registered in it again. Labels come from the configuration.
type metrics struct {
	upstreamQueries  *prometheus.CounterVec
	upstreamFailures *prometheus.CounterVec
	upstreamDuration *prometheus.HistogramVec
	quotaRemaining   *prometheus.GaugeVec
	cache            *prometheus.CounterVec

	// byResult are the counters of cache by label, so that a query neither hashes
	// a label nor takes the vector's lock. It never changes.
	byResult map[string]prometheus.Counter
}

var collectors = newMetrics()

func newMetrics() metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "caddy", Subsystem: "doh", Name: name, Help: help,
		}, labels)
	}
	m := metrics{
		upstreamQueries:  counter("upstream_queries_total", "DNS queries sent to an upstream.", "upstream"),
		upstreamFailures: counter("upstream_failures_total", "Attempts without a valid response, by kind of failure, such as timeout, connect, status, servfail or quota.", "upstream", "kind"),
		upstreamDuration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "caddy", Subsystem: "doh", Name: "upstream_duration_seconds",
			Help:    "Time from a query to the valid response of an upstream.",
			Buckets: []float64{.002, .005, .01, .02, .05, .1, .2, .4, .8, 1.6, 3.2},
		}, []string{"upstream"}),
		quotaRemaining: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "caddy", Subsystem: "doh", Name: "quota_remaining",
			Help: "Queries that the quota of an upstream still allows in this period.",
		}, []string{"upstream"}),
		cache:    counter("cache_total", "DNS queries for upstreams, by what the cache made of them: hit, miss, shared (the same query was under way) or stale.", "result"),
		byResult: make(map[string]prometheus.Counter),
	}
	for _, result := range results {
		m.byResult[result] = m.cache.WithLabelValues(result)
	}
	return m
}

// register registers the collectors for a configuration. Several handlers of one
// configuration may do so.
func (m metrics) register(registry *prometheus.Registry) error {
	for _, c := range []prometheus.Collector{m.upstreamQueries, m.upstreamFailures, m.upstreamDuration, m.quotaRemaining, m.cache} {
		var already prometheus.AlreadyRegisteredError
		if err := registry.Register(c); err != nil && !errors.As(err, &already) {
			return err
		}
	}
	return nil
}
