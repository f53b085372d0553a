package caddytest

import (
	"os"
	"os/exec"
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
