package fastestswagger

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the package's collectors. Caddy has a new registry after each
// reload, in which the same collectors are registered again.
type metrics struct {
	probes  *prometheus.CounterVec
	load    *prometheus.HistogramVec
	winning winning
}

var collectors = metrics{
	probes: prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy", Subsystem: "fastest_swagger", Name: "probes_total",
		Help: "Loads of an upstream's page: passed, failed, or woken (passed after a failure, not in the score).",
	}, []string{"upstream", "result"}),
	load: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "caddy", Subsystem: "fastest_swagger", Name: "load_seconds",
		Help:    "Time of the loads that passed, body included.",
		Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"upstream"}),
	winning: winning{prometheus.NewDesc("caddy_fastest_swagger_winner",
		"1 for an upstream that is the fastest of a pool, else 0.", []string{"upstream"}, nil)},
}

// register adds the collectors to the registry of a configuration.
func (m *metrics) register(registry *prometheus.Registry) error {
	for _, c := range []prometheus.Collector{m.probes, m.load, &m.winning} {
		var already prometheus.AlreadyRegisteredError
		if err := registry.Register(c); err != nil && !errors.As(err, &already) {
			return err
		}
	}
	return nil
}

// count counts a load by what it has changed.
func (m *metrics) count(upstream string, before, after *record) {
	result := "passed"
	switch {
	case after.failing():
		result = "failed"
	case before.failing():
		result = "woken"
	}
	m.probes.WithLabelValues(upstream, result).Inc()
	if !after.failing() {
		m.load.WithLabelValues(upstream).Observe(after.lastLoad.Seconds())
	}
}

// winning asks the running policies for their winners at each scrape, so that
// no upstream of an old configuration stays on.
type winning struct{ desc *prometheus.Desc }

// Describe implements prometheus.Collector.
func (w *winning) Describe(ch chan<- *prometheus.Desc) { ch <- w.desc }

// Collect implements prometheus.Collector.
func (w *winning) Collect(ch chan<- prometheus.Metric) {
	wins := make(map[string]float64)
	for _, s := range runningPolicies() {
		st := s.board.standings()
		for _, u := range st.upstreams {
			wins[u.label()] += 0
			if u.score != nil && u.score == st.winner {
				wins[u.label()] = 1
			}
		}
	}
	for upstream, wins := range wins {
		ch <- prometheus.MustNewConstMetric(w.desc, prometheus.GaugeValue, wins, upstream)
	}
}
