package doh

import (
	"context"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/domainset"
)

// fileInterval is how often files are checked for changes. Polling works on network
// file systems and mounted volumes, where inotify does not.
const fileInterval = 5 * time.Second

// files are the hosts files and lists of names of a handler. open does not change
// after Provision.
type files struct {
	open   []domainset.Refresher
	clock  clockwork.Clock
	logger *zap.Logger
}

// openFile reads a file, and adds it to those that are watched and released.
func openFile[T any](fs *files, path string, open func(string) (*domainset.File[T], error)) (*domainset.File[T], error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	fs.open = append(fs.open, any(f).(domainset.Refresher))
	fs.warn(any(f).(domainset.Refresher))
	return f, nil
}

// warn logs the lines of a file that are malformed.
func (fs *files) warn(f domainset.Refresher) {
	if bad := f.Bad(); bad.Count > 0 {
		fs.logger.Warn("ignoring malformed lines of the file",
			zap.String("file", f.Path()), zap.Int("lines", bad.Count), zap.Int("first_line", bad.Line), zap.Error(bad.Err))
	}
}

// watch reads files again when they change, until ctx is done.
func (fs *files) watch(ctx context.Context) {
	ticker := fs.clock.NewTicker(fileInterval)
	defer ticker.Stop()
	failing := make(map[string]bool) // paths with a logged error
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.Chan():
		}
		for _, f := range fs.open {
			fs.refresh(f, failing)
		}
	}
}

// refresh reads a file again if it has changed. While it cannot be read, its
// previous content stays in use, and the error is logged once.
func (fs *files) refresh(f domainset.Refresher, failing map[string]bool) {
	changed, err := f.Refresh()
	if err != nil && !failing[f.Path()] {
		fs.logger.Warn("could not read the file again; keeping its previous content", zap.String("file", f.Path()), zap.Error(err))
	}
	failing[f.Path()] = err != nil
	if changed {
		fs.logger.Info("file read again", zap.String("file", f.Path()))
		fs.warn(f)
	}
}

// close releases the files.
func (fs *files) close() error { return domainset.CloseAll(fs.open) }
