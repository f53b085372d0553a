package domainset

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/regularfile"
)

// files are the files in use, by kind and absolute path, so that a reload reads a file
// again only if it has changed.
var files = caddy.NewUsagePool()

const (
	// settled is how old the last change of a file must be: a program that writes it
	// in place may have written half of it. FAT rounds times to two seconds.
	settled = 2 * time.Second

	// mostPostponed is how often in a row a changed file is not read because it is
	// being written. Some programs may never stop.
	mostPostponed = 12
)

// fileKey is a key of files. One file may be in use as a set and as a hosts file.
type fileKey struct {
	kind string // "set" or "hosts"
	path string
}

// File is the content of a file in memory. Refresh replaces it as a whole when the file
// changes, so that readers take no lock. Configurations share it.
type File[T any] struct {
	path    string
	key     fileKey
	read    func(io.Reader) (*T, LineErrors, error)
	now     func() time.Time  // of the file system, whose clock the times of files are from
	content atomic.Pointer[T] // immutable; never nil after open

	mu   sync.Mutex  // guards the fields below, and lets one Refresh run at a time
	seen os.FileInfo // of the file that was last read
	bad  LineErrors

	postponed int // how often in a row it was being written
}

// OpenSet reads a list of domains. Close releases it.
func OpenSet(path string) (*File[Set], error) {
	return open("set", path, readSet)
}

// OpenHosts reads a hosts file. Close releases it.
func OpenHosts(path string) (*File[Hosts], error) {
	return open("hosts", path, readHosts)
}

// open returns the file at a path, which is read if it is not in use yet or has changed.
// The kind and read belong together.
func open[T any](kind, path string, read func(io.Reader) (*T, LineErrors, error)) (*File[T], error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	key := fileKey{kind, path}
	pooled, _, err := files.LoadOrNew(key, func() (caddy.Destructor, error) {
		f := &File[T]{path: path, key: key, read: read, now: time.Now}
		_, err := f.Refresh()
		return f, err
	})
	if err != nil {
		return nil, err
	}
	f := pooled.(*File[T])
	if _, err := f.Refresh(); err != nil {
		_, _ = files.Delete(key)
		return nil, err
	}
	return f, nil
}

// Content returns the content of the file when it was last read. It is immutable.
func (f *File[T]) Content() *T { return f.content.Load() }

// Path returns the absolute path.
func (f *File[T]) Path() string { return f.path }

// Bad returns the malformed lines of the file when it was last read.
func (f *File[T]) Bad() LineErrors {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bad
}

// Refresh reads the file again if it has changed, and reports whether it has. After an
// error the previous content stays in use, and also while the file is being written:
// the next Refresh reads it.
func (f *File[T]) Refresh() (changed bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if info, err := os.Stat(f.path); err == nil && f.seen != nil && sameFile(f.seen, info) {
		return false, nil
	}
	file, info, err := regularfile.Open(f.path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	if f.postpones(f.isSettling(info)) {
		return false, nil
	}
	content, bad, err := f.read(file)
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", f.path, err)
	}
	if after, err := file.Stat(); err == nil && f.postpones(!sameFile(info, after)) {
		return false, nil
	}
	f.seen, f.bad, f.postponed = info, bad, 0
	f.content.Store(content)
	return true, nil
}

// postpones reports whether a file that is being written is not taken over yet. One of
// which nothing was read before is: it may be all that there is for a long time.
func (f *File[T]) postpones(written bool) bool {
	if !written || f.seen == nil || f.postponed >= mostPostponed {
		return false
	}
	f.postponed++
	return true
}

// isSettling reports whether a file was changed a moment ago. One from the future comes
// from another machine's clock, and does not get older for a long time.
func (f *File[T]) isSettling(info os.FileInfo) bool {
	age := f.now().Sub(info.ModTime())
	return age >= 0 && age < settled
}

// sameFile reports whether a file has not changed. A file that was replaced by a rename
// has another inode; one that was written in place has another time or size.
func sameFile(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// Close releases the file. Its content may still be used.
func (f *File[T]) Close() error {
	_, err := files.Delete(f.key)
	return err
}

// Destruct implements caddy.Destructor.
func (f *File[T]) Destruct() error { return nil }

// Refresher is a File of any content.
type Refresher interface {
	Path() string
	Refresh() (changed bool, err error)
	Bad() LineErrors
	Close() error
}

// CloseAll closes files.
func CloseAll(all []Refresher) error {
	var errs []error
	for _, f := range all {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// Interface guards
var (
	_ Refresher = (*File[Set])(nil)
	_ Refresher = (*File[Hosts])(nil)
)
