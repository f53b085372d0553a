package keepalive

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The values of the label `result`.
const (
	resultHealthy   = "healthy"
	resultUnhealthy = "unhealthy" // a response, but not the right one
	resultFailed    = "failed"    // no response
	resultSkipped   = "skipped"
)

// metrics are the package's collectors. Caddy has a new registry after each
// reload, in which the same collectors are registered again.
type metrics struct {
	pings      *prometheus.CounterVec
	coldStarts *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	healthy    *prometheus.GaugeVec
	met        *prometheus.CounterVec
	used       *prometheus.GaugeVec
	quota      *prometheus.GaugeVec
}

var collectors = newMetrics()

func newMetrics() metrics {
	const namespace, subsystem = "caddy", "keepalive"
	return metrics{
		pings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "pings_total",
			Help: "Pings by their result: healthy, unhealthy, failed (no response) or skipped.",
		}, []string{"target", "result"}),
		coldStarts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "cold_starts_total",
			Help: "Pings that found the target asleep.",
		}, []string{"target"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "ping_duration_seconds",
			Help:    "Time from a ping to the beginning of its response.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 90},
		}, []string{"target"}),
		healthy: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "healthy",
			Help: "Whether the last ping of the target got the expected response.",
		}, []string{"target"}),
		met: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "cold_starts_met_total",
			Help: "Requests of users that found the target asleep, of targets with a quota of hours.",
		}, []string{"target"}),
		used: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "awake_seconds",
			Help: "Awake time of the target's account in this period, estimated.",
		}, []string{"target"}),
		quota: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "quota_seconds",
			Help: "Awake time that the target's account allows in a period.",
		}, []string{"target"}),
	}
}

// all returns the collectors.
func (m metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.pings, m.coldStarts, m.duration, m.healthy, m.met, m.used, m.quota}
}

// register adds the collectors to the registry of a configuration.
func (m metrics) register(registry *prometheus.Registry) error {
	for _, c := range m.all() {
		var already prometheus.AlreadyRegisteredError
		if err := registry.Register(c); err != nil && !errors.As(err, &already) {
			return err
		}
	}
	return nil
}

// observe counts a ping.
func (m metrics) observe(target string, r result) {
	kind, healthy := resultHealthy, 1.
	if r.err != nil {
		kind, healthy = resultUnhealthy, 0
	}
	if r.answered {
		m.duration.WithLabelValues(target).Observe(r.latency.Seconds())
	} else {
		kind = resultFailed
	}
	m.pings.WithLabelValues(target, kind).Inc()
	m.healthy.WithLabelValues(target).Set(healthy)
	if r.cold {
		m.coldStarts.WithLabelValues(target).Inc()
	}
}

// hours shows how much of its account's hours is used.
func (m metrics) hours(target string, used, limit time.Duration) {
	m.used.WithLabelValues(target).Set(used.Seconds())
	m.quota.WithLabelValues(target).Set(limit.Seconds())
}

// forgetMetrics drops the series of a target that is gone, unless another
// target has its name.
func forgetMetrics(target string) {
	named := false
	states.Range(func(_, value any) bool {
		named = value.(*state).name == target
		return !named
	})
	if named {
		return
	}
	labels := prometheus.Labels{"target": target}
	for _, c := range collectors.all() {
		c.(interface {
			DeletePartialMatch(prometheus.Labels) int
		}).DeletePartialMatch(labels)
	}
}
