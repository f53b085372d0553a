package freetier_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// The dashboard has Grafana's schema, and its panels neither overlap nor leave the grid.
func TestDashboardSchema(t *testing.T) {
	plugins.RegisterDefaultPlugins() // the schemas of the panels and their queries
	text := readFile(t, "docs/grafana.json")
	// An error without a text is an empty list. What was read strictly has no panels.
	//lint:ignore SA1019 the newer type is for Grafana's next format, which older ones do not import
	if err := new(dashboard.Dashboard).UnmarshalJSONStrict(text); err != nil && err.Error() != "" {
		t.Fatal(err)
	}
	//lint:ignore SA1019 as above
	var board dashboard.Dashboard
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	if err := board.Validate(); err != nil {
		t.Fatal(err)
	}
	taken := make(map[[2]uint32]uint32)
	ids := make(map[uint32]bool)
	place := func(id uint32, at dashboard.GridPos) {
		if ids[id] || id == 0 {
			t.Errorf("two panels have the id %d, or it is 0", id)
		}
		ids[id] = true
		for x := at.X; x < at.X+at.W; x++ {
			for y := at.Y; y < at.Y+at.H; y++ {
				if other, ok := taken[[2]uint32{x, y}]; ok || x >= 24 {
					t.Errorf("panel %d is outside, or over panel %d", id, other)
				}
				taken[[2]uint32{x, y}] = id
			}
		}
	}
	for _, p := range board.Panels {
		switch {
		case p.RowPanel != nil:
			place(p.RowPanel.Id, *p.RowPanel.GridPos)
		case p.Panel.Title == nil || p.Panel.Description == nil || len(p.Panel.Targets) == 0:
			t.Errorf("a panel is without a title, a description or a query: %v", *p.Panel.Id)
		default:
			place(*p.Panel.Id, *p.Panel.GridPos)
		}
	}
}

// The dashboard shows each metric of the page, and no other; the alerts know no other.
func TestDashboardAndAlertsKnowTheMetrics(t *testing.T) {
	page := make(map[string]string) // the types, by name
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\w+) \\|").FindAllSubmatch(readFile(t, "docs/metrics.md"), -1) {
		page[string(row[1])] = string(row[2])
	}
	if len(page) < 20 {
		t.Fatalf("the page has the metrics %v", page)
	}
	shown := make(map[string]bool)
	for _, expr := range dashboardQueries(t) {
		for _, name := range metricsIn(expr) {
			name, err := onPage(page, name)
			if err != nil {
				t.Errorf("%v: %s", err, expr)
			}
			shown[name] = true
		}
	}
	for name := range page {
		if !shown[name] {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
	alerts := string(readFile(t, "docs/alerts.yaml"))
	for _, name := range regexp.MustCompile(`\b(caddy|gen_ai)_\w+`).FindAllString(alerts, -1) {
		if _, err := onPage(page, name); err != nil {
			t.Error(err)
		}
	}
}

// onPage returns the metric of a series.
func onPage(page map[string]string, series string) (string, error) {
	if kind := page[series]; kind != "" && kind != "histogram" {
		return series, nil
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if name, ok := strings.CutSuffix(series, suffix); ok && page[name] == "histogram" {
			return name, nil
		}
	}
	return "", fmt.Errorf("the page has no %s", series)
}

// dashboardQueries are all queries of the dashboard.
func dashboardQueries(t *testing.T) []string {
	t.Helper()
	var board struct {
		Panels []struct {
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(readFile(t, "docs/grafana.json"), &board); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			all = append(all, target.Expr)
		}
	}
	if len(all) < 25 {
		t.Fatalf("%d queries", len(all))
	}
	return all
}

// promQL are the words of PromQL that the dashboard uses.
var promQL = []string{"sum", "min", "max", "by", "rate", "histogram_quantile"}

var (
	aside = regexp.MustCompile(`"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\bby \([^)]*\)`)
	word  = regexp.MustCompile(`[a-zA-Z_]\w*`)
)

// metricsIn returns the names of metrics in a query: what is neither a label nor a word of PromQL.
func metricsIn(expr string) []string {
	words := word.FindAllString(aside.ReplaceAllString(expr, " "), -1)
	return slices.DeleteFunc(words, func(w string) bool { return slices.Contains(promQL, w) })
}

// Prometheus reads each query of the dashboard, reads the alerts, and fires them when it should.
func TestPrometheusRules(t *testing.T) {
	promtool := caddytest.Program(t, "promtool")
	var rules strings.Builder
	rules.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	for i, expr := range dashboardQueries(t) {
		expr = strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*").Replace(expr)
		fmt.Fprintf(&rules, "      - record: query_%d\n        expr: '%s'\n", i, expr)
	}
	queries := filepath.Join(t.TempDir(), "dashboard.yaml")
	if err := os.WriteFile(queries, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check", "rules", queries}, {"check", "rules", "docs/alerts.yaml"}, {"test", "rules", "testdata/alerts_test.yaml"}} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	tests := string(readFile(t, "testdata/alerts_test.yaml"))
	for _, alert := range regexp.MustCompile(`(?m)- alert: (\w+)$`).FindAllStringSubmatch(string(readFile(t, "docs/alerts.yaml")), -1) {
		if !strings.Contains(tests, "alertname: "+alert[1]+"\n        exp_alerts:") {
			t.Errorf("no test lets %s fire", alert[1])
		}
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
