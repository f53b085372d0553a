package doh

import (
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// metrics are the package's collectors. They are made once, since counters must
// not restart at a reload; Caddy's registry is new after each reload, and the
// collectors are registered in it again.
type metrics struct {
	queries   counters
	responses counters
	users     *prometheus.CounterVec
}

// counters are a counter vector with one label whose values are all known
// beforehand. Their counters are looked up once, so that a query does not take the
// vector's lock, and a value of a request cannot become a label.
type counters struct {
	*prometheus.CounterVec
	byValue map[string]prometheus.Counter
}

// inc increments the counter of a value. Unknown values are not counted.
func (c counters) inc(value string) {
	if counter := c.byValue[value]; counter != nil {
		counter.Inc()
	}
}

// rcodes are the labels of response codes.
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

// register registers the collectors for a configuration. Several handlers of one
// configuration may do so.
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

// count counts a query by protocol and user, and its response by code.
func (m metrics) count(ask asker, resp *dnsmsg.Response) {
	m.queries.inc(ask.protocol)
	if ask.user != nil {
		ask.user.counter.Inc()
	}
	m.responses.inc(rcodeName(resp.Rcode()))
}

// rcodeName returns the label of a response code.
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
