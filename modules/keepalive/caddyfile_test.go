package keepalive

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

func TestGolden(t *testing.T) { caddytest.Golden(t) }

// appWith returns a Caddyfile of the app with these lines.
func appWith(lines string) string { return "{\n\tkeepalive {\n" + lines + "\n\t}\n}\n" }

// targetWith returns a Caddyfile of one target with these lines, which begin with
// the fourth.
func targetWith(lines string) string {
	return appWith("\t\ttarget a https://a.example {\n" + lines + "\n\t\t}")
}

// placedAt returns a Caddyfile of one target on a platform.
func placedAt(address, platform string) string {
	return "{\n\tkeepalive {\n\t\ttarget a " + address + " {\n\t\t\tplatform " + platform + "\n\t\t}\n\t}\n}\n"
}

// twoTargets returns a Caddyfile of two targets with a line each.
func twoTargets(a, b string) string {
	return "{\n\tkeepalive {\n\t\ttarget a https://a.example {\n\t\t\tsleeps_after 15m\n\t\t\t" + a +
		"\n\t\t}\n\t\ttarget b https://b.example {\n\t\t\tsleeps_after 15m\n\t\t\t" + b + "\n\t\t}\n\t}\n}\n"
}

// mistakes are Caddyfiles with the line and the words of their error.
var mistakes = []struct {
	name, caddyfile string
	line            int
	says            []string
}{
	{"unknown option", appWith("\t\tintervall 3m"), 3, []string{"unknown option intervall of keepalive", "interval, jitter, timeout, concurrency, failures, notify and target"}},
	{"unknown target option", targetWith("\t\t\tmethods POST"), 4, []string{"unknown option methods of target", "method", "window"}},
	{"argument of keepalive", "{\n\tkeepalive 3m {\n\t}\n}\n", 2, []string{"keepalive takes no value", "block"}},
	{"keepalive twice", "{\n\tkeepalive {\n\t}\n\tkeepalive {\n\t}\n}\n", 4, []string{"one block"}},
	{"option twice", appWith("\t\tjitter 1%\n\t\tjitter 2%"), 4, []string{"jitter is given twice"}},
	{"bad duration", appWith("\t\tinterval 3"), 3, []string{`"3" is not a duration`, "such as 400ms or 30s"}},
	{"negative duration", appWith("\t\tinterval -3m"), 3, []string{"too short"}},
	{"no time at all", targetWith("\t\t\ttimeout 0s"), 4, []string{"too short"}},
	{"interval without value", appWith("\t\tinterval"), 3, []string{"write: interval"}},
	{"two values", appWith("\t\ttimeout 3m 4m"), 3, []string{"write: timeout"}},
	{"jitter without percent", appWith("\t\tjitter 0.1"), 3, []string{`"0.1"`, "such as 10%"}},
	{"too much jitter", targetWith("\t\t\tjitter 101%"), 4, []string{"from 0% to 100%"}},
	{"jitter that is no number", targetWith("\t\t\tjitter NaN%"), 4, []string{"from 0% to 100%"}},
	{"no concurrency", appWith("\t\tconcurrency 0"), 3, []string{`"0"`, "such as 8"}},
	{"header without its key", targetWith("\t\t\theader Authorization \"Bearer {$KEEPALIVE_NOT_SET}\""), 4, []string{"the value of Authorization has no key after its scheme", "environment variable"}},
	{"notify without URL", appWith("\t\tnotify"), 3, []string{"write: notify <url> [<body>]"}},
	{"notify body without quotes", appWith("\t\tnotify https://ntfy.sh/topic {event.target} down"), 3, []string{"quotes"}},
	{"notify without scheme", appWith("\t\tnotify ntfy.sh/topic"), 3, []string{"begins with http:// or https://"}},
	{"notify with an unknown placeholder", appWith("\t\tnotify https://ntfy.sh/topic {event.mesage}"), 3, []string{"{event.mesage}", "{event.message}"}},
	{"notify of changing hosts", appWith("\t\tnotify https://{event.target}.example/x"), 3, []string{"the same for all events"}},
	{"target without name", appWith("\t\ttarget"), 3, []string{"write: target <name> [<url>]"}},
	{"target without URL", appWith("\t\ttarget a {\n\t\t\tmethod GET\n\t\t}"), 3, []string{"target a has no URL", "https://"}},
	{"name with a slash", appWith("\t\ttarget https://a.example"), 3, []string{"without a slash"}},
	{"too many arguments", appWith("\t\ttarget a https://a.example POST"), 3, []string{"write: target <name> [<url>]"}},
	{"same name", appWith("\t\ttarget a https://a.example\n\t\ttarget a https://b.example {\n\t\t\tmethod GET\n\t\t}"), 4, []string{"already named a"}},
	{"URL without scheme", appWith("\t\ttarget a a.example"), 3, []string{"begins with http:// or https://"}},
	{"URL of another scheme", appWith("\t\ttarget a {\n\t\t\turl ftp://a.example\n\t\t}"), 4, []string{"begins with http:// or https://"}},
	{"URL without host", appWith("\t\ttarget a https:///health"), 3, []string{"has a host"}},
	{"URL with a bad port", appWith("\t\ttarget a https://a.example:99999"), 3, []string{"https://api.example.com/health"}},
	{"URL twice", targetWith("\t\t\turl https://b.example"), 4, []string{"url is given twice", "keep one"}},
	{"bad method", targetWith("\t\t\tmethod \"PO ST\""), 4, []string{"not a method"}},
	{"header without value", targetWith("\t\t\theader Authorization"), 4, []string{"write: header <name> <value>"}},
	{"header value without quotes", targetWith("\t\t\theader Authorization Bearer x"), 4, []string{"quotes"}},
	{"JSON without backticks", targetWith("\t\t\tbody {\"a\": 1}"), 4, []string{"too many values for body", "backticks", "such as body `"}},
	{"bad header name", targetWith("\t\t\theader \"X Y\" z"), 4, []string{"not the name of a header field"}},
	{"no failure", targetWith("\t\t\tfailures 0"), 4, []string{"failures", "a whole number from 1"}},
	{"no status", targetWith("\t\t\texpect"), 4, []string{"200", "2xx"}},
	{"bad status", targetWith("\t\t\texpect ok"), 4, []string{`"ok"`, "200", "2xx"}},
	{"impossible status", targetWith("\t\t\texpect 999"), 4, []string{"200", "2xx"}},
	{"impossible class", targetWith("\t\t\texpect 7xx"), 4, []string{"200", "2xx"}},
	{"odd class", targetWith("\t\t\texpect 20xx"), 4, []string{`"20xx"`, "2xx"}},
	{"bare class", targetWith("\t\t\texpect 2"), 4, []string{`"2"`, "2xx"}},
	{"bad cron", targetWith("\t\t\tcron \"61 * * * *\""), 4, []string{"61", "five fields"}},
	{"cron without quotes", targetWith("\t\t\tcron */3 * * * *"), 4, []string{"quotes"}},
	{"cron with a hidden mistake", targetWith("\t\t\tcron \"0,99 * * * *\""), 4, []string{`"99"`, "five fields"}},
	{"cron that never comes", targetWith("\t\t\tcron \"0 0 30 2 *\""), 4, []string{"never comes"}},
	{"cron in no zone", targetWith("\t\t\tcron \"* * * * *\" Shanghai"), 4, []string{`"Shanghai"`, "Asia/Shanghai"}},
	{"interval and cron", targetWith("\t\t\tinterval 3m\n\t\t\tcron \"* * * * *\""), 5, []string{"cron excludes interval in line 4", "keep one"}},
	{"cron and interval", targetWith("\t\t\tcron \"* * * * *\"\n\t\t\tinterval 3m"), 5, []string{"interval excludes cron in line 4", "keep one"}},
	{"upstream without port", targetWith("\t\t\tupstream a.example"), 4, []string{"api.example.com:443"}},
	{"upstream that is a URL", targetWith("\t\t\tupstream https://a.example:443"), 4, []string{"api.example.com:443"}},
	{"unknown platform", targetWith("\t\t\tplatform zeabur"), 4, []string{`"zeabur"`, "render, koyeb, heroku, huggingface, supabase and railway", "sleeps_after"}},
	{"Streamlit", targetWith("\t\t\tplatform streamlit"), 4, []string{"cannot keep a Streamlit app awake", "WebSocket", "remove the target"}},
	{"the hub's page", placedAt("https://huggingface.co/spaces/Me/My_App.v2", "huggingface"), 4, []string{"the hub's page", "own address is https://me-my-app-v2.hf.space"}},
	{"the hub's API", placedAt("https://www.huggingface.co/api/spaces/me/app/runtime", "huggingface"), 4, []string{"own address is https://me-app.hf.space"}},
	{"another page of the hub", placedAt("https://hf.co/me", "huggingface"), 4, []string{"hf.co is a site of the platform", ".hf.space"}},
	{"the dashboard of Render", placedAt("https://dashboard.render.com/web/srv-1", "render"), 4, []string{"dashboard.render.com is a site of the platform", "onrender.com"}},
	{"the dashboard of Supabase", placedAt("https://supabase.com/dashboard/project/x", "supabase"), 4, []string{"supabase.co/rest/v1"}},
	{"the hub's page, named later", "{\n\tkeepalive {\n\t\ttarget a {\n\t\t\tplatform huggingface\n\t\t\turl https://huggingface.co/spaces/me/app\n\t\t}\n\t}\n}\n", 5, []string{"https://me-app.hf.space"}},
	{"body in single quotes", targetWith("\t\t\tbody '{\"a\":1}'"), 4, []string{"single quotes", "backticks"}},
	{"notification in single quotes", "{\n\tkeepalive {\n\t\tnotify https://a.example '{\"a\":1}'\n\t}\n}\n", 3, []string{"single quotes", "backticks"}},
	{"unknown event", "{\n\tkeepalive {\n\t\tnotify https://a.example x {\n\t\t\tevents down updown\n\t\t}\n\t}\n}\n", 4, []string{`unknown event "updown"`, "down, up, cold_start, hours_low"}},
	{"header of a notification with an unknown placeholder", "{\n\tkeepalive {\n\t\tnotify https://a.example x {\n\t\t\theader Title {event.x}\n\t\t\tevents down\n\t\t}\n\t}\n}\n", 5, []string{"unknown placeholder {event.x}"}},
	{"contains nothing", targetWith("\t\t\tcontains \"\""), 4, []string{"empty"}},
	{"contains without quotes", targetWith("\t\t\tcontains all is well"), 4, []string{"too many values for contains", "quotes"}},
	{"json without value", targetWith("\t\t\tjson status"), 4, []string{"write: json <path> <value>"}},
	{"json with a bad path", targetWith("\t\t\tjson a..b 1"), 4, []string{`"a..b" is not a path`, "data.0.status"}},
	{"contains of a HEAD", targetWith("\t\t\tmethod HEAD\n\t\t\tcontains ok"), 5, []string{"HEAD has no body", "GET"}},
	{"HEAD and contains", targetWith("\t\t\tcontains ok\n\t\t\tmethod HEAD"), 5, []string{"HEAD has no body", "GET"}},
	{"follow with a value", targetWith("\t\t\tfollow on"), 4, []string{"follow takes no value"}},
	{"account with two amounts", twoTargets("quota 750h/month ws", "quota 500h/month ws"), 7, []string{"the account ws has two quotas: 750h/month ws of target a and 500h/month ws of target b"}},
	{"account with two periods of hours", twoTargets("quota 750h/month ws", "quota 20h/day ws"), 7, []string{"the account ws has two quotas"}},
	{"account with two amounts of requests", twoTargets("quota 10/day ws", "quota 20/day ws"), 7, []string{"the account ws has two quotas: 10/day ws of target a and 20/day ws of target b"}},
	{"platform's account with two amounts", twoTargets("platform render", "platform render\nquota 500h/month"), 7, []string{"the account render has two quotas: 750h/month render of target a and 500h/month render of target b", "two names"}},
	{"no platform", targetWith("\t\t\tplatform"), 4, []string{"write: platform <name>"}},
	{"quota without amount", targetWith("\t\t\tquota"), 4, []string{"750h/month"}},
	{"quota without period", targetWith("\t\t\tquota 750h"), 4, []string{"the period is missing", "750h/month"}},
	{"quota in no zone", targetWith("\t\t\tquota 750h/month Mars/Base"), 4, []string{`"Mars/Base"`}},
	{"quota of tokens", targetWith("\t\t\tquota 1M tokens/month"), 4, []string{"hours awake, like 750h/month, or requests"}},
	{"two quotas of hours", targetWith("\t\t\tquota 750h/month\n\t\t\tquota 20h/day"), 5, []string{"two quotas of hours"}},
	{"two quotas of requests", targetWith("\t\t\tquota 100/day\n\t\t\tquota 1000/month"), 5, []string{"two quotas of requests"}},
	{"bad window", targetWith("\t\t\twindow 7-23"), 4, []string{"HH:MM-HH:MM"}},
	{"window without end", targetWith("\t\t\twindow 07:00"), 4, []string{"HH:MM-HH:MM"}},
	{"impossible window", targetWith("\t\t\twindow 07:00-25:00"), 4, []string{"HH:MM-HH:MM"}},
	{"empty window", targetWith("\t\t\twindow 07:00-07:00"), 4, []string{"all day"}},
	{"window in no zone", targetWith("\t\t\twindow 07:00-08:00 Mars"), 4, []string{`"Mars"`, "Asia/Shanghai"}},
}

func TestMistakes(t *testing.T) {
	all := make([]caddytest.Mistake, len(mistakes))
	for i, m := range mistakes {
		all[i] = caddytest.Mistake{Name: m.name, Caddyfile: m.caddyfile, Line: m.line, Says: m.says}
	}
	caddytest.Mistakes(t, all)
}

// What only shows when the configuration is loaded, and mistakes in JSON.
func TestRefusedConfigurations(t *testing.T) {
	for name, test := range map[string]struct{ config, says string }{
		"cron out of the window": {
			`{"name": "a", "url": "https://a.example", "cron": {"expression": "0 3 * * *"}, "window": {"from": "07:00", "to": "08:00"}}`,
			"target a: no time of its cron is in its window",
		},
		"interval and cron": {
			`{"name": "a", "url": "https://a.example", "cron": {"expression": "0 3 * * *"}, "interval": "3m"}`, "interval and cron",
		},
		"two of a name": {
			`{"name": "a", "url": "https://a.example"}, {"name": "a", "url": "https://a.example"}`, "two targets are named a",
		},
		"no name":           {`{"url": "https://a.example"}`, "a target has a name"},
		"no URL":            {`{"name": "a"}`, "a URL begins with"},
		"negative interval": {`{"name": "a", "url": "https://a.example", "interval": "-3m"}`, "too short"},
		"jitter":            {`{"name": "a", "url": "https://a.example", "jitter": 10}`, "a share from 0 to 1"},
		"status":            {`{"name": "a", "url": "https://a.example", "expect": [20]}`, "an expected status"},
		"null":              {`null`, "null"},
		"hours without sleep": {
			`{"name": "a", "url": "https://a.example", "quotas": [{"amount": 3600, "unit": "seconds", "period": "month"}]}`,
			"target a: a quota of hours needs sleeps_after or platform",
		},
		"hours a minute": {
			`{"name": "a", "url": "https://a.example", "sleeps_after": "15m", "quotas": [{"amount": 36, "unit": "seconds", "period": "minute"}]}`,
			"target a: a quota of hours is for a day or a month",
		},
		"no platform": {`{"name": "a", "url": "https://a.example", "platform": "x"}`, "unknown platform"},
		"empty quota": {`{"name": "a", "url": "https://a.example", "quotas": [{"period": "month"}]}`, "the amount of a quota"},
		"no quota":    {`{"name": "a", "url": "https://a.example", "quotas": [null]}`, "null"},
	} {
		t.Run(name, func(t *testing.T) {
			var config caddy.Config
			if err := caddy.StrictUnmarshalJSON([]byte(`{"apps": {"keepalive": {"targets": [`+test.config+`]}}}`), &config); err != nil {
				t.Fatal(err)
			}
			if err := caddy.Validate(&config); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %q", err, test.says)
			}
		})
	}
	states.Range(func(any, any) bool { t.Error("a state is left"); return true })
	slots.Range(func(any, any) bool { t.Error("slots are left"); return true })
}
