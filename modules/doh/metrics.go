package doh

import (
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the package's collectors. Caddy has a new registry after each
// reload, in which the same collectors are registered again.
type metrics struct {
	queries          *prometheus.CounterVec
	answers          *prometheus.CounterVec
	upstreamQueries  *prometheus.CounterVec
	upstreamFailures *prometheus.CounterVec
	upstreamDuration *prometheus.HistogramVec
	quotaLeft        *prometheus.GaugeVec
	cache            *prometheus.CounterVec
}

var collectors = newMetrics()

func newMetrics() metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "caddy", Subsystem: "doh", Name: name, Help: help,
		}, labels)
	}
	return metrics{
		queries:          counter("queries_total", "DNS queries received, by HTTP method.", "method"),
		answers:          counter("answers_total", "DNS answers given, by response code.", "rcode"),
		upstreamQueries:  counter("upstream_queries_total", "DNS queries sent to an upstream.", "upstream"),
		upstreamFailures: counter("upstream_failures_total", "Exchanges without a valid answer, by kind of failure.", "upstream", "kind"),
		upstreamDuration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "caddy", Subsystem: "doh", Name: "upstream_duration_seconds",
			Help:    "Time from a query to the valid answer of an upstream.",
			Buckets: []float64{.002, .005, .01, .02, .05, .1, .2, .4, .8, 1.6, 3.2},
		}, []string{"upstream"}),
		cache: counter("cache_total", "DNS queries for upstreams, by what the cache made of them.", "result"),
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
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost:
		m.queries.WithLabelValues(method).Inc()
	}
	m.answers.WithLabelValues(rcodeName(a.rcode)).Inc()
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
