//go:build unix

package regularfile_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/regularfile"
)

// Nothing waits for a pipe that nobody writes to, nor reads a device without end.
func TestOpenOther(t *testing.T) {
	dir := t.TempDir()
	pipe, link := filepath.Join(dir, "pipe"), filepath.Join(dir, "link")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/zero", link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, link} {
		if _, _, err := regularfile.Open(path); err == nil || !strings.Contains(err.Error(), "is not a file") {
			t.Errorf("got the error %v for %s", err, path)
		}
	}
}
