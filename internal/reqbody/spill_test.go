package reqbody

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"testing/iotest"
)

const spilledSize = memoryChunks*chunkSize + 12345

// openFiles returns how many files the process has open in a folder, and
// whether it can be told.
func openFiles(t testing.TB, dir string) (n int, ok bool) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0, false
	}
	for _, entry := range entries {
		if name, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil && len(name) > len(dir) && name[:len(dir)] == dir {
			n++
		}
	}
	return n, true
}

// A very large body lies in a file without a name, which is gone with the last
// reader, and not in memory.
func TestSpill(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	text := filled(spilledSize)
	b, err := unlimited.Read(bytes.NewReader(text), -1, 1<<30, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b.file == nil || len(b.chunks) > 0 {
		t.Fatalf("file %v, %d chunks", b.file, len(b.chunks))
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("%s is there for all to see", entries[0].Name())
	}
	if got := b.Slice(chunkSize-3, chunkSize+3); !bytes.Equal(got, text[chunkSize-3:chunkSize+3]) {
		t.Error("Slice")
	}
	r, _ := b.Open(Edit{10, 20, []byte("x")})
	b.Release()
	if n, ok := openFiles(t, dir); ok && n != 1 {
		t.Errorf("%d files are open, want 1", n)
	}
	want := append(append(bytes.Clone(text[:10]), 'x'), text[20:]...)
	if left := r.(*fileReader).Len(); left != int64(len(want)) {
		t.Errorf("%d bytes left, want %d", left, len(want))
	}
	if got, err := io.ReadAll(struct{ io.Reader }{r}); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	r.Close()
	r.Close()
	if n, _ := openFiles(t, dir); n != 0 {
		t.Errorf("%d files are open", n)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Error("a closed body can be read")
	}
}

// An upload that is aborted leaves no file behind.
func TestSpillAborted(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	broken := errors.New("broken")
	if _, err := unlimited.Read(io.MultiReader(bytes.NewReader(filled(spilledSize)), iotest.ErrReader(broken)), -1, 1<<30, nil); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if n, _ := openFiles(t, dir); n != 0 {
		t.Errorf("%d files are open", n)
	}
}

// Where no file can be made the body stays in memory.
func TestSpillNowhere(t *testing.T) {
	t.Setenv("TMPDIR", "/does/not/exist")
	text := filled(spilledSize)
	b, err := unlimited.Read(bytes.NewReader(text), -1, 1<<30, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	r, _ := b.Open()
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, text) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
