package machines

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/certmagic"
)

// storageDelay is how long a soakStorage takes for what the modules keep, in
// nanoseconds.
var storageDelay atomic.Int64

// soakStorage is a folder that can be slow.
type soakStorage struct {
	*certmagic.FileStorage
	Root string `json:"root,omitempty"`
}

func init() { caddy.RegisterModule((*soakStorage)(nil)) }

func (*soakStorage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.storage.soak", New: func() caddy.Module { return new(soakStorage) }}
}

func (*soakStorage) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return nil
}

func (s *soakStorage) CertMagicStorage() (certmagic.Storage, error) {
	s.FileStorage = &certmagic.FileStorage{Path: s.Root}
	return s, nil
}

// wait waits as long as the storage takes. Caddy's own files do not wait.
func (s *soakStorage) wait(ctx context.Context, key string) {
	if !strings.HasPrefix(key, "freetier/") {
		return
	}
	select {
	case <-time.After(time.Duration(storageDelay.Load())):
	case <-ctx.Done():
	}
}

func (s *soakStorage) Store(ctx context.Context, key string, value []byte) error {
	s.wait(ctx, key)
	return s.FileStorage.Store(ctx, key, value)
}

func (s *soakStorage) Load(ctx context.Context, key string) ([]byte, error) {
	s.wait(ctx, key)
	return s.FileStorage.Load(ctx, key)
}

func (s *soakStorage) List(ctx context.Context, prefix string, recursive bool) ([]string, error) {
	s.wait(ctx, prefix)
	return s.FileStorage.List(ctx, prefix, recursive)
}

// mount makes a small disk for the storage.
func (s *soak) mount() {
	disk := s.t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk).CombinedOutput(); err != nil {
		s.t.Logf("the storage is never full or read-only, since no small disk can be mounted: %v: %s", err, out)
		return
	}
	s.t.Cleanup(func() { _ = exec.Command("umount", "-l", disk).Run() })
	s.disk = disk
}

// diskState is what is wrong with the storage.
type diskState string

const (
	diskGood     diskState = "good"
	diskSlow     diskState = "slow"
	diskFull     diskState = "full"
	diskReadOnly diskState = "read-only"
)

// setDisk puts the storage into a state.
func (s *soak) setDisk(state diskState) {
	storageDelay.Store(0)
	if state == diskSlow {
		storageDelay.Store(int64(300 * time.Millisecond))
	}
	if s.disk == "" {
		return
	}
	mode, fill := "remount,rw", filepath.Join(s.disk, "fill")
	if state == diskReadOnly {
		mode = "remount,ro"
	}
	if out, err := exec.Command("mount", "-o", mode, s.disk).CombinedOutput(); err != nil {
		// A file that is open for writing forbids it for a moment.
		s.t.Logf("the disk does not become %s: %v: %s", state, err, out)
		return
	}
	switch state {
	case diskFull:
		_ = os.WriteFile(fill, make([]byte, 4<<20), 0o600) // as much as there is space
	case diskGood, diskSlow:
		_ = os.Remove(fill)
	}
}
