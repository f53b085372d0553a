package freetier_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

var block = regexp.MustCompile("(?s)```caddyfile\n(.*?)```")

// The Caddyfiles of the documentation are valid as they stand.
func TestDocumentedCaddyfiles(t *testing.T) {
	files, err := filepath.Glob("docs/*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in docs (%v)", err)
	}
	for _, folder := range []string{"clients", "recipes", "zh"} {
		more, err := filepath.Glob("docs/" + folder + "/*.md")
		if err != nil || len(more) == 0 {
			t.Fatalf("no files in docs/%s (%v)", folder, err)
		}
		files = append(files, more...)
	}
	for _, file := range append(files, "README.md") {
		t.Run(file, func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			blocks := block.FindAllSubmatch(content, -1)
			if strings.Contains(file, "README") && !strings.Contains(file, "recipes") && len(blocks) < 6 {
				t.Errorf("there are %d Caddyfiles", len(blocks))
			}
			for _, match := range blocks {
				text := string(match[1])
				if strings.Contains(text, "<") {
					continue // syntax, not an example
				}
				for _, name := range regexp.MustCompile(`\{env\.(\w+)\}`).FindAllStringSubmatch(text, -1) {
					t.Setenv(name[1], "value-of-"+name[1])
				}
				if strings.HasPrefix(text, "reverse_proxy") {
					text = "www.example.com {\n" + text + "}\n"
				}
				if err := caddytest.Validate(text); err != nil {
					t.Errorf("%v\n%s", err, text)
				}
			}
		})
	}
}
