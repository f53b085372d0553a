package fastestswagger_test

import (
	"fmt"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

func TestGolden(t *testing.T) { caddytest.Golden(t) }

func TestMistakes(t *testing.T) {
	// The policy stands on line 3, the first option on line 4.
	policy := func(args, options string) string {
		return fmt.Sprintf(":20080 {\n\treverse_proxy a.example b.example {\n\t\tlb_policy fastest-swagger %s{\n\t\t\t%s\n\t\t}\n\t}\n}", args, options)
	}
	var mistakes []caddytest.Mistake
	for _, m := range []struct {
		name, caddyfile string
		line            int
		says            []string
	}{
		{"unknown option", policy("", "intervall 30s"), 4, []string{"unknown option intervall of fastest-swagger", "interval, timeout"}},
		{"interval without a unit", policy("", "interval 30"), 4, []string{`"30"`, "30s"}},
		{"interval zero", policy("", "interval 0s"), 4, []string{"too short", "1ms"}},
		{"interval missing", policy("", "interval"), 4, []string{"write: interval <duration>", "30s"}},
		{"negative timeout", policy("", "timeout -1s"), 4, []string{"too short", "1ms"}},
		{"two timeouts", policy("", "timeout 1s 2s"), 4, []string{"too many values for timeout", "<duration>"}},
		{"given twice", policy("", "timeout 1s\n\t\t\ttimeout 2s"), 5, []string{"timeout is given twice"}},
		{"status", policy("", "expect ok"), 4, []string{"2xx", "200"}},
		{"status class", policy("", "expect 2xx 9xx"), 4, []string{`"9xx"`}},
		{"status digit", policy("", "expect 2"), 4, []string{"2xx"}},
		{"no status", policy("", "expect"), 4, []string{"2xx"}},
		{"header without a value", policy("", "header X-Bypass"), 4, []string{"write: header <name> <value>"}},
		{"header that is Host", policy("", "header host: a.example"), 4, []string{"header_up Host"}},
		{"header of the transport", policy("", "header Accept-Encoding gzip"), 4, []string{"remove the line"}},
		{"header without its key", policy("", "header Authorization \"Bearer {$SWAGGER_NOT_SET}\""), 4, []string{"no key after its scheme"}},
		{"text without quotes", policy("", "contains Swagger UI"), 4, []string{"quotes"}},
		{"empty text", policy("", `contains ""`), 4, []string{"contains: the value is empty", "swagger-ui"}},
		{"size", policy("", "max_size big"), 4, []string{"with its unit", "64MB"}},
		{"size without a unit", policy("", "max_size 4"), 4, []string{`"4"`, "with its unit", "64MB"}},
		{"no size", policy("", "max_size 0"), 4, []string{"64MB"}},
		{"margin without percent", policy("", "margin 15"), 4, []string{"percentage", "10%"}},
		{"margin too wide", policy("", "margin 100%"), 4, []string{"below 100%"}},
		{"margin no number", policy("", "margin NaN%"), 4, []string{"percentage"}},
		{"fallback missing", policy("", "fallback"), 4, []string{"random"}},
		{"fallback unknown", policy("", "fallback fastest"), 4, []string{`"fastest"`, "least_conn"}},
		{"fallback itself", policy("", "fallback fastest-swagger"), 4, []string{"itself"}},
		{"path is a URL", policy("https://a.example/docs ", ""), 3, []string{"/swagger/index.html"}},
		{"path without slash", policy("", "path docs"), 4, []string{"/swagger/index.html"}},
		{"path with a fragment", policy("", "path /docs#top"), 4, []string{"path of a page"}},
		{"two paths", policy("/a ", "path /b"), 4, []string{"/a", "/b", "one of them"}},
		{"two arguments", policy("/a 30s ", ""), 3, []string{"too many values for fastest-swagger", "block"}},
	} {
		mistakes = append(mistakes, caddytest.Mistake{Name: m.name, Caddyfile: m.caddyfile, Line: m.line, Says: m.says})
	}
	caddytest.Mistakes(t, mistakes)
}

// What only JSON can get wrong is refused too.
func TestValidate(t *testing.T) {
	for _, options := range []string{
		`"interval": -1`, `"timeout": -1`, `"max_size": -1`, `"margin": 1`, `"margin": -0.1`,
		`"header": {"Host": ["a.example"]}`, `"header": {"A B": ["c"]}`, `"header": {"A": ["{env.NOT_SET_ANYWHERE}"]}`, `"header": {"A": ["b\nc"]}`,
		`"expect": [20]`, `"path": "docs"`, `"path": "{env.NOT_SET_ANYWHERE}"`, `"path": "{http.request.uri}"`,
		`"fallback": {"policy": "fastest-swagger"}`, `"fallback": {"policy": "none"}`, `"intervall": "1s"`,
	} {
		if err := validate(proxyJSON(options)); err == nil {
			t.Errorf("%s was accepted", options)
		}
	}
	if err := validate(proxyJSON(`"margin": 0`)); err != nil {
		t.Error(err)
	}
}

func validate(cfg string) error {
	var config caddy.Config
	if err := caddy.StrictUnmarshalJSON([]byte(cfg), &config); err != nil {
		return err
	}
	return caddy.Validate(&config)
}

func proxyJSON(options string) string {
	return `{"apps": {"http": {"servers": {"a": {"listen": [":20080"], "routes": [{"handle": [{
		"handler": "reverse_proxy",
		"upstreams": [{"dial": "127.0.0.1:1"}],
		"load_balancing": {"selection_policy": {"policy": "fastest-swagger", ` + options + `}}
	}]}]}}}}}`
}
