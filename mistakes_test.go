package freetier_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// mistake is a Caddyfile as people write it by mistake.
type mistake struct {
	name      string
	caddyfile string // the mistake stands in the line that ends with #HERE
	remedy    string // what the error says to do
}

// gateway is a site with a gateway, whose options and channel's options follow
// those that it needs.
func gateway(options, channel string) string {
	return "http://127.0.0.1:1 {\n\tllm_gateway {\n\t\tclient me key-of-mine\n" + options +
		"\n\t\tchannel a https://a.example/v1 {\n\t\t\tapi_key key-of-a\n\t\t\tmodels m\n" + channel + "\n\t\t}\n\t}\n}\n"
}

const (
	aGateway   = "llm_gateway {\nclient me key-of-mine\nchannel a https://a.example/v1 {\napi_key key-of-a\nmodels m\n}\n}"
	otherOne   = "llm_gateway {\nclient you key-of-yours\nchannel b https://b.example/v1 { #HERE\napi_key key-of-b\nmodels m\n}\n}"
	hereInside = "llm_gateway {\nclient me key-of-mine\nchannel a https://a.example/v1 { #HERE\napi_key key-of-a\nmodels m\n}\n}"
)

func site(lines ...string) string {
	return "http://127.0.0.1:1 {\n" + strings.Join(lines, "\n") + "\n}\n"
}

func keepaliveApp(lines string) string { return "{\nkeepalive {\n" + lines + "\n}\n}\n" }

func keepaliveTarget(lines string) string {
	return keepaliveApp("target a https://a.example/health {\n" + lines + "\n}")
}

func dohSite(lines string) string {
	return site("doh {\nupstream https://a.example/dns-query\n" + lines + "\n}")
}

// mistakes are what people write.
var mistakes = []mistake{
	// In the wrong place, or under another name.
	{"keepalive in a site", site("keepalive { #HERE\ntarget a https://a.example\n}"), "global option"},
	{"keepalive in a handle block", site("handle /x {\nkeepalive { #HERE\n}\n}"), "global option"},
	{"freetier in a site", site("freetier { #HERE\nvariables A\n}"), "global option"},
	{"llm_gateway as a global option", "{\nllm_gateway { #HERE\n}\n}\n", "into a site"},
	{"doh as a global option", "{\ndoh { #HERE\n}\n}\n", "into a site"},
	{"fastest-swagger as a directive", site("fastest-swagger #HERE"), "lb_policy fastest-swagger"},
	{"fastest_swagger as a directive", site("fastest_swagger #HERE"), "lb_policy fastest-swagger"},
	{"fastest_swagger as a policy", site("reverse_proxy 127.0.0.1:2 {\nlb_policy fastest_swagger #HERE\n}"), "lb_policy fastest-swagger"},
	{"fastest_swagger with a block", site("reverse_proxy 127.0.0.1:2 {\nlb_policy fastest_swagger { #HERE\ninterval 3s\n}\n}"), "lb_policy fastest-swagger"},
	{"model_field as a policy", site("reverse_proxy 127.0.0.1:2 {\nlb_policy model_field #HERE\n}"), "lb_policy model-field"},
	{"model-field as a directive", site("model-field #HERE"), "lb_policy model-field"},
	{"llm-gateway", site("llm-gateway { #HERE\n}"), "llm_gateway"},
	{"llmgateway", site("llmgateway { #HERE\n}"), "llm_gateway"},

	// Never reached.
	{"a second gateway", site(aGateway, otherOne), "matcher"},
	{"a second gateway in a route", site("route {", aGateway, otherOne, "}"), "matcher"},
	{"respond beside a gateway", site(`respond "hello"`, hereInside), "respond /health"},
	{"respond beside a gateway without a host", ":18089 {\n" + hereInside + "\nrespond hello\n}\n", "respond /health"},
	{"redir beside a gateway", site("redir https://example.com", hereInside), "matcher"},
	{"a gateway behind a proxy", site("route {\nreverse_proxy 127.0.0.1:2", hereInside, "}"), "matcher"},

	// Lists, mappings, comments and quotation marks of other programs.
	{"commas between models", gateway("", "models a, b #HERE"), "white space"},
	{"full-width commas between models", gateway("", "models a，b #HERE"), "white space"},
	{"an arrow between models", gateway("", "models a -> b #HERE"), "as"},
	{"a comment behind a key", gateway("client you abc123 // my key #HERE", ""), "comment"},
	{"a comma between keys", gateway("", "api_key key-number-1, key-number-2 #HERE"), "white space"},
	{"a semicolon behind a key", gateway("client you key-of-yours; #HERE", ""), "white space"},
	{"a variable of a shell", gateway("client you $MY_KEY #HERE", ""), "{env.NAME}"},
	{"a scheme before a key", gateway("", `api_key "Bearer key-number-1" #HERE`), "Bearer"},
	{"a URL that is an endpoint", strings.Replace(gateway("", ""), "https://a.example/v1 {", "https://a.example/v1/chat/completions { #HERE", 1), "write https://a.example/v1"},
	{"a comma between upstreams", dohSite("upstream https://b.example/x, https://c.example/y #HERE"), "white space"},
	{"a full-width comma between upstreams", dohSite("upstream https://b.example/x， https://c.example/y #HERE"), "white space"},
	{"a comma between names", dohSite("hosts 192.168.1.9 nas,tv #HERE"), "white space"},
	{"a comma between names of split DNS", dohSite("for corp,lan { #HERE\nupstream udp://192.168.1.1\n}"), "white space"},
	{"a comma between names with private addresses", dohSite("rebind_protection plex.direct,home.example #HERE"), "white space"},
	{"rebind_protection off", dohSite("rebind_protection off #HERE"), "leave the line out"},
	{"rebind_protection on", dohSite("rebind_protection on #HERE"), "without a value"},
	{"a limit behind a key", gateway("client you key-of-yours limit 5/day #HERE", ""), "in a block"},
	{"models behind a key", gateway("client you key-of-yours models gpt-4* #HERE", ""), "in a block"},
	{"the path of a file of keys", gateway("", "api_key /run/secrets/gemini #HERE"), "{file./path/to/keys}"},
	{"the path of a file of keys, from here", gateway("", "api_key ./keys.txt #HERE"), "{file./path/to/keys}"},
	{"the URL of a file of keys", gateway("client you file:///etc/caddy/keys #HERE", ""), "{file./path/to/keys}"},
	{"AS between models", gateway("", "models a AS b #HERE"), "as gpt-4-0125-preview"},
	{"a comma behind a URL", strings.Replace(gateway("", ""), "https://a.example/v1 {", "https://a.example/v1, { #HERE", 1), "there is no comma"},
	{"a port that is none", strings.Replace(gateway("", ""), "https://a.example/v1 {", "https://a.example:99999/v1 { #HERE", 1), "port"},
	{"a comma behind a target's URL", keepaliveApp("target a https://a.example/health, #HERE"), "there is no comma"},
	{"JSONPath", keepaliveTarget("json $.status ok #HERE"), "data.0.status"},
	{"brackets of JSONPath", keepaliveTarget("json data[0].status ok #HERE"), "data.0.status"},
	{"a comma between statuses", site("reverse_proxy 127.0.0.1:2 {\nlb_policy fastest-swagger {\nexpect 200, 204 #HERE\n}\n}"), "200 or 2xx"},
	{"a comma between variables", "{\nfreetier {\nvariables A, B #HERE\n}\n}\n", "without $ and braces"},
	{"single quotes", site("reverse_proxy 127.0.0.1:2 {\nlb_policy fastest-swagger {\ncontains 'swagger' #HERE\n}\n}"), "single quotes"},
	{"single quotes around spaces", site("reverse_proxy 127.0.0.1:2 {\nlb_policy fastest-swagger {\ncontains 'swagger ui' #HERE\n}\n}"), "single quotes"},
	{"single quotes around a header", gateway("", "header_up X-Title 'pool' #HERE"), "single quotes"},

	// Full-width signs.
	{"full-width quotes", site("reverse_proxy 127.0.0.1:2 {\nlb_policy fastest-swagger {\ncontains “swagger ui” #HERE\n}\n}"), "full-width"},
	{"full-width quotes around a header", gateway("", "header_up X-Title “pool” #HERE"), "full-width"},
	{"full-width brace", "{\nkeepalive ｛ #HERE\n｝\n}\n", "full-width"},
	{"full-width colon of a URL", keepaliveApp("target a https：//a.example #HERE"), "full-width"},
	{"full-width slash of a URL", keepaliveApp("target a https:／／a.example #HERE"), "full-width"},
	{"full-width slash of a quota", gateway("", "quota 100／day #HERE"), "full-width"},
	{"full-width digits", gateway("", "quota １００/day #HERE"), "full-width"},
	{"full-width percent", keepaliveApp("jitter 10％ #HERE"), "full-width"},
	{"full-width dash of a window", keepaliveTarget("window 07:00–23:00 #HERE"), "full-width"},
	{"full-width colon of a window", keepaliveTarget("window 07：00-23:00 #HERE"), "full-width"},
	{"full-width full stop", dohSite("hosts 192。168.1.1 nas.home #HERE"), "full-width"},
	{"full-width option", keepaliveApp("interval：3m #HERE"), "full-width"},
	{"full-width slash of an upstream", dohSite("upstream https:／／b.example #HERE"), "full-width"},

	// Times and amounts.
	{"a quota in words", gateway("", "quota 300000 / month #HERE"), "300000/month"},
	{"a quota in words, half", gateway("", "quota 300000/ month #HERE"), "300000/month"},
	{"a quota in words, other half", gateway("", "quota 300000 /month #HERE"), "300000/month"},
	{"a city as a time zone", gateway("", "quota 100/day Shanghai #HERE"), "Asia/Shanghai"},
	{"a small city", gateway("", "quota 100/day los_angeles #HERE"), "America/Los_Angeles"},
	{"an offset as a time zone", gateway("", "quota 100/day UTC+8 #HERE"), "Asia/Shanghai"},
	{"a bare offset as a time zone", gateway("", "quota 100/day +08:00 #HERE"), "Asia/Shanghai"},
	{"an abbreviation as a time zone", gateway("", "quota 100/day CST #HERE"), "Asia/Shanghai"},
	{"GMT", gateway("", "quota 100/day GMT #HERE"), "UTC"},
	{"a time zone of hours", keepaliveTarget("quota 750h/month Shanghai #HERE"), "Asia/Shanghai"},
	// Known only when the configuration is loaded.
	{"an unset variable of a client", gateway("client you {env.NOT_SET} #HERE", ""), "restart Caddy"},
	{"an unset variable of a channel", gateway("", "api_key {env.NOT_SET} #HERE"), "restart Caddy"},
	{"a file of keys that is not there", gateway("", "api_key {file./does/not/exist} #HERE"), "no such file"},
	{"an unset variable of a header", strings.Replace(gateway("", "header_up X-A {env.NOT_SET}"), "/v1 {", "/v1 { #HERE", 1), "restart Caddy"},
	{"an unset variable of an upstream", site("doh { #HERE\nupstream https://a.example/{env.NOT_SET}\n}"), "restart Caddy"},
	{"an unset variable of a path", site("doh { #HERE\nupstream https://a.example/x\nclient a /x/{env.NOT_SET}\n}"), "restart Caddy"},
	{"an unset variable of an upstream's header", site("doh { #HERE\nupstream https://a.example/x {\nheader A {env.NOT_SET}\n}\n}"), "restart Caddy"},
	{"a file of hosts that is not there", site("doh { #HERE\nupstream https://a.example/x\nhosts file /does/not/exist\n}"), "no such file"},
	{"a certificate that is not there", site("doh { #HERE\nupstream https://a.example/x {\ntls_ca /does/not/exist\n}\n}"), "no such file"},
	{"an unset variable of a dynamic upstream", site("reverse_proxy {\ndynamic doh { #HERE\nupstream https://a.example/{env.NOT_SET}\n}\ntransport doh\n}"), "restart Caddy"},
	{"an unset variable of a load's header", site("reverse_proxy 127.0.0.1:2 {\nlb_policy fastest-swagger { #HERE\nheader A {env.NOT_SET}\n}\n}"), "restart Caddy"},
	{"an unset variable of a load's path", site("reverse_proxy 127.0.0.1:2 {\nlb_policy fastest-swagger {env.NOT_SET} #HERE\n}"), "restart Caddy"},
	{"a size without its unit", gateway("max_body 64 #HERE", ""), "64MB"},
	{"an unset variable of a target's header", keepaliveApp("target a https://a.example { #HERE\nheader Authorization \"Bearer {env.NOT_SET}\"\n}"), "restart Caddy"},
	{"an unset variable of a target's URL", keepaliveApp("target a https://a.example/{env.NOT_SET} #HERE"), "restart Caddy"},
	{"an unset variable of a target's upstream", keepaliveApp("target a https://a.example { #HERE\nupstream {env.NOT_SET}\n}"), "restart Caddy"},
	{"an unset variable of a notification", keepaliveApp("target a https://a.example\nnotify https://ntfy.sh/{env.NOT_SET} #HERE"), "restart Caddy"},
	{"an unset variable of a notification's header", keepaliveApp("target a https://a.example\nnotify https://ntfy.sh/a x { #HERE\nheader A {env.NOT_SET}\n}"), "restart Caddy"},

	// Targets.
	{"a body with spaces", keepaliveTarget("body {\"a\": 1} #HERE"), "backticks"},
	{"a body in quotes that hold quotes", keepaliveTarget("body \"{\"a\":1}\" #HERE"), "backticks"},
	{"a target without a name", keepaliveApp("target https://a.example #HERE"), "target api https://"},
	{"hours without a platform", keepaliveApp("target a https://a.example { #HERE\nquota 750h/month\n}"), "sleeps_after or platform"},
	{"hours of a week", keepaliveApp("target a https://a.example { #HERE\nsleeps_after 15m\nquota 5h/hour\n}"), "750h/month"},
	{"another platform's host", keepaliveApp("target a https://a.koyeb.app {\nplatform render #HERE\n}"), "write platform koyeb"},
	{"another platform's host, in the block", keepaliveApp("target a {\nplatform render\nurl https://a.koyeb.app #HERE\n}"), "write platform koyeb"},
	{"the hub's page", keepaliveApp("target a https://huggingface.co/spaces/me/app {\nplatform huggingface #HERE\n}"), "https://me-app.hf.space"},
	{"an empty key", keepaliveTarget("header Authorization \"Bearer {$NOT_SET}\" #HERE"), "variable unset"},
	{"an event without its word", keepaliveApp("target a https://a.example\nnotify https://ntfy.sh/a {target} #HERE"), "{event.target}"},
}

// What people write by mistake is an error with its file and line, and with
// what to write in its place.
func TestMistakes(t *testing.T) {
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			line := 0
			for i, text := range strings.Split(m.caddyfile, "\n") {
				if strings.HasSuffix(text, "#HERE") {
					line = i + 1
				}
			}
			err := caddytest.Validate(strings.ReplaceAll(m.caddyfile, "#HERE", ""))
			if err == nil {
				t.Fatal("it loads")
			}
			if !strings.Contains(err.Error(), m.remedy) {
				t.Errorf("got %v, want what to do: %s", err, m.remedy)
			}
			if at := fmt.Sprintf("Caddyfile:%d", line); !strings.Contains(err.Error(), at) {
				t.Errorf("got %v, want the place %s", err, at)
			}
			if strings.Contains(err.Error(), "key-") || strings.Contains(err.Error(), "abc123") {
				t.Errorf("the error shows a key: %v", err)
			}
		})
	}
}

const plainGateway = "llm_gateway {\nclient me key-of-mine\nchannel a https://a.example/v1 {\napi_key key-of-a\nmodels m\n}\n}"

// What loads but leaves a part without effect is warned of, with what to do and
// where.
func TestWarnings(t *testing.T) {
	for _, w := range []struct{ name, lines, remedy string }{
		{"a prefix that stays", "handle /ai/* {\n" + plainGateway + "\n}", "handle_path /ai/*"},
		{"a prefix of two segments", "handle /my/ai/* {\n" + plainGateway + "\n}", "handle_path /my/ai/*"},
		{"a prefix of the gateway itself", strings.Replace(plainGateway, "{", "/ai/* {", 1), "handle_path /ai/*"},
		{"a prefix of a named matcher", "@ai path /ai/*\nhandle @ai {\n" + plainGateway + "\n}", "handle_path /ai/*"},
		{"a proxy beside a gateway", plainGateway + "\nreverse_proxy /app/* 127.0.0.1:2", "llm_gateway /v1/*"},
		{"files beside a gateway", plainGateway + "\nroot /tmp\nfile_server", "llm_gateway /v1/*"},
	} {
		t.Run(w.name, func(t *testing.T) {
			c := caddytest.Start(t, "http://"+caddytest.Addr(t)+" {\n"+w.lines+"\n}\n")
			if n := c.Logs.Count(`"level":"warn"`, w.remedy, "Caddyfile:"); n != 1 {
				t.Errorf("%d warnings that say %s and where, want 1", n, w.remedy)
			}
		})
	}
}

// What keepalive and fastest-swagger can do but nobody wants is warned of, with
// what to do and where. Pings of these targets are far in the future.
func TestWarningsOfTargets(t *testing.T) {
	later := "\ncron \"0 0 1 1 *\"\n}"
	for _, w := range []struct{ name, caddyfile, remedy string }{
		{"http at Render", keepaliveApp("target a http://a.onrender.com {" + later), "write https://"},
		{"http at a Space", keepaliveApp("target a http://A.HF.space {" + later), "write https://"},
		{"http at Zeabur", keepaliveApp("target a http://a.zeabur.app/x {" + later), "write https://"},
		{"milliseconds", keepaliveApp("interval 30ms\ntarget a http://127.0.0.1:1 #HERE"), "write one such as 3m"},
		{"milliseconds of a target", keepaliveApp("target a http://127.0.0.1:1 {\ninterval 30ms\n}"), `"pings_a_day":2880000`},
		{"a page of the hub", keepaliveApp("target a https://huggingface.co/spaces/me/app {" + later), "https://me-app.hf.space"},
		{"a Streamlit app", keepaliveApp("target a https://a.streamlit.app {" + later), "on another platform"},
		{"no target", keepaliveApp("interval 3m"), "target api https://"},
		{"milliseconds of a policy", site("reverse_proxy 127.0.0.1:2 {\nlb_policy fastest-swagger {\ninterval 30ms\n}\n}"), "write one such as 30s"},
		{
			"accounts that look alike",
			keepaliveApp("target a https://a.onrender.com {\nplatform render\nquota 750h/month ws1" + later + "\ntarget b https://b.onrender.com {\nplatform render\nquota 750h/month wsl" + later),
			`"accounts":["ws1","wsl"]`,
		},
		{
			"accounts in two spellings",
			keepaliveApp("target a https://a.onrender.com {\nplatform render\nquota 750h/month Work-Space" + later + "\ntarget b https://b.onrender.com {\nplatform render\nquota 750h/month workspace" + later),
			"write one name if they are one",
		},
	} {
		t.Run(w.name, func(t *testing.T) {
			c := caddytest.Start(t, w.caddyfile)
			if n := c.Logs.Count(`"level":"warn"`, w.remedy, `"source":"Caddyfile:`); n != 1 {
				t.Errorf("%d warnings that say %s and where, want 1", n, w.remedy)
			}
		})
	}
}

// Targets as they should be are warned of in no way.
func TestNoWarningsOfTargets(t *testing.T) {
	later := "\ncron \"0 0 1 1 *\"\n}"
	two := func(one, other string) string {
		return keepaliveApp("target a https://a.onrender.com {\nplatform render\nquota 750h/month " + one + later +
			"\ntarget b https://b.onrender.com {\nplatform render\nquota 750h/month " + other + later)
	}
	for name, caddyfile := range map[string]string{
		"https":                      keepaliveApp("target a https://a.onrender.com {" + later),
		"http on the own domain":     keepaliveApp("target a http://onrender.com.example.com {" + later),
		"http that follows":          keepaliveApp("target a http://a.onrender.com {\nfollow" + later),
		"a platform's own domain":    keepaliveApp("target a https://api.example.com {\nplatform render" + later),
		"numbered accounts":          two("ws1", "ws2"),
		"numbered accounts in words": two("workspace-10", "workspace-11"),
	} {
		t.Run(name, func(t *testing.T) {
			c := caddytest.Start(t, caddyfile)
			if n := c.Logs.Count(`"level":"warn"`, "keepalive"); n != 0 {
				t.Errorf("%d warnings, want none:\n%s", n, c.Logs)
			}
		})
	}
}

// What is right loads without an error and without a warning.
func TestNoMistakes(t *testing.T) {
	second := strings.NewReplacer("key-of-mine", "key-of-yours", "key-of-a", "key-of-b").Replace(plainGateway)
	for name, lines := range map[string]string{
		"alone":                             plainGateway,
		"a path that is removed":            "handle_path /ai/* {\n" + plainGateway + "\n}",
		"a path that is removed in a route": "route /ai/* {\nuri strip_prefix /ai\n" + plainGateway + "\n}",
		"a path of the API":                 "handle /v1/* {\n" + plainGateway + "\n}",
		"another path of the API":           "handle /v1beta/* {\n" + plainGateway + "\n}",
		"a base URL of a provider":          "handle /openai/* {\n" + plainGateway + "\n}",
		"a part of the API":                 "handle /v1/chat/* {\n" + plainGateway + "\n}",
		"a matcher and a proxy":             strings.Replace(plainGateway, "{", "/v1/* {", 1) + "\nreverse_proxy 127.0.0.1:2",
		"two gateways with paths":           "handle_path /a/* {\n" + plainGateway + "\n}\nhandle_path /b/* {\n" + second + "\n}",
		"two gateways with matchers":        "@a header X-A *\n" + strings.Replace(plainGateway, "{", "@a {", 1) + "\n" + second,
		"health":                            "respond /health 200\n" + plainGateway,
		"one block for each":                "handle /v1/* {\n" + plainGateway + "\n}\nhandle {\nrespond hello\n}",
		"other handlers before":             "encode\nheader X-A b\nbasic_auth {\nme $2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG\n}\n" + plainGateway,
		"a block that not all enter":        "handle /x/* {\nheader X-A b\n}\nhandle {\nrespond hello\n}\nhandle /y {\nrespond hi\n}",
		"errors":                            plainGateway + "\nhandle_errors {\nrespond sorry\n}",
		"redirects":                         "redir /docs https://docs.example.com\n" + plainGateway,
	} {
		t.Run(name, func(t *testing.T) {
			c := caddytest.Start(t, "http://"+caddytest.Addr(t)+" {\n"+lines+"\n}\n")
			if n := c.Logs.Count(`"level":"warn"`, "llm_gateway"); n != 0 {
				t.Errorf("%d warnings, want none", n)
			}
		})
	}
}

// Text in quotes may hold any signs, and accounts any names but time zones'.
func TestNoMistakesInTexts(t *testing.T) {
	for name, caddyfile := range map[string]string{
		"full-width signs in quotes": keepaliveTarget("method POST\nbody \"“在吗？”，（是）\""),
		"single quotes in quotes":    site("reverse_proxy 127.0.0.1:2 {\nlb_policy fastest-swagger {\ncontains \"'swagger'\"\n}\n}"),
		"an apostrophe":              site("reverse_proxy 127.0.0.1:2 {\nlb_policy fastest-swagger {\ncontains it's\n}\n}"),
		"a comma in a URL":           dohSite("upstream https://b.example/x,y"),
		"a comma at the end":         site("reverse_proxy 127.0.0.1:2 {\nlb_policy fastest-swagger {\ncontains swagger,\n}\n}"),
		"an account":                 gateway("", "quota 100/day workspace-1 Asia/Shanghai"),
		"an account of digits":       gateway("", "quota 100/day 42"),
		"a Chinese account":          gateway("", "quota 100/day 我的账号（一）"),
		"a Chinese client":           gateway("client 小明（家） key-of-yours", ""),
	} {
		t.Run(name, func(t *testing.T) {
			if err := caddytest.Validate(caddyfile); err != nil {
				t.Error(err)
			}
		})
	}
}
