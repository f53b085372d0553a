package domainset

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// writtenFile is a list that a program writes in place, at a time that the test sets.
type writtenFile struct {
	t    *testing.T
	path string
	time time.Time
}

// newWrittenFile returns a list of one line, and makes it the time of its change.
func newWrittenFile(t *testing.T) *writtenFile {
	t.Helper()
	f := &writtenFile{t, filepath.Join(t.TempDir(), "list.txt"), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	f.write("a.example\n")
	return f
}

func (f *writtenFile) now() time.Time { return f.time }

func (f *writtenFile) write(text string) {
	f.t.Helper()
	if err := os.WriteFile(f.path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Chtimes(f.path, f.time, f.time); err != nil {
		f.t.Fatal(err)
	}
}

// wantRefresh refreshes a list, which then must have so many names.
func wantRefresh(t *testing.T, when string, f *File[Set], changed bool, names int) {
	t.Helper()
	if got, err := f.Refresh(); got != changed || err != nil {
		t.Errorf("%s: changed %v and the error %v, want %v", when, got, err, changed)
	}
	if n := f.Content().Len(); n != names {
		t.Errorf("%s: %d names, want %d", when, n, names)
	}
}

// A list that is being written stays as it was until it is complete.
func TestFileBeingWritten(t *testing.T) {
	w := newWrittenFile(t)
	f, err := OpenSet(w.path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.now = w.now
	wantRefresh(t, "new", f, false, 1)
	w.time = w.time.Add(time.Hour)
	w.write("")
	wantRefresh(t, "truncated", f, false, 1)
	w.time = w.time.Add(settled - 1)
	wantRefresh(t, "still truncated", f, false, 1)
	w.write("a.example\nb.exa")
	wantRefresh(t, "half", f, false, 1)
	w.time = w.time.Add(settled - 1)
	w.write("a.example\nb.example\nc.example\n")
	wantRefresh(t, "complete", f, false, 1)
	if again, err := OpenSet(w.path); err != nil || again.Content().Len() != 1 {
		t.Errorf("a reload has the error %v", err)
	} else if err := again.Close(); err != nil {
		t.Error(err)
	}
	w.time = w.time.Add(settled)
	wantRefresh(t, "settled", f, true, 3)
	wantRefresh(t, "afterwards", f, false, 3)

	w.time = w.time.Add(time.Hour)
	w.write("d.example\n")
	w.time = w.time.Add(-time.Minute)
	wantRefresh(t, "written by a clock that is ahead", f, true, 1)
}

// A list that is written without end is read now and then.
func TestFileWrittenWithoutEnd(t *testing.T) {
	w := newWrittenFile(t)
	f, err := OpenSet(w.path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.now = w.now
	for range 2 {
		for range mostPostponed {
			w.time = w.time.Add(time.Second)
			w.write("a.example\nb.example\n")
			if changed, err := f.Refresh(); changed || err != nil {
				t.Fatalf("changed %v and the error %v, want the previous content", changed, err)
			}
		}
		wantRefresh(t, "at last", f, true, 2)
	}
}

// A list that changes while it is read is read again.
func TestFileWrittenWhileRead(t *testing.T) {
	w := newWrittenFile(t)
	whileRead := func() {}
	f, err := open("test", w.path, func(r io.Reader) (*Set, LineErrors, error) {
		set, bad, err := readSet(r)
		whileRead()
		return set, bad, err
	})
	if err != nil {
		t.Fatal(err)
	}
	f.now = w.now
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	w.write("a.example\nb.example\n")
	w.time = w.time.Add(time.Hour)
	whileRead = func() { w.write("a.example\nb.example\nc.example\n") }
	wantRefresh(t, "changed while it was read", f, false, 1)
	whileRead = func() {}
	w.time = w.time.Add(settled)
	wantRefresh(t, "read again", f, true, 3)
	if err := os.Remove(w.path); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Refresh(); !errors.Is(err, os.ErrNotExist) || f.Content().Len() != 3 {
		t.Errorf("a missing file: %v, %d names", err, f.Content().Len())
	}
}
