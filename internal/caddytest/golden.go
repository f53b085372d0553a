package caddytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// separator stands between the Caddyfile and the JSON, as in Caddy's own
// adapter tests.
const separator = "\n----------\n"

// Golden adapts the Caddyfile of every testdata/*.caddyfiletest file of the
// package and compares the JSON below the separator. With UPDATE_GOLDEN=1 in
// the environment it writes the JSON instead.
func Golden(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files in testdata (%v)", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddyfiletest"), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			caddyfile, want, _ := strings.Cut(string(content), separator)
			got, err := Adapt(caddyfile)
			if err != nil {
				t.Fatal(err)
			}
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, got, "", "\t"); err != nil {
				t.Fatal(err)
			}
			pretty.WriteByte('\n')
			if os.Getenv("UPDATE_GOLDEN") != "" {
				content = []byte(caddyfile + separator + pretty.String())
				if err := os.WriteFile(file, content, 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if pretty.String() != want {
				t.Errorf("got:\n%s\nwant:\n%s", &pretty, want)
			}
		})
	}
}

// Mistake is a Caddyfile that must be refused.
type Mistake struct {
	// Name says what is wrong.
	Name string
	// Caddyfile contains the mistake.
	Caddyfile string
	// Line is where the error must point to, counted from 1.
	Line int
	// Says are texts that the error must contain: what would be right.
	Says []string
}

// Mistakes checks that each Caddyfile is refused with its file, line and a
// text that helps.
func Mistakes(t *testing.T, mistakes []Mistake) {
	t.Helper()
	for _, m := range mistakes {
		t.Run(m.Name, func(t *testing.T) {
			err := Validate(m.Caddyfile)
			if err == nil {
				t.Fatal("the Caddyfile was accepted")
			}
			for _, text := range append([]string{position(m.Line)}, m.Says...) {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("the error does not contain %q: %v", text, err)
				}
			}
		})
	}
}

// Validate adapts and validates a Caddyfile as `caddy validate` does, without starting anything.
func Validate(caddyfile string) error {
	cfg, err := Adapt(caddyfile)
	if err != nil {
		return err
	}
	var config caddy.Config
	if err := caddy.StrictUnmarshalJSON(cfg, &config); err != nil {
		return err
	}
	return caddy.Validate(&config)
}

func position(line int) string { return fmt.Sprintf("Caddyfile:%d", line) }
