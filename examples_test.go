package freetier_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// systemd finds no fault in the unit, and the README installs what is there.
func TestUnit(t *testing.T) {
	unit, err := os.ReadFile("examples/caddy.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"LimitNOFILE=", "TimeoutStopSec=", "NoNewPrivileges=yes", "LogsDirectory=caddy", "LoadCredential=", "StateDirectory=caddy",
		"EnvironmentFile=-/etc/caddy/env", "AmbientCapabilities=CAP_NET_BIND_SERVICE", "WantedBy=multi-user.target",
	} {
		if !strings.Contains(string(unit), line) {
			t.Errorf("the unit has no %s", line)
		}
	}
	for _, file := range []string{"README.md", "docs/README.zh-CN.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{
			"git clone https://github.com/caddy-freetier/caddy-freetier && cd caddy-freetier\n./xcaddy.sh run\n",
			"sudo install -m 644 examples/caddy.service /etc/systemd/system/caddy.service\n",
			"caddy validate --envfile /etc/caddy/env --config /etc/caddy/Caddyfile\n",
			"sudo systemctl restart caddy",
			"examples/compose.yaml",
		} {
			if !strings.Contains(string(text), line) {
				t.Errorf("%s does not say: %s", file, line)
			}
		}
	}
	analyze := caddytest.Program(t, "systemd-analyze")
	path := filepath.Join(t.TempDir(), "caddy.service")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(unit), "/usr/local/bin/caddy ", "/bin/true ")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", path).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}

// docker-compose reads the compose file.
func TestComposeFile(t *testing.T) {
	compose := caddytest.Program(t, "docker-compose")
	dir := t.TempDir()
	text, err := os.ReadFile("examples/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"compose.yaml": string(text), "env": "A_KEY=sk-1\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(compose, "-f", filepath.Join(dir, "compose.yaml"), "config").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"image: caddy-freetier:latest", "A_KEY: sk-1", "/etc/caddy/Caddyfile:ro", "data:/data", "published: 443", "ip_unprivileged_port_start"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("got %s, want %s in it", out, want)
		}
	}
}

// Each example loads as it is, is formatted as caddy fmt does it, and stands in the list.
func TestExampleFiles(t *testing.T) {
	list := string(readFile(t, "examples/README.md"))
	files, err := filepath.Glob("examples/*.caddyfile")
	if err != nil || len(files) < 12 || strings.Count(list, ".caddyfile)") != len(files) {
		t.Fatalf("%d files, of which the list has %d (%v)", len(files), strings.Count(list, ".caddyfile)"), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			text := string(readFile(t, file))
			if !strings.Contains(list, "]("+name+")") {
				t.Errorf("the list does not have it")
			}
			if formatted := string(caddyfile.Format([]byte(text))); formatted != text {
				t.Errorf("caddy fmt makes of it\n%s", formatted)
			}
			if !strings.HasPrefix(text, "# ") {
				t.Error("it does not begin with what it is for")
			}
			for _, variable := range regexp.MustCompile(`\{env\.(\w+)\}`).FindAllStringSubmatch(text, -1) {
				t.Setenv(variable[1], "value-of-"+variable[1])
				if head, _, _ := strings.Cut(text, "{\n"); !strings.Contains(head, variable[1]) {
					t.Errorf("its first lines do not name %s", variable[1])
				}
			}
			if err := caddytest.Validate(ofThisMachine(t, text)); err != nil {
				t.Error(err)
			}
		})
	}
}

// ofThisMachine gives a Caddyfile files of its own in the place of those that it names.
func ofThisMachine(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"gemini.keys": "AIzaSyExampleExampleExampleExample-0001\n", "cloudflare.keys": "0123abcd/exampleexample\n",
		"clients.json": "[]", "domestic.txt": "example.cn\n", "hosts": "192.168.1.11 printer.home.example\n",
	} {
		writeIn(t, dir, name, content)
	}
	return regexp.MustCompile(`(/etc/caddy|/run/secrets|/mnt/shared|/var/log)(/keys|/caddy)?\b`).ReplaceAllString(text, dir)
}
