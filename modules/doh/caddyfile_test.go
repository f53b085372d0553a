package doh_test

import (
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

func TestGolden(t *testing.T) { caddytest.Golden(t) }

const goodUpstream = "upstream https://dns.example/dns-query\n\t\t"

// inDoH returns a Caddyfile with options of doh.
func inDoH(options string) string {
	return "http://127.0.0.1:1 {\n\tdoh {\n\t\t" + options + "\n\t}\n}\n"
}

// inUpstream returns a Caddyfile with options of an upstream of doh.
func inUpstream(options string) string {
	return inDoH("upstream https://dns.example/dns-query {\n\t\t\t" + options + "\n\t\t}")
}

// inSource returns a Caddyfile with options of dynamic doh.
func inSource(options string) string {
	return "http://127.0.0.1:1 {\n\treverse_proxy {\n\t\tdynamic doh {\n\t\t\t" + options + "\n\t\t}\n\t\ttransport doh\n\t}\n}\n"
}

// mistakes are Caddyfiles with a mistake, the line of it, and what its error says.
var mistakes = []struct {
	name, caddyfile string
	line            int
	says            []string
}{}

func TestMistakes(t *testing.T) {
	all := make([]caddytest.Mistake, len(mistakes))
	for i, m := range mistakes {
		all[i] = caddytest.Mistake{Name: m.name, Caddyfile: m.caddyfile, Line: m.line, Says: m.says}
	}
	caddytest.Mistakes(t, all)
}
