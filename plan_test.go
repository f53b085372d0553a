package freetier_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// freetierCaddy runs a command of this Caddy in a folder of its own, with a Caddyfile, and
// returns what it prints and its exit code.
func freetierCaddy(t *testing.T, dir string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out, errors strings.Builder
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &errors
	cmd.Env = append(os.Environ(), beCaddy+"=1", "HOME="+dir, "XDG_DATA_HOME=", "XDG_CONFIG_HOME=")
	_ = cmd.Run()
	return out.String(), errors.String(), cmd.ProcessState.ExitCode()
}

func writeIn(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func keepaliveOf(targets string) string { return "{\n\tkeepalive {\n" + targets + "\n\t}\n}\n" }

func gatewayOf(options string) string {
	return "ai.example.com {\n\tllm_gateway {\n" + options + "\n\t}\n}\n"
}

func dohOf(options string) string { return "dns.example.com {\n\tdoh {\n" + options + "\n\t}\n}\n" }

// plans are Caddyfiles, and what a plan says of them.
var plans = map[string]struct {
	caddyfile string
	says      []string // of which a warning has an exclamation mark before it
	code      int
}{
	"one Render service": {keepaliveOf(`target api https://a.onrender.com/ {
		platform render
	}`), []string{"render api 744/month 750/month enough", "api 10m 4,464 –"}, 0},
	"two in one workspace": {keepaliveOf(`target a https://a.onrender.com/ {
		platform render
	}
	target b https://b.onrender.com/ {
		platform render
	}`), []string{"render a b 1488/month 750/month too few", "!it takes 1488 to keep a and b awake: enough for 1 of the 2 targets, or a window of 12h05m a day for each target"}, 2},
	"windows that fit": {keepaliveOf(`target a https://a.onrender.com/ {
		platform render
		window 08:00-20:00
	}
	target b https://b.onrender.com/ {
		platform render
		window 08:00-20:00
	}`), []string{"750/month enough", "a 10m from 08:00 to 20:00 2,232"}, 0},
	"two workspaces": {keepaliveOf(`target a https://a.onrender.com/ {
		platform render
		quota 750h/month one
	}
	target b https://b.onrender.com/ {
		platform render
		quota 750h/month two
	}`), []string{"one a 744/month", "two b 744/month"}, 0},
	"hours of a day": {keepaliveOf(`target a https://a.example.com/ {
		sleeps_after 15m
		quota 10h/day
	}`), []string{"a a 24/day 10/day too few", "!gives 10 hours a day, and it takes 24 to keep a awake"}, 2},
	"pings that ask a model": {
		keepaliveOf("target a https://a.example.com/v1/chat/completions {\nbody `{\"model\":\"m\",\"messages\":[]}`\n}"),
		[]string{"a 3m 14,880", "!each ping asks a model"},
		2,
	},
	"pings beyond a quota": {keepaliveOf(`target a https://a.example.com/ {
		quota 100/day shared
	}`), []string{"14,880 100/day shared", "!pings use most of the account's requests; give the target a longer interval, or ping a page that costs nothing (target a, pings 480, quota 100/day shared, source Caddyfile:6)"}, 2},
	"it sleeps between pings": {keepaliveOf(`target a https://a.example.com/ {
		sleeps_after 5m
		interval 10m
	}`), []string{"!falls asleep between two pings; give it a shorter interval (target a, longest wait 11m0s, sleeps after 5m0s, source Caddyfile:6)"}, 2},
	"keys and models": {gatewayOf(`client me a-key-of-mine
		channel many https://a.example.com/v1 {
			api_key key-number-1 key-number-2 key-number-3
			quota 200/day
			quota 5/minute
			models a
		}
		channel one https://b.example.com/v1 {
			api_key key-number-4 key-number-5
			quota 1000/month shared
			models b {
				quota 20/day
			}
			models c
		}
		channel none https://c.example.com/v1 {
			api_key key-number-6
			models d
		}`), []string{
		"many 3 200/day 600 requests/day", "many 3 5/minute 15 requests/minute", "one 1 1000/month shared 1,000 requests/month",
		"one 2 20/day 40 requests/day for b", "none 1 no quota –", "me no quota –",
	}, 0},
	"clients who may use more": {gatewayOf(`client a a-key-of-mine {
			limit 300/day
		}
		client b a-key-of-hers {
			limit 200/day
		}
		channel a https://a.example.com/v1 {
			api_key key-number-1 key-number-2
			quota 200/day
			models *
		}`), []string{"!the clients may make 15500 requests a month, and the channels give 12400: lower the limits"}, 2},
	"clients who may not": {gatewayOf(`client a a-key-of-mine {
			limit 300/day
		}
		client b a-key-of-hers {
			limit 100/day
		}
		channel a https://a.example.com/v1 {
			api_key key-number-1 key-number-2
			quota 200/day
			models *
		}`), nil, 0},
	"keys at one address": {gatewayOf(`client a a-key-of-mine
		channel a {
			provider chatanywhere
			api_key key-number-1 key-number-2
			models *
		}`), []string{"!several keys give no more than one (channel a)"}, 2},
	"DNS": {dohOf(`per_ip 50/second
		upstream https://a.example.com/1 https://a.example.com/2 {
			quota 300000/month
		}
		upstream https://b.example.com/ {
			quota 1000/day
		}`), []string{"a.example.com#2 300000/month 300,000 requests/month", "DNS in all: 631,000 queries a month, 20,354 a day"}, 0},
	"DNS with one account": {dohOf(`per_ip 50/second
		upstream https://a.example.com/1 https://a.example.com/2 {
			quota 300000/month shared
		}`), []string{"DNS in all: 300,000 queries a month"}, 0},
	"NextDNS without a quota": {dohOf("upstream https://dns.nextdns.io/abc123"), []string{"!it goes on answering, but does not filter; write quota 300000/month (upstream dns.nextdns.io#1)"}, 2},
	"DNS for everybody": {dohOf(`upstream https://a.example.com/ {
			quota 1000/day
		}`), []string{"!anybody who finds this server can use up the quotas"}, 2},
	"DNS behind a proxy": {`dns.example.com {
reverse_proxy {
	dynamic doh {
		upstream https://a.example.com/ {
			quota 1000/day
		}
	}
	transport doh
}
}
`, []string{"a.example.com#1 1000/day 31,000 requests/month"}, 0},
	"none of ours": {"www.example.com {\n\trespond ok\n}\n", []string{"none of keepalive, llm_gateway and doh"}, 1},
	"a mistake":    {keepaliveOf("target a https://a.example.com/ {\nplatform renderr\n}"), []string{"unknown platform", "Caddyfile:7"}, 1},
	"an unset key": {gatewayOf("client a {env.FREETIER_TEST_UNSET}\nchannel a https://a.example.com/ {\napi_key a-key-of-mine\nmodels *\n}"), []string{"FREETIER_TEST_UNSET"}, 1},
}

// A plan says what is too little, and what to change.
func TestPlan(t *testing.T) {
	for name, tc := range plans {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			// The log and the sites are not loaded.
			caddyfile := strings.Replace(tc.caddyfile, "{\n", "{\n\tlog {\n\t\toutput file access.log\n\t}\n", 1)
			writeIn(t, dir, "Caddyfile", caddyfile)
			stdout, stderr, code := freetierCaddy(t, dir, "freetier", "plan")
			got := strings.Join(strings.Fields(stdout+stderr), " ")
			if code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			warnings := 0
			for _, want := range tc.says {
				text, isWarning := strings.CutPrefix(want, "!")
				if isWarning {
					warnings++
				}
				if !strings.Contains(got, text) {
					t.Errorf("got %s\nwant %s", got, text)
				}
			}
			if n := strings.Count(got, "Warning: "); n != warnings {
				t.Errorf("%d warnings, want %d: %s", n, warnings, got)
			}
			if left := filesIn(t, dir); fmt.Sprint(left) != "[Caddyfile]" {
				t.Errorf("it has left %v", left)
			}
		})
	}
}

func filesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && path != dir {
			names = append(names, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
