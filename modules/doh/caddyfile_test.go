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
}{
	{"no upstream", "http://127.0.0.1:1 {\n\tdoh\n}\n", 2, []string{"needs an upstream", "https://dns.example/dns-query"}},
	{"a path without slash", "http://127.0.0.1:1 {\n\tdoh dns-query\n}\n", 2, []string{"begins with /", "/dns-query"}},
	{"a matcher", "http://127.0.0.1:1 {\n\tdoh * /dns-query\n}\n", 2, []string{"too many values for doh", "doh /dns-query"}},
	{"two paths", "http://127.0.0.1:1 {\n\tdoh /a /b\n}\n", 2, []string{"too many values for doh", "option client"}},
	{"an unknown option", inDoH("upstreams x"), 3, []string{"unknown option upstreams of doh", "upstream, policy, timeout"}},
	{"a cache of no size", inDoH("cache many"), 3, []string{`cache: "many"`, "10000", "off"}},
	{"a cache of two sizes", inDoH("cache 1 2"), 3, []string{"too many values for cache", "[<entries>|off]"}},
	{"a cache without entries", inDoH("cache 0"), 3, []string{"number of entries"}},
	{"an option of a cache that is off", inDoH("cache off {\nstale 1d\n}"), 3, []string{"cache off takes no block"}},
	{"an unknown option of the cache", inDoH("cache {\nttl 1d\n}"), 4, []string{"unknown option ttl", "min_ttl, max_ttl, stale"}},
	{"bounds of the cache", inDoH("cache {\nmin_ttl 2h\nmax_ttl 1h\n}"), 6, []string{"min_ttl must not be above max_ttl"}},
	{"two caches", inDoH("cache 1\ncache 2"), 4, []string{"cache is given twice"}},
	{"upstream without address", inDoH("upstream"), 3, []string{"write: upstream <url...>", "https://dns.example/dns-query"}},
	{"http", inDoH("upstream http://dns.example/dns-query"), 3, []string{"https://", "not http://"}},
	{"another scheme", inDoH("upstream quic://dns.example"), 3, []string{"tls://", "not quic://"}},
	{"a path over TLS", inDoH("upstream tls://dns.example/dns-query"), 3, []string{"dns.example", "a host and an optional port"}},
	{"a header over TLS", inDoH("upstream tls://dns.example {\nheader A b\n}"), 5, []string{"header is for upstreams with https://"}},
	{"a certificate over UDP", inDoH("upstream udp://192.0.2.1 {\ntls_ca /x\n}"), 5, []string{"tls_ca is for upstreams with https:// or tls://"}},
	{"bootstrap of the system", inDoH("upstream system {\nbootstrap 192.0.2.1\n}"), 5, []string{"bootstrap is for upstreams with a host"}},
	{"system twice", inDoH("upstream system system"), 3, []string{"system is listed twice"}},
	{"no scheme", inDoH("upstream dns.example/dns-query"), 3, []string{"https://dns.example/dns-query"}},
	{"no host", inDoH("upstream https:///dns-query"), 3, []string{"https://dns.example/dns-query"}},
	{"a password", inDoH("upstream https://me:pw@dns.example/"), 3, []string{"header Authorization"}},
	{"an upstream twice", inDoH(goodUpstream + "upstream https://dns.example/dns-query"), 4, []string{"dns.example is listed twice", "weight"}},
	{"an unknown upstream option", inUpstream("quotas 300000/month"), 4, []string{"unknown option quotas", "name, tier, weight, quota, bootstrap, header and tls_ca"}},
	{"a quota without a period", inUpstream("quota 300000"), 4, []string{"the period is missing", "300000/month"}},
	{"a quota of tokens", inUpstream("quota 1M tokens/month"), 4, []string{"no unit", "300000/month"}},
	{"a quota of nothing", inUpstream("quota 0/month"), 4, []string{"quota"}},
	{"a quota in an unknown zone", inUpstream("quota 1k/day Asia/Nowhere"), 4, []string{"unknown time zone", "Asia/Shanghai"}},
	{"weight zero", inUpstream("weight 0"), 4, []string{"weight", "from 1 to 1000000"}},
	{"tier not a number", inUpstream("tier one"), 4, []string{"tier", "from 1 to 1000000"}},
	{"name without value", inUpstream("name"), 4, []string{"write: name <name>"}},
	{"weight twice", inUpstream("weight 1\n\t\t\tweight 2"), 5, []string{"weight is given twice"}},
	{"bootstrap by name", inUpstream("bootstrap dns.example"), 4, []string{"not an IP address"}},
	{"header without value", inUpstream("header X-Name"), 4, []string{"write: header <name> <value>"}},
	{
		"bootstrap for two hosts", inDoH("upstream https://a.example/ https://b.example/ {\n\t\t\tbootstrap 192.0.2.1\n\t\t}"),
		5,
		[]string{"one host"},
	},
	{
		"a name twice", inDoH("upstream https://a.example/ {\n\t\t\tname a\n\t\t}\n\t\tupstream https://b.example/ {\n\t\t\tname a\n\t\t}"),
		8,
		[]string{"already an upstream with the name a"},
	},
	{"a bad duration", inDoH(goodUpstream + "timeout 5"), 4, []string{`timeout: "5" is not a duration`, "30s"}},
	{"a negative duration", inDoH(goodUpstream + "hedge -1s"), 4, []string{"hedge: -1s is too short", "1ms"}},
	{"timeout twice", inDoH(goodUpstream + "timeout 5s\n\t\ttimeout 6s"), 5, []string{"timeout is given twice"}},
	{"an unknown policy", inDoH(goodUpstream + "policy quotas"), 4, []string{`policy: "quotas"`, "quota, random, fastest and round_robin"}},
	{"hosts without name", inDoH("hosts 192.0.2.1"), 3, []string{"hosts 192.0.2.1 demo.test"}},
	{"hosts the wrong way round", inDoH("hosts demo.test 192.0.2.1"), 3, []string{"not an IP address"}},
	{"hosts with a bad name", inDoH("hosts 192.0.2.1 a..b"), 3, []string{"a..b", "labels"}},
	{"client without path", inDoH(goodUpstream + "client alice"), 4, []string{"client alice /dns-query/s3cret"}},
	{"client with a path without slash", inDoH(goodUpstream + "client alice s3cret"), 4, []string{"begins with /"}},
	{"a client twice", inDoH(goodUpstream + "client alice /a\n\t\tclient alice /b"), 5, []string{"already a client alice"}},
	{"a path twice", inDoH(goodUpstream + "client alice /a\n\t\tclient bob /a"), 5, []string{"client alice has this path"}},
	{"an unknown option of a client", inDoH(goodUpstream + "client alice /a {\nquota 1/day\n}"), 5, []string{"unknown option quota", "of client; there is limit"}},
	{"a limit without period", inDoH(goodUpstream + "client alice /a {\nlimit 1000\n}"), 5, []string{`limit: "1000"`, "1000/day"}},
	{"a limit of tokens", inDoH(goodUpstream + "client alice /a {\nlimit 1000 tokens/day\n}"), 5, []string{"no unit", "20000/day"}},
	{"per_ip by the month", inDoH(goodUpstream + "per_ip 50/month"), 4, []string{"second, minute, hour or day"}},
	{"per_ip without period", inDoH(goodUpstream + "per_ip 50"), 4, []string{"50"}},
	{"an unknown ecs", inDoH(goodUpstream + "ecs yes"), 4, []string{"strip, pass, client, or a prefix like 192.0.2.0/24"}},
	{"json with an argument", inDoH(goodUpstream + "json on"), 4, []string{"json takes no value"}},
	{"dynamic without upstream", inSource("hedge off"), 5, []string{"needs an upstream"}},
	{"dynamic with an unknown option", inSource("hosts 192.0.2.1 demo.test"), 4, []string{"unknown option hosts", "upstream, timeout, hedge"}},
	{"dynamic with a policy", inSource("policy random"), 4, []string{"lb_policy"}},
	{
		"transport with options", "http://127.0.0.1:1 {\n\treverse_proxy {\n\t\ttransport doh {\n\t\t\ttimeout 5s\n\t\t}\n\t}\n}\n",
		4,
		[]string{"transport doh has no options", "dynamic doh"},
	},
}

func TestMistakes(t *testing.T) {
	all := make([]caddytest.Mistake, len(mistakes))
	for i, m := range mistakes {
		all[i] = caddytest.Mistake{Name: m.name, Caddyfile: m.caddyfile, Line: m.line, Says: m.says}
	}
	caddytest.Mistakes(t, all)
}
