package caddytest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Program returns the path of a real client or server such as dig. Without it the test
// is skipped, and fails where CI is set, so that a missing install is noticed.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		// Debian leaves the folder of servers out of a user's PATH.
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	if err == nil {
		return path
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is not installed", name)
	}
	t.Skipf("%s is not installed", name)
	return ""
}

// InstallPackages installs the npm packages of a folder, unless they are there as
// its lock file says. Where they cannot be installed the test is skipped, and fails
// where CI is set.
func InstallPackages(t testing.TB, dir string) {
	t.Helper()
	npm := Program(t, "npm")
	wanted, err := os.Stat(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	if there, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json")); err == nil && there.ModTime().After(wanted.ModTime()) {
		return
	}
	cmd := exec.CommandContext(t.Context(), npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("npm ci: %v: %s", err, out)
		}
		t.Skipf("the packages cannot be installed: npm ci: %v: %s", err, out)
	}
}
