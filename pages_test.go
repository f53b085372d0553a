package freetier_test

import (
	"fmt"
	"io/fs"
	"path/filepath"
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
	if n := runPage(t, newShell(t), page); n != 14 {
		t.Errorf("%d commands", n)
	}
	if golden := string(readFile(t, "modules/freetiercmd/testdata/status.txt")); !strings.Contains(page, "```text\n"+golden+"```\n") {
		t.Error("the larger status of the page is not that of the test")
	}
}

// recipePages are the pages of docs/recipes.
func recipePages(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob("docs/recipes/*.md")
	if err != nil || len(pages) < 15 {
		t.Fatalf("%v, %v", pages, err)
	}
	return pages
}

// Every command of a recipe prints what its page says, and each page says where its
// facts are from.
func TestRecipes(t *testing.T) {
	index := string(readFile(t, "docs/recipes/README.md"))
	for _, file := range recipePages(t) {
		name := filepath.Base(file)
		if name == "README.md" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			page := string(readFile(t, file))
			if !strings.Contains(index, "]("+name+")") {
				t.Error("the list of recipes does not have it")
			}
			if strings.Contains(page, "free") && strings.Contains(page, "account") && !strings.Contains(page, "Source: ") && !strings.Contains(page, " were read in ") &&
				!strings.Contains("several-instances.md security.md troubleshooting.md workers.md", name) {
				t.Error("it has no source")
			}
			if strings.Contains(page, "```console") {
				runPage(t, newShell(t), page)
			}
		})
	}
}

// Each text of the page about errors is one of the code.
func TestTroubleshootingTexts(t *testing.T) {
	var code strings.Builder
	for _, folder := range []string{"modules", "internal"} {
		err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			code.Write(readFile(t, path))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// What a program joins is one text.
	joined := regexp.MustCompile(`" \+\s*"`).ReplaceAllString(code.String(), "")
	texts := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(string(readFile(t, "docs/recipes/troubleshooting.md")), -1)
	if len(texts) < 50 {
		t.Errorf("%d texts", len(texts))
	}
	for _, text := range texts {
		for part := range strings.SplitSeq(text[1], "…") {
			if part = strings.TrimSpace(part); !strings.Contains(joined, part) {
				t.Errorf("the code has no %q (of %q)", part, text[1])
			}
		}
	}
}
