package doh

import (
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// metrics are the package's collectors. Caddy has a new registry after each
// reload, in which the same collectors are registered again.
type metrics struct {
	queries   counters
	responses counters
	users     *prometheus.CounterVec
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

// rcodes are the response codes that are counted by themselves, and the others.
var rcodes = []string{"NOERROR", "NXDOMAIN", "SERVFAIL", "REFUSED", "other"}

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
		queries: fixed("queries_total", "DNS queries received, by HTTP method, or by the protocol of a listener: TLS, TCP or UDP.", "method",
			http.MethodGet, http.MethodHead, http.MethodPost, protocolTLS, protocolTCP, protocolUDP),
		responses: fixed("responses_total", "DNS responses given, by response code.", "rcode", rcodes...),
		users:     counter("client_queries_total", "DNS queries of a client that were answered.", "client"),
	}
}

// register adds the collectors to the registry of a configuration.
func (m metrics) register(registry *prometheus.Registry) error {
	for _, c := range []prometheus.Collector{
		m.queries, m.responses, m.users,
	} {
		var already prometheus.AlreadyRegisteredError
		if err := registry.Register(c); err != nil && !errors.As(err, &already) {
			return err
		}
	}
	return nil
}

// count counts a query by its protocol and client, and its response by its code.
func (m metrics) count(ask asker, resp *dnsmsg.Response) {
	m.queries.inc(ask.protocol)
	if ask.user != nil {
		ask.user.counter.Inc()
	}
	m.responses.inc(rcodeName(resp.Rcode()))
}

func rcodeName(rcode int) string {
	switch rcode {
	case dnsmsg.RcodeNoError:
		return "NOERROR"
	case dnsmsg.RcodeServFail:
		return "SERVFAIL"
	case dnsmsg.RcodeNXDomain:
		return "NXDOMAIN"
	case dnsmsg.RcodeRefused:
		return "REFUSED"
	}
	return "other"
}
