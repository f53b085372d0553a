package llmgateway

import (
	"context"
	"os"
	"regexp"
	"time"

	"github.com/jonboulle/clockwork"
)

// keyFileInterval is how often the files with keys are looked at.
const keyFileInterval = time.Second

var filePlaceholder = regexp.MustCompile(`\{file\.([^}]+)\}`)

// keyFiles are the files that keys are read from, as they were last seen.
//
// It belongs to the task of watcher, after newKeyFiles has made it, so it needs no
// lock. A file that was missing is unset, and counts as changed when it appears.
type keyFiles map[string]os.FileInfo

// newKeyFiles returns the files that the keys of clients and channels are read
// from, as they are now.
func newKeyFiles(clients []*Client, channels []*Channel) keyFiles {
	var keys []string
	for _, c := range clients {
		keys = append(keys, c.Keys...)
	}
	for _, c := range channels {
		keys = append(keys, c.APIKeys...)
	}
	files := make(keyFiles)
	for _, key := range keys {
		for _, match := range filePlaceholder.FindAllStringSubmatch(key, -1) {
			files[match[1]], _ = os.Stat(match[1])
		}
	}
	return files
}

// changed reports whether any file is another than when it was last seen. One
// that is missing is about to be replaced.
//
// All files are looked at, so that several that change together cause one reading.
// Name, inode, time and size are compared and the contents are not, since this is done
// each second.
func (f keyFiles) changed() (changed bool) {
	for name, seen := range f {
		now, err := os.Stat(name)
		if err != nil || seen != nil && os.SameFile(seen, now) && seen.ModTime().Equal(now.ModTime()) && seen.Size() == now.Size() {
			continue
		}
		f[name], changed = now, true
	}
	return changed
}

// watcher returns a task that calls readAgain when a file has changed.
//
// Polling works where notifications of the file system do not: mounted secrets of
// Kubernetes, which are replaced by a symbolic link, and network file systems.
func (f keyFiles) watcher(clock clockwork.Clock, readAgain func()) func(context.Context) {
	return func(ctx context.Context) {
		ticker := clock.NewTicker(keyFileInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.Chan():
			}
			if f.changed() {
				readAgain()
			}
		}
	}
}
