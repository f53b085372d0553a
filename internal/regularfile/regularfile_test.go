package regularfile_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/regularfile"
)

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if _, _, err := regularfile.Open(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got the error %v for a file that is missing", err)
	}
	if err := os.WriteFile(path, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, info, err := regularfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if text, err := io.ReadAll(file); string(text) != "text" || err != nil || info.Size() != 4 {
		t.Errorf("got %q of %d bytes (%v)", text, info.Size(), err)
	}
	if _, _, err := regularfile.Open(filepath.Dir(path)); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("got the error %v for a folder", err)
	}
}
