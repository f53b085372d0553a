package freetier_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fakeGo stands for Go: it writes builds into a file and makes a caddy that says
// what it was called with.
const fakeGo = `#!/bin/sh
case "$1 $2" in
"env GOVERSION") echo go1.99.0 ;;
"env GOHOSTOS") echo linux ;;
"env GOHOSTARCH") echo amd64 ;;
env*)
	shift
	for name; do
		case $name in
		GOOS) echo "${GOOS-linux}" ;;
		GOARCH) echo "${GOARCH-amd64}" ;;
		*) echo ;;
		esac
	done
	;;
"build -o")
	[ "$GOOS/$GOARCH" = linux/amd64 ] || { echo "the tool is for $GOOS/$GOARCH"; exit 1; }
	printf '#!/bin/sh\necho "$GOOS $GOARCH $@" >>builds\nprintf "#!/bin/sh\\necho caddy \\$*\\n" >caddy\nchmod +x caddy\n' >"$3"
	chmod +x "$3"
	;;
esac
`

// The script builds again for another machine and for other plugins, and runs
// what was built last.
func TestBuildScript(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs a shell")
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash")
	}
	dir, bin := t.TempDir(), t.TempDir()
	script, err := os.ReadFile("xcaddy.sh")
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{
		filepath.Join(bin, "go"):        fakeGo,
		filepath.Join(dir, "xcaddy.sh"): string(script),
		filepath.Join(dir, "go.mod"):    "module x\n\ngo 1.26\n\nrequire github.com/caddyserver/caddy/v2 v2.11.9\n",
	} {
		if err := os.WriteFile(path, []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	builds := func() int {
		text, _ := os.ReadFile(filepath.Join(dir, "builds"))
		return strings.Count(string(text), "\n")
	}
	for _, step := range []struct {
		name, environment, arguments string
		builds                       int // so far
		says                         string
		fails                        bool
	}{
		{name: "first build", builds: 1, says: "Built ./caddy ("},
		{name: "nothing has changed", builds: 1, says: "Built ./caddy ("},
		{name: "with a plugin", arguments: "--with example.com/plugin", builds: 2, says: "Built ./caddy ("},
		{name: "run keeps the plugin", arguments: "run", builds: 2, says: "caddy run --config"},
		{name: "run keeps it again", arguments: "run", builds: 2, says: "caddy run --config"},
		{name: "run with another plugin", arguments: "run --with example.com/other", builds: 3, says: "caddy run --config"},
		{name: "without a plugin", builds: 4, says: "Built ./caddy ("},
		{name: "for another machine", environment: "GOARCH=arm64", builds: 5, says: "Built ./caddy for linux/arm64."},
		{name: "for it again", environment: "GOARCH=arm64", builds: 5, says: "Built ./caddy for linux/arm64."},
		{name: "run for another machine", environment: "GOARCH=arm64", arguments: "run", builds: 5, says: "does not run here", fails: true},
		{name: "for another system", environment: "GOOS=windows", builds: 6, says: "Built ./caddy for windows/amd64."},
		{name: "for this machine", arguments: "run", builds: 7, says: "caddy run --config"},
	} {
		cmd := exec.Command(bash, append([]string{"./xcaddy.sh"}, strings.Fields(step.arguments)...)...)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH")}
		if step.environment != "" {
			cmd.Env = append(cmd.Env, step.environment)
		}
		out, err := cmd.CombinedOutput()
		if (err != nil) != step.fails {
			t.Errorf("%s: %v", step.name, err)
		}
		if !strings.Contains(string(out), step.says) {
			t.Errorf("%s: got %q, want %q", step.name, out, step.says)
		}
		if n := builds(); n != step.builds {
			t.Errorf("%s: %d builds so far, want %d", step.name, n, step.builds)
		}
	}
}
