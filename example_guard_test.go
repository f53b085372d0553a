package freetier_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// listens returns where the sites of a configuration listen.
func listens(t *testing.T, cfg []byte) (all []string) {
	t.Helper()
	var config struct {
		Apps struct {
			HTTP struct {
				Servers map[string]struct{ Listen []string }
			}
		}
	}
	if err := json.Unmarshal(cfg, &config); err != nil {
		t.Fatal(err)
	}
	for _, server := range config.Apps.HTTP.Servers {
		all = append(all, server.Listen...)
	}
	slices.Sort(all)
	return all
}

// As it is, the example is reached from this machine only. A variable opens
// the site that it is for, and no other.
func TestExampleListens(t *testing.T) {
	domains := []string{"", "AI_DOMAIN", "API_DOMAIN", "DNS_DOMAIN", "FORWARD_DOMAIN", "FORWARD_HOST"}
	for _, domain := range domains {
		t.Run(domain, func(t *testing.T) {
			e := newExample(t, nil)
			var want []string
			if domain != "" {
				t.Setenv(domain, "www.example.com")
				want = []string{":" + e.ports["443"]}
			}
			cfg, err := caddytest.Adapt(e.caddyfile)
			if err != nil {
				t.Fatal(err)
			}
			open := slices.DeleteFunc(listens(t, cfg), func(addr string) bool { return strings.HasPrefix(addr, "127.0.0.1:") })
			if !slices.Equal(open, want) {
				t.Errorf("the sites listen on %v besides loopback, want %v", open, want)
			}
		})
	}
	t.Run("connections", func(t *testing.T) {
		addrs, err := net.InterfaceAddrs()
		if err != nil {
			t.Fatal(err)
		}
		e := newExample(t, nil)
		e.start(t, "127.0.0.1", "localhost")
		for _, addr := range addrs {
			ip := addr.(*net.IPNet).IP
			if ip.IsLoopback() || ip.IsLinkLocalUnicast() {
				continue
			}
			for name, port := range e.ports {
				if conn, err := net.Dial("tcp", net.JoinHostPort(ip.String(), port)); err == nil {
					conn.Close()
					t.Errorf("port %s answers on %s", name, ip)
				}
			}
		}
	})
}

// The demo's key opens no account of yours.
func TestExampleNeedsClientKey(t *testing.T) {
	paid := caddytest.NewUpstream(t, caddytest.JSON(http.StatusOK, "{}"))
	for name, variables := range map[string]map[string]string{
		"a key of mine":                  {"PAID_KEYS": "{env.PAID_KEY}"},
		"a key of mine, written out":     {"FREE_KEYS": "sk-real-key-of-mine"},
		"a key of mine, at this machine": {"PAID_URL": paid.URL, "PAID_KEYS": "{env.PAID_KEY}", "AI_DOMAIN": "http://ai.example.com:8080"},
		"a provider":                     {"PAID_URL": "https://api.openai.com/v1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PAID_KEY", "sk-real-key-of-mine")
			e := newExample(t, variables)
			line := 1 + strings.Count(e.caddyfile[:strings.Index(e.caddyfile, "client me ")], "\n")
			caddytest.Mistakes(t, []caddytest.Mistake{{
				Caddyfile: e.caddyfile, Line: line, Says: []string{"client me has the public key of the demo", "CLIENT_KEYS='{env.CLIENT_KEY}'"},
			}})
			t.Setenv("CLIENT_KEYS", "{env.CLIENT_KEY}")
			t.Setenv("CLIENT_KEY", "demo-key")
			if err := caddytest.Validate(e.caddyfile); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("Caddyfile:%d: client me has the public key", line)) {
				t.Errorf("with the demo's key in a variable: %v", err)
			}
			t.Setenv("CLIENT_KEY", "key-of-my-client")
			if err := caddytest.Validate(e.caddyfile); err != nil {
				t.Errorf("with a key of its own: %v", err)
			}
		})
	}
}

// A reload by a shell without the variables does not put the demo in the place
// of sites.
func TestExampleReload(t *testing.T) {
	variables := map[string]string{"API_DOMAIN": "api.localhost", "CLIENT_KEYS": "{env.CLIENT_KEY}", "CLIENT_KEY": "key-of-my-client"}
	e := newExample(t, variables)
	e.start(t, "api.localhost")
	e.shake(t, "api.localhost")
	for name := range variables {
		os.Unsetenv(name)
	}
	cfg, err := caddytest.Adapt(e.caddyfile)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range variables {
		os.Setenv(name, value)
	}
	if err := e.TryLoad(cfg); err == nil || !strings.Contains(err.Error(), "without API_DOMAIN, CLIENT_KEYS, which this server was started with") {
		t.Errorf("the reload ends with %v", err)
	}
	if status, answer := e.do(t, "https://api.localhost/hello", "", ""); status != http.StatusOK {
		t.Errorf("after that the site answers with status %d, %s", status, answer)
	}
}

// The example's option names all variables of the example.
func TestExampleVariables(t *testing.T) {
	content, err := os.ReadFile("Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	var named, used []string
	for _, match := range regexp.MustCompile(`(?m)^\t\tvariables (.*)$`).FindAllSubmatch(content, -1) {
		named = append(named, strings.Fields(string(match[1]))...)
	}
	for _, match := range variable.FindAllSubmatch(content, -1) {
		if name := string(match[1]); name != "NAME" { // of the explanation
			used = append(used, name)
		}
	}
	slices.Sort(named)
	slices.Sort(used)
	if used = slices.Compact(used); !slices.Equal(named, used) {
		t.Errorf("named are\n%v\nused are\n%v", named, used)
	}
}
