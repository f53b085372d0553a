package statuspage_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

const browserDir = "testdata/browser"

// views is what page.mjs has found.
type views struct {
	Views []struct {
		Name       string
		LoadMS     int
		Lang       string
		Width      int
		Background string
		Headers    []string // of tables, as screen readers have them
		Violations []string
	}
	Problems []string
	Plain    string
	Live     map[string]int
}

// A real browser shows the page in both languages and themes, on a phone and on a
// desktop: readable for everybody, without an error, asking nobody else. It is
// readable without JavaScript, and with it the page follows what happens. With the
// environment variable SCREENSHOTS it leaves pictures in that folder.
func TestBrowser(t *testing.T) {
	chromium, node := caddytest.Program(t, "chromium"), caddytest.Program(t, "node")
	caddytest.InstallPackages(t, browserDir)
	d := newDemo(t)
	control := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/down", "/up":
			d.down.Store(r.URL.Path == "/down")
			d.ping(t, "toggled")
		case "/reload":
			d.Reload(d.caddyfile("after-the-reload"))
		}
	}))
	defer control.Close()

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	args := []string{"page.mjs", chromium, d.page, control.URL}
	if folder := os.Getenv("SCREENSHOTS"); folder != "" {
		absolute, err := filepath.Abs(folder)
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, absolute)
	}
	cmd := exec.CommandContext(ctx, node, args...)
	cmd.Dir, cmd.WaitDelay = browserDir, 5*time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	var found views
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(found.Views) < 4 {
		t.Errorf("%d views", len(found.Views))
	}
	themes := make(map[string]bool)
	for _, v := range found.Views {
		t.Logf("%s: loaded in %d ms", v.Name, v.LoadMS)
		themes[v.Background] = true
		if !strings.HasPrefix(v.Name, v.Lang+" ") {
			t.Errorf("%s: the page is in %q", v.Name, v.Lang)
		}
		if strings.HasSuffix(v.Name, " 360") && v.Width > 360 {
			t.Errorf("%s: the page is %d pixels wide", v.Name, v.Width)
		}
		for _, header := range []string{"24 ", "shop-api", host(d.upstreams["fast"])} {
			if !slices.ContainsFunc(v.Headers, func(h string) bool { return strings.HasPrefix(h, header) }) {
				t.Errorf("%s: screen readers have no header %q among %q", v.Name, header, v.Headers)
			}
		}
		for _, violation := range v.Violations {
			t.Errorf("%s: %s", v.Name, violation)
		}
	}
	if len(themes) != 2 {
		t.Errorf("the backgrounds are %v, want two", themes)
	}
	for _, problem := range found.Problems {
		t.Error(problem)
	}
	for _, text := range []string{"shop-api", "toggled", "groq", "laptop", "nextdns"} {
		if !strings.Contains(found.Plain, text) {
			t.Errorf("without JavaScript the page lacks %s: %s", text, found.Plain)
		}
	}
	t.Logf("what happens is seen after (ms): %v", found.Live)
}
