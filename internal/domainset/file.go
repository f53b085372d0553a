package domainset

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
)

// files holds the contents of the files in use, by kind and absolute path, so
// that a reload does not read them again.
var files = caddy.NewUsagePool()

// fileKey is the key of a file's contents.
type fileKey struct {
	kind string
	path string
}

// File is a file whose content is kept in memory and replaced when the file
// changes. Configurations share it.
type File[T any] struct {
	path    string
	key     fileKey
	read    func(io.Reader) (*T, LineErrors, error)
	content atomic.Pointer[T]

	mu   sync.Mutex
	seen os.FileInfo
	bad  LineErrors
}

// OpenSet reads a list of domains. It is given back by Close.
func OpenSet(path string) (*File[Set], error) {
	return open("set", path, readSet)
}

// OpenHosts reads a hosts file. It is given back by Close.
func OpenHosts(path string) (*File[Hosts], error) {
	return open("hosts", path, readHosts)
}

func open[T any](kind, path string, read func(io.Reader) (*T, LineErrors, error)) (*File[T], error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	key := fileKey{kind, path}
	pooled, _, err := files.LoadOrNew(key, func() (caddy.Destructor, error) {
		f := &File[T]{path: path, key: key, read: read}
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

// Content returns what the file held when it was last read. It does not change.
func (f *File[T]) Content() *T { return f.content.Load() }

// Path returns the absolute path.
func (f *File[T]) Path() string { return f.path }

// Bad returns which lines could not be read.
func (f *File[T]) Bad() LineErrors {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bad
}

// Refresh reads the file again if it has changed, and reports whether it has.
// After an error the content stays as it was.
func (f *File[T]) Refresh() (changed bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now, err := os.Stat(f.path); err == nil && f.seen != nil && sameFile(f.seen, now) {
		return false, nil
	}
	file, info, err := openFile(f.path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	content, bad, err := f.read(file)
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", f.path, err)
	}
	f.seen, f.bad = info, bad
	f.content.Store(content)
	return true, nil
}

func sameFile(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// Close gives the file back.
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

// CloseAll gives files back.
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
