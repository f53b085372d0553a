package doh_test

import (
	"bytes"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// Real clients resolve names over each listener.
func TestListenerPrograms(t *testing.T) {
	long := strings.Repeat("x", 200)
	u := caddytest.NewDoHUpstream(t, func(q *dns.Msg) *dns.Msg {
		if q.Question[0].Qtype == dns.TypeTXT {
			var records []string
			for i := range 20 {
				records = append(records, fmt.Sprintf("@ 60 IN TXT %02d%s", i, long))
			}
			return caddytest.Records(t, records...)(q)
		}
		return caddytest.Records(t, "@ 60 IN A 192.0.2.7")(q)
	})
	d := newDoT(t)
	d.start(up(t, u, "/"), "hosts 192.0.2.1 only.here.test", d.listen())
	d.ask(d.dial("udp"), question("only.here.test.", dns.TypeA)) // see TestPrograms
	_, tlsPort, _ := net.SplitHostPort(d.tls)
	_, plainPort, _ := net.SplitHostPort(d.plain)
	kdig := []string{"@127.0.0.1", "-p", tlsPort, "+tls-ca=" + d.ca, "+tls-hostname=localhost", "+short", "+retry=0", "+padding"}
	dig := []string{"@127.0.0.1", "-p", plainPort, "+short", "+tries=1"}
	for _, tc := range []struct {
		name, program string
		args          []string
		want          string
	}{
		{"kdig +tls", "kdig", append(kdig, "only.here.test", "A"), "192.0.2.1"},
		{"kdig +tls, forwarded", "kdig", append(kdig, "WWW.example.org", "A"), "192.0.2.7"},
		{"kdig +tls, large", "kdig", append(kdig, "large.example.org", "TXT"), `"00` + long},
		{"dig +tls", "dig", []string{"@127.0.0.1", "-p", tlsPort, "+tls-ca=" + d.ca, "+tls-hostname=localhost", "+short", "+tries=1", "only.here.test", "A"}, "192.0.2.1"},
		{"dig", "dig", append(dig, "+notcp", "WWW.example.org", "A"), "192.0.2.7"},
		{"dig -x", "dig", append(dig, "-x", "192.0.2.1"), "only.here.test."},
		{"dig +tcp", "dig", append(dig, "+tcp", "only.here.test", "A"), "192.0.2.1"},
		{"dig, large: by TCP after UDP", "dig", append(dig, "large.example.org", "TXT"), `"00` + long},
		{"dig without EDNS", "dig", append(dig, "+noedns", "www.example.org", "A"), "192.0.2.7"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := exec.CommandContext(t.Context(), caddytest.Program(t, tc.program), tc.args...).CombinedOutput()
			if err != nil || !strings.HasPrefix(strings.TrimSpace(string(out)), tc.want) {
				t.Errorf("%v: %s, want %s", err, out, tc.want)
			}
		})
	}
}

// forwarders are the configurations of resolvers that forward to a listener.
var forwarders = map[string]func(d *dot, dir string, port int) string{
	"unbound": func(d *dot, dir string, port int) string {
		host, at, _ := net.SplitHostPort(d.tls)
		return fmt.Sprintf(`server:
interface: 127.0.0.1@%d
directory: %s
chroot: ""
username: ""
use-syslog: no
logfile: ""
do-not-query-localhost: no
module-config: iterator
tls-cert-bundle: %s
local-zone: test. transparent
forward-zone:
name: .
forward-tls-upstream: yes
forward-addr: %s@%s#localhost
`, port, dir, d.ca, host, at)
	},
	"dnsdist": func(d *dot, dir string, port int) string {
		return fmt.Sprintf(`setLocal("127.0.0.1:%d")
setSecurityPollSuffix("")
newServer({address="%s", tls="openssl", subjectName="localhost", caStore="%s", validateCertificates=true, healthCheckMode="up"})
`, port, d.tls, d.ca)
	},
}

// startForwarder starts a resolver on a port of 127.0.0.1 until the test's end.
func startForwarder(t *testing.T, d *dot, name string, port int) {
	t.Helper()
	file := write(t, t.TempDir(), name+".conf", forwarders[name](d, t.TempDir(), port))
	args := []string{"-d", "-p", "-c", file}
	if name == "dnsdist" {
		args = []string{"--supervised", "--disable-syslog", "-C", file}
	}
	log := new(bytes.Buffer)
	cmd := exec.Command(caddytest.Program(t, name), args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log)
		}
	})
}

// Real resolvers forward to the listener over TLS.
func TestForwarders(t *testing.T) {
	for name := range forwarders {
		t.Run(name, func(t *testing.T) {
			caddytest.Program(t, name) // skips the test if it is missing
			u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.7"))
			d := newDoT(t)
			options := []string{up(t, u, "/"), "hosts 192.0.2.1 only.here.test", d.listen()}
			d.start(options...)
			d.ask(d.dial("tcp-tls"), question("only.here.test.", dns.TypeA))
			port := caddytest.Port(t)
			startForwarder(t, d, name, port)
			resolve := func(name string) (string, error) {
				client := &dns.Client{Timeout: 3 * time.Second}
				reply, _, err := client.Exchange(question(name, dns.TypeA), fmt.Sprintf("127.0.0.1:%d", port))
				if err != nil {
					return "", err
				}
				return text(reply), nil
			}
			var err error
			for start := time.Now(); time.Since(start) < 20*time.Second; time.Sleep(20 * time.Millisecond) {
				if _, err = resolve("ready.example."); err == nil {
					break
				}
			}
			if err != nil {
				t.Fatalf("%s does not answer: %v", name, err)
			}
			for i := range 20 {
				if i == 10 {
					d.Reload(d.caddyfile(append(options, "json")...))
				}
				for name, want := range map[string]string{fmt.Sprintf("n%d.example.", i): "192.0.2.7", "only.here.test.": "192.0.2.1"} {
					if got, err := resolve(name); got != want {
						t.Errorf("%s: got %s, want %s (%v)", name, got, want, err)
					}
				}
			}
		})
	}
}
