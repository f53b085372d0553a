package doh

import (
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the package's collectors. Caddy has a new registry after each
// reload, in which the same collectors are registered again.
type metrics struct {
	queries          counters
	answers          counters
	upstreamQueries  *prometheus.CounterVec
	upstreamFailures *prometheus.CounterVec
	upstreamDuration *prometheus.HistogramVec
	quotaLeft        *prometheus.GaugeVec
	cache            counters
}

// counters are a counter for each value of a label, all known beforehand:
// looking one up costs a query nothing.
type counters struct {
	*prometheus.CounterVec
	byValue map[string]prometheus.Counter
}

// inc counts one, if the value is known.
func (c counters) inc(value string) {
	if counter := c.byValue[value]; counter != nil {
		counter.Inc()
	}
}

var collectors = newMetrics()

func newMetrics() metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "caddy", Subsystem: "doh", Name: name, Help: help,
		}, labels)
	}
	fixed := func(name, help, label string, values ...string) counters {
		c := counters{counter(name, help, label), make(map[string]prometheus.Counter)}
		for _, value := range values {
			c.byValue[value] = c.WithLabelValues(value)
		}
		return c
	}
	return metrics{
		queries: fixed("queries_total", "DNS queries received, by HTTP method.", "method",
			http.MethodGet, http.MethodHead, http.MethodPost),
		answers: fixed("answers_total", "DNS answers given, by response code.", "rcode",
			"NOERROR", "SERVFAIL", "NXDOMAIN", "REFUSED", "other"),
		upstreamQueries:  counter("upstream_queries_total", "DNS queries sent to an upstream.", "upstream"),
		upstreamFailures: counter("upstream_failures_total", "Exchanges without a valid answer, by kind of failure.", "upstream", "kind"),
		upstreamDuration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "caddy", Subsystem: "doh", Name: "upstream_duration_seconds",
			Help:    "Time from a query to the valid answer of an upstream.",
			Buckets: []float64{.002, .005, .01, .02, .05, .1, .2, .4, .8, 1.6, 3.2},
		}, []string{"upstream"}),
		cache: fixed("cache_total", "DNS queries for upstreams, by what the cache made of them.", "result",
			cacheHit, cacheMiss, cacheShared, cacheStale),
		quotaLeft: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "caddy", Subsystem: "doh", Name: "quota_left",
			Help: "Queries that the quota of an upstream still allows in this period.",
		}, []string{"upstream"}),
	}
}

// register adds the collectors to the registry of a configuration.
func (m metrics) register(registry *prometheus.Registry) error {
	for _, c := range []prometheus.Collector{
		m.queries, m.answers, m.upstreamQueries, m.upstreamFailures, m.upstreamDuration, m.quotaLeft, m.cache,
	} {
		var already prometheus.AlreadyRegisteredError
		if err := registry.Register(c); err != nil && !errors.As(err, &already) {
			return err
		}
	}
	return nil
}

// count counts a query by its method, and its answer by its code.
func (m metrics) count(method string, a *answer) {
	m.queries.inc(method)
	m.answers.inc(rcodeName(a.rcode))
}

func rcodeName(rcode int) string {
	switch rcode {
	case rcodeNoError:
		return "NOERROR"
	case rcodeServFail:
		return "SERVFAIL"
	case rcodeNXDomain:
		return "NXDOMAIN"
	case rcodeRefused:
		return "REFUSED"
	}
	return "other"
}
