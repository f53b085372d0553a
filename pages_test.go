package freetier_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// namedFile is the line before a block that is the content of a file.
var namedFile = regexp.MustCompile("`([\\w.-]+)`:\n\n$")

// localPort is a port of a page, which becomes a free one.
var localPort = regexp.MustCompile(`localhost:(\d{4})\b`)

// runPage writes the files of a page, runs its commands in order, and compares what
// they print. It returns how many commands there were.
func runPage(t *testing.T, sh shell, page string) (commands int) {
	t.Helper()
	ports := make(map[string]string)
	page = localPort.ReplaceAllStringFunc(page, func(found string) string {
		if ports[found] == "" {
			ports[found] = fmt.Sprintf("localhost:%d", caddytest.Port(t))
		}
		return ports[found]
	})
	if admin := ports["localhost:2019"]; admin != "" {
		page = strings.ReplaceAll(page, "$ caddy stop", "$ caddy stop --address "+admin)
		t.Cleanup(func() { sh.run("caddy stop --address " + admin) })
	}
	for _, at := range pageBlock.FindAllStringSubmatchIndex(page, -1) {
		kind, text := page[at[2]:at[3]], page[at[4]:at[5]]
		if name := namedFile.FindStringSubmatch(page[:at[0]]); name != nil {
			sh.write(name[1], text)
			continue
		}
		if kind != "console" {
			continue
		}
		for _, c := range consoleOf(text) {
			if got := sh.run(c.command); steady(got) != steady(c.output) {
				t.Errorf("$ %s\ngot  %s\nwant %s", c.command, steady(got), steady(c.output))
			}
			commands++
		}
	}
	return commands
}

// Every command of docs/command.md prints what the page says.
func TestCommandPage(t *testing.T) {
	page := string(readFile(t, "docs/command.md"))
	if n := runPage(t, newShell(t), page); n != 10 {
		t.Errorf("%d commands", n)
	}
	if golden := string(readFile(t, "modules/freetiercmd/testdata/status.txt")); !strings.Contains(page, "```text\n"+golden+"```\n") {
		t.Error("the larger status of the page is not that of the test")
	}
}
