package llmgateway

import (
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/usage"
)

// metrics are the package's collectors. Caddy has a new registry after each
// reload, in which the same collectors are registered again. All labels are
// names of the configuration.
//
// The collectors are made once in a process, so that counters go on over reloads;
// Caddy's registry of the old configuration is dropped. Names that clients choose are
// never labels: clients of a clients_file share one, and models have the names of the
// configuration.
type metrics struct {
	requests *prometheus.CounterVec
	refused  *prometheus.CounterVec
	attempts *prometheus.CounterVec
	outcomes *prometheus.CounterVec
	refusals *prometheus.CounterVec
	cooldown keysInCooldown

	wrongKeys prometheus.Counter
	estimated prometheus.Counter

	tokens     *prometheus.HistogramVec
	duration   *prometheus.HistogramVec
	firstToken *prometheus.HistogramVec
	perToken   *prometheus.HistogramVec
}

var collectors = newMetrics()

// The names and buckets are OpenTelemetry's.
// Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/
func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "caddy", Subsystem: "llm_gateway", Name: name, Help: help,
		}, labels)
	}
	genAI := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "gen_ai", Name: name, Help: help, Buckets: buckets,
		}, append([]string{"gen_ai_provider_name", "gen_ai_request_model"}, labels...))
	}
	return &metrics{
		estimated: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "caddy", Subsystem: "llm_gateway", Name: "estimated_tokens_total",
			Help: "Tokens charged to clients' limits or keys' quotas that no response states.",
		}),
		wrongKeys: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "caddy", Subsystem: "llm_gateway", Name: "wrong_keys_total",
			Help: "Requests with a key that no client has, or with several different keys.",
		}),
		requests: counter("requests_total", "Requests with a valid key, by client.", "client"),
		refused:  counter("refused_total", "Requests of clients that the gateway refused by itself, by HTTP status.", "client", "status"),
		outcomes: counter("outcomes_total", "Requests that were made, by client and by what came of them: complete, refused, broken or client_left.", "client", "outcome"),
		attempts: counter("attempts_total", "Attempts, by channel and outcome: answered, refused, limited or failed.", "channel", "result"),
		refusals: counter("refusals_total", "Attempts that were refused or failed, by channel and by whom that is about: request, key, channel and so on.", "channel", "scope"),
		cooldown: keysInCooldown{prometheus.NewDesc("caddy_llm_gateway_keys_in_cooldown",
			"Keys of a channel that are in cooldown, for one model or for all.", []string{"channel"}, nil)},

		tokens: genAI("client_token_usage", "Tokens of requests (input) and responses (output).",
			prometheus.ExponentialBuckets(1, 4, 14), "gen_ai_token_type"),
		duration: genAI("server_request_duration_seconds", "Time from a request to the end of its response.",
			prometheus.ExponentialBuckets(.01, 2, 14)),
		firstToken: genAI("server_time_to_first_token_seconds", "Time from a request to the first event of a streamed response.",
			[]float64{.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}),
		perToken: genAI("server_time_per_output_token_seconds", "Time for each token of a streamed response after the first event.",
			[]float64{.01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5}),
	}
}

// register adds the collectors to the registry of a configuration.
//
// Two gateways of one configuration register the same collectors, the second in vain.
func (m *metrics) register(registry *prometheus.Registry) error {
	for _, c := range []prometheus.Collector{
		m.requests, m.refused, m.attempts, m.refusals, m.outcomes, m.cooldown, m.wrongKeys, m.estimated, m.tokens, m.duration, m.firstToken, m.perToken,
	} {
		var already prometheus.AlreadyRegisteredError
		if err := registry.Register(c); err != nil && !errors.As(err, &already) {
			return err
		}
	}
	return nil
}

// outcomes are the counters of a channel's attempts.
type outcomes struct {
	answered, refused, limited, failed prometheus.Counter
}

// outcomesOf looks a channel's counters up once, in Provision: a lookup by labels for
// each attempt would take a lock and hash the labels.
func (m *metrics) outcomesOf(channel string) outcomes {
	of := func(result string) prometheus.Counter { return m.attempts.WithLabelValues(channel, result) }
	return outcomes{of("answered"), of("refused"), of("limited"), of("failed")}
}

// measures are what is measured of a channel's model, under the name that the
// configuration has for it. A series begins with its first request.
type measures struct {
	channel, model string
	route          *ModelRoute // that the model is of
	paid           paidUse     // for the receipt

	once                            sync.Once
	input, output                   prometheus.Observer
	duration, firstToken, perOutput prometheus.Observer
}

// begin looks the series up at the first response of the model, so that models which
// nobody asks for have none. once guards it.
func (m *measures) begin() {
	m.input = collectors.tokens.WithLabelValues(m.channel, m.model, "input")
	m.output = collectors.tokens.WithLabelValues(m.channel, m.model, "output")
	m.duration = collectors.duration.WithLabelValues(m.channel, m.model)
	m.firstToken = collectors.firstToken.WithLabelValues(m.channel, m.model)
	m.perOutput = collectors.perToken.WithLabelValues(m.channel, m.model)
}

// observe measures a response that has ended.
func (m *measures) observe(start, end time.Time, b *responseBody) {
	m.once.Do(m.begin)
	m.duration.Observe(end.Sub(start).Seconds())
	used := &b.tokens.Usage
	m.paid.count(used.Input(), used.Output())
	if n := used.Input(); n > 0 {
		m.input.Observe(float64(n))
	}
	if n := used.Output(); n > 0 {
		m.output.Observe(float64(n))
	}
	if b.kind != usage.Events || b.first.IsZero() {
		return
	}
	m.firstToken.Observe(b.first.Sub(start).Seconds())
	if n := used.Output(); n > 1 && !b.last.IsZero() {
		m.perOutput.Observe(b.last.Sub(b.first).Seconds() / float64(n-1))
	}
}

// keysInCooldown counts at each scrape the keys of the running gateways, so that
// no channel of an old configuration stays on.
type keysInCooldown struct{ desc *prometheus.Desc }

// Describe implements prometheus.Collector.
func (k keysInCooldown) Describe(ch chan<- *prometheus.Desc) { ch <- k.desc }

// Collect implements prometheus.Collector.
func (k keysInCooldown) Collect(ch chan<- prometheus.Metric) {
	count := make(map[string]int)
	for _, g := range loadedGateways() {
		now := g.clock.Now()
		for _, c := range g.channels {
			count[c.Name] += 0
			for _, key := range c.keys() {
				if key.cooldowns.Any(now) {
					count[c.Name]++
				}
			}
		}
	}
	for channel, n := range count {
		ch <- prometheus.MustNewConstMetric(k.desc, prometheus.GaugeValue, float64(n), channel)
	}
}

// Interface guards
var _ prometheus.Collector = keysInCooldown{}
