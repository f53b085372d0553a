package llmgateway

import (
	"context"
	"os"
	"regexp"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
)

// keyFileInterval is how often the files with keys are looked at.
const keyFileInterval = time.Second

var filePlaceholder = regexp.MustCompile(`\{file\.([^}]+)\}`)

// keyFiles are the files that keys are read from, as they were last seen.
type keyFiles map[string]os.FileInfo

// newKeyFiles returns the files that are named in keys, as they are now.
func newKeyFiles(keys ...string) keyFiles {
	files := make(keyFiles)
	for _, key := range keys {
		for _, match := range filePlaceholder.FindAllStringSubmatch(key, -1) {
			files[match[1]], _ = os.Stat(match[1])
		}
	}
	return files
}

// changed tells whether any file is another than when it was last seen. One
// that is missing is about to be replaced.
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

// keyFiles returns the files of all keys, of clients and of channels.
func (h *Handler) keyFiles() keyFiles {
	var keys []string
	for _, c := range h.Clients {
		keys = append(keys, c.Keys...)
	}
	for _, c := range h.Channels {
		keys = append(keys, c.APIKeys...)
	}
	return newKeyFiles(keys...)
}

// watchKeyFiles reads the keys again when a file has changed. What cannot be
// used leaves the old keys in place.
func (h *Handler) watchKeyFiles(files keyFiles) func(context.Context) {
	return func(ctx context.Context) {
		ticker := h.clock.NewTicker(keyFileInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.Chan():
			}
			if files.changed() {
				h.readKeysAgain()
			}
		}
	}
}

func (h *Handler) readKeysAgain() {
	repl := caddy.NewReplacer()
	keys, err := h.readKeyring(repl)
	for _, c := range h.Channels {
		if err == nil {
			err = keys.checkDemo(c, c.keys())
		}
	}
	if err == nil {
		h.keys.Store(keys)
	} else {
		h.logger.Warn("the clients' keys stay as they were", zap.Error(err))
	}
	for _, c := range h.Channels {
		if err := c.readKeys(repl, h); err != nil {
			h.logger.Warn("the channel's keys stay as they were", zap.String("channel", c.Name), zap.Error(err))
		}
	}
	h.logger.Info("keys were read again from their files")
}
