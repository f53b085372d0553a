package freetier_test

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// everyModule has at least one of each module with metrics.
const everyModule = `{
	keepalive {
		target api http://127.0.0.1:1/ {
			interval 1h
		}
	}
}

http://127.0.0.1:%d {
	route /dns-query* {
		doh {
			upstream https://127.0.0.1:1/dns-query
		}
	}
	route /v1/* {
		llm_gateway {
			client  me a-key-of-mine
			channel free http://127.0.0.1:1/v1 {
				api_key a-key-of-a-provider
				models  *
			}
		}
	}
	reverse_proxy http://127.0.0.1:1 http://127.0.0.1:2 {
		lb_policy fastest-swagger
	}
}
`

// metric is a metric of ours as the registry of a running Caddy has it.
type metric struct {
	name, kind, help string
	labels           []string
}

// sections are the page's headings, by what the names of their metrics begin with.
var sections = []struct{ prefix, title, about string }{
	{"caddy_keepalive_", "keepalive", "`target` is the name in the Caddyfile. See [keepalive](keepalive.md)."},
	{"caddy_fastest_swagger_", "fastest-swagger", "`upstream` is the host and port. See [fastest-swagger](fastest-swagger.md)."},
	{"caddy_llm_gateway_", "llm_gateway", "`channel` and `client` are names of the Caddyfile; all clients of a `clients_file` are one. See [llm_gateway](llm_gateway.md)."},
	{"gen_ai_", "llm_gateway, with OpenTelemetry's names", "`gen_ai_provider_name` is the channel, and `gen_ai_request_model` the name of the model in the Caddyfile."},
	{"caddy_doh_", "doh", "`upstream` is its `name`, or its host. See [doh](doh.md)."},
}

// ofCaddy are the metrics that Caddy and Go bring.
var ofCaddy = regexp.MustCompile(`^(go|process|promhttp|caddy_(admin|config|http|reverse_proxy))_`)

// docs/metrics.md is what the modules register. UPDATE_GOLDEN=1 writes it anew.
func TestMetricsPage(t *testing.T) {
	const file = "docs/metrics.md"
	got := metricsPage(t, registered(t))
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what the modules register; run UPDATE_GOLDEN=1 go test -run TestMetricsPage .\n%s", file, got)
	}
}

// registered returns what the modules have registered, in order.
func registered(t *testing.T) []metric {
	t.Helper()
	caddytest.Start(t, fmt.Sprintf(everyModule, caddytest.Port(t)))
	ctx := caddy.ActiveContext()
	registry := ctx.GetMetricsRegistry()
	described := make(chan *prometheus.Desc, 1000)
	registry.Describe(described)
	close(described)
	var metrics []metric
	for desc := range described {
		parts := regexp.MustCompile(`^Desc\{fqName: ("(?:[^"\\]|\\.)*"), help: ("(?:[^"\\]|\\.)*"),.* variableLabels: \{(.*)\}\}$`).FindStringSubmatch(desc.String())
		if parts == nil {
			t.Fatalf("not the form of a description: %s", desc)
		}
		m := metric{kind: kindOf(t, registry, desc)}
		var err error
		if m.name, err = strconv.Unquote(parts[1]); err != nil {
			t.Fatal(err)
		}
		if m.help, err = strconv.Unquote(parts[2]); err != nil {
			t.Fatal(err)
		}
		if ofCaddy.MatchString(m.name) {
			continue
		}
		if parts[3] != "" {
			m.labels = strings.Split(parts[3], ",")
		}
		metrics = append(metrics, m)
	}
	slices.SortFunc(metrics, func(a, b metric) int { return strings.Compare(a.name, b.name) })
	return metrics
}

// probe is a collector that describes what another one has registered.
type probe struct{ desc *prometheus.Desc }

func (p probe) Describe(ch chan<- *prometheus.Desc) { ch <- p.desc }
func (p probe) Collect(chan<- prometheus.Metric)    {}

// kindOf returns the type of a metric. A description does not have it, but a
// registry names the collector to whoever registers the same description again.
func kindOf(t *testing.T, registry *prometheus.Registry, desc *prometheus.Desc) string {
	t.Helper()
	var already prometheus.AlreadyRegisteredError
	if err := registry.Register(probe{desc}); !errors.As(err, &already) {
		return "" // a collector with several descriptions: one of Caddy's or Go's
	}
	switch c := already.ExistingCollector.(type) {
	case interface {
		GetMetricWithLabelValues(values ...string) (prometheus.Counter, error)
	}:
		return "counter"
	case interface {
		GetMetricWithLabelValues(values ...string) (prometheus.Gauge, error)
	}:
		return "gauge"
	case *prometheus.HistogramVec, prometheus.Histogram:
		return "histogram"
	case prometheus.Gauge:
		return "gauge"
	case prometheus.Counter:
		return "counter"
	default: // it makes its metrics at each scrape
		return kindOfSeries(t, c)
	}
}

func kindOfSeries(t *testing.T, c prometheus.Collector) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(c); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) == 0 {
		return ""
	}
	return strings.ToLower(families[0].GetType().String())
}

const metricsIntro = "<!-- Made from what the modules register. To make it anew: UPDATE_GOLDEN=1 go test -run TestMetricsPage . -->" + `

# Metrics

On Caddy's admin address, ` + "`http://localhost:2019/metrics`" + `, without an option. The directive [metrics](https://caddyserver.com/docs/caddyfile/directives/metrics) serves
them on a site as well. No label holds a key, an address of a client or a name that somebody asked for.

` + "```caddyfile" + `
metrics.example.com {
	@prometheus remote_ip 192.0.2.10
	metrics @prometheus
}
` + "```" + `

[grafana.json](grafana.json) is a dashboard of all of them (in Grafana: Dashboards, New, Import), and [alerts.yaml](alerts.yaml) has rules for Prometheus.
A histogram has the series ` + "`…_bucket`, `…_sum` and `…_count`" + `.
`

func metricsPage(t *testing.T, metrics []metric) string {
	t.Helper()
	var page strings.Builder
	page.WriteString(metricsIntro)
	shown := 0
	for _, section := range sections {
		fmt.Fprintf(&page, "\n## %s\n\n%s\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n", section.title, section.about)
		for _, m := range metrics {
			if !strings.HasPrefix(m.name, section.prefix) {
				continue
			}
			shown++
			if m.kind == "" || m.help == "" {
				t.Errorf("%s has the type %q and the help %q", m.name, m.kind, m.help)
			}
			labels := "–"
			if len(m.labels) > 0 {
				labels = "`" + strings.Join(m.labels, "` `") + "`"
			}
			fmt.Fprintf(&page, "| `%s` | %s | %s | %s |\n", m.name, m.kind, labels, m.help)
		}
	}
	if shown != len(metrics) {
		t.Errorf("%d of %d metrics are in a section: %v", shown, len(metrics), metrics)
	}
	return page.String()
}
